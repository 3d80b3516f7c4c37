"""Labels and pairs: what follows from them, what contradicts them, and how they are obeyed."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from skscan.constraints import Constraints, check_pairs
from skscan.exceptions import SkscanWarning

NONE = np.empty((0, 2), dtype=int)


def build(labels, must_link=NONE, cannot_link=NONE, names=None):
    pairs = (np.asarray(given, dtype=int).reshape(-1, 2) for given in (must_link, cannot_link))
    return Constraints.from_pairs(np.asarray(labels), *pairs, names)


def test_labels_follow_chains():
    constraints = build([3, -1, -1, -1, 1], must_link=[(2, 1), (1, 0)])
    np.testing.assert_array_equal(constraints.labels, [3, 3, 3, -1, 1])
    assert constraints.has_pairs


def test_contradictions_are_named():
    names = np.array(["cat", "dog"])
    with pytest.raises(ValueError, match=r"must_link joins samples .*'cat' and 'dog'|'dog' and"):
        build([0, -1, 1], must_link=[(0, 1), (1, 2)], names=names)
    with pytest.raises(ValueError, match=r"pair \(0, 2\), but must_link joins"):
        build([-1, -1, -1], must_link=[(0, 1), (1, 2)], cannot_link=[(0, 2)])
    with pytest.raises(ValueError, match=r"pair \(0, 2\), but both samples have the label 'dog'"):
        build([1, 1, -1], must_link=[(1, 2)], cannot_link=[(0, 2)], names=names)
    with pytest.raises(ValueError, match=r"pair \(1, 1\), a sample and itself"):
        build([-1, -1], cannot_link=[(1, 1)])


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([(0, 5)], "must_link has the index 5, but there are 5 samples: indices go from 0 to 4"),
        ([(0, -1)], "must_link has the index -1"),
        ([(0, 1, 2)], r"must_link must hold pairs .* got int64 of shape \(1, 3\)"),
        ([(0.0, 1.0)], "got float64"),
        ([True, False], "got bool"),
    ],
)
def test_pairs_are_checked(pairs, message):
    with pytest.raises(ValueError, match=message):
        check_pairs(pairs, "must_link", 5)


@pytest.mark.parametrize("pairs", [None, [], NONE])
def test_no_pairs(pairs):
    assert check_pairs(pairs, "must_link", 5).shape == (0, 2)


@settings(max_examples=60)
@given(st.data())
def test_decisions_obey_whatever_is_possible(data):
    n_samples, n_classes = 12, 4
    index = st.integers(0, n_samples - 1)
    truth = np.array(data.draw(st.lists(st.integers(0, 3), min_size=12, max_size=12)))
    pairs = data.draw(st.lists(st.tuples(index, index), max_size=8))
    together = [(a, b) for a, b in pairs if truth[a] == truth[b]]
    apart = [(a, b) for a, b in pairs if truth[a] != truth[b]]
    known = np.array(data.draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    seed = data.draw(st.integers(0, 100))
    constraints = build(np.where(known, truth, -1), together, apart)
    p = np.random.RandomState(seed).dirichlet(np.ones(n_classes), n_samples)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SkscanWarning)
        try:
            decided = constraints.decide(p)
        except SkscanWarning:
            # the order of choices is no search: it may miss a solution of many pairs
            assume(False)
    labels = decided.argmax(axis=1)
    np.testing.assert_allclose(decided.sum(axis=1), 1)
    np.testing.assert_array_equal(labels[known], truth[known])
    assert all(labels[a] == labels[b] for a, b in together)
    assert all(labels[a] != labels[b] for a, b in apart)
    touched = np.zeros(n_samples, dtype=bool)
    touched[[i for pair in together + apart for i in pair]] = True
    free = ~touched & ~known
    np.testing.assert_allclose(decided[free], p[free])


def test_a_chain_of_pairs_apart_is_solved_by_those_with_least_choice():
    # 0 is labelled; 1 prefers the class of 0, and 2 what is left to 1
    p = np.array([[0.5, 0.3, 0.2], [0.9, 0.06, 0.04], [0.1, 0.8, 0.1]])
    constraints = build([0, -1, -1], cannot_link=[(0, 1), (1, 2)])
    labels = constraints.decide(p).argmax(axis=1)
    assert labels[0] == 0
    assert labels[1] != 0
    assert labels[2] != labels[1]


def test_more_apart_than_there_are_classes_is_said():
    constraints = build([-1, -1, -1], cannot_link=[(0, 1), (1, 2), (0, 2)])
    with pytest.warns(SkscanWarning, match="1 samples or groups of must_link had no class left"):
        decided = constraints.decide(np.full((3, 2), 0.5))
    np.testing.assert_allclose(decided.sum(axis=1), 1)


def test_subset_keeps_what_concerns_it():
    constraints = build([0, -1, -1, -1], must_link=[(0, 1)], cannot_link=[(1, 2), (2, 3)])
    part = constraints.subset(np.array([1, 2]))
    np.testing.assert_array_equal(part.labels, [0, -1])
    assert part.decide(np.array([[0.2, 0.8], [0.9, 0.1]])).argmax(axis=1).tolist() == [0, 1]
