"""Which samples are worth a label."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs

from skscan import NeighborMiner
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.suggestion import suggest_samples


@pytest.fixture(scope="module")
def groups():
    """Four separate groups of 40, 40, 40 and 5 samples."""
    X, y = make_blobs([40, 40, 40, 5], centers=np.eye(4) * 50, random_state=0)
    return symmetric_affinity(neighbor_table(NeighborMiner(4).fit_transform(X))), y


def test_uncertain_groups_come_first_and_each_once(groups):
    affinity, y = groups
    p = np.full((len(y), 2), 0.5)
    p[y == 0] = [0.999, 0.001]
    chosen = suggest_samples(affinity, p, np.zeros(len(y), dtype=bool), 3)
    assert sorted(y[chosen]) == [1, 2, 3] or sorted(y[chosen]) == [1, 1, 2]
    assert set(y[chosen[:2]]) == {1, 2}


def test_groups_with_a_label_come_later(groups):
    affinity, y = groups
    labelled = np.isin(np.arange(len(y)), np.flatnonzero(y == 1)[::2])
    chosen = suggest_samples(affinity, np.full((len(y), 2), 0.5), labelled, 2)
    assert set(y[chosen]) == {0, 2}


def test_each_sample_at_most_once_and_never_a_labelled_one(groups):
    affinity, y = groups
    labelled = np.arange(len(y)) % 3 == 0
    p = np.random.RandomState(0).dirichlet(np.ones(4), len(y))
    chosen = suggest_samples(affinity, p, labelled, int((~labelled).sum()))
    np.testing.assert_array_equal(np.sort(chosen), np.flatnonzero(~labelled))


def test_the_first_ones_do_not_depend_on_how_many_are_asked_for(groups):
    affinity, y = groups
    p = np.random.RandomState(1).dirichlet(np.ones(4), len(y))
    labelled = np.zeros(len(y), dtype=bool)
    few, many = (suggest_samples(affinity, p, labelled, n) for n in (3, 20))
    np.testing.assert_array_equal(few, many[:3])


def test_certainty_everywhere_still_gives_samples(groups):
    affinity, y = groups
    chosen = suggest_samples(affinity, np.eye(4)[y], np.zeros(len(y), dtype=bool), 5)
    assert len(set(chosen)) == 5


def test_a_large_group_of_little_doubt_comes_before_a_small_one_of_much(groups):
    affinity, y = groups
    p = np.eye(4)[np.array([1, 1, 2, 3])[y]]
    p[y == 0] = [0.1, 0.9, 0, 0]
    p[y == 3] = [0.5, 0.5, 0, 0]
    labelled = np.isin(y, [1, 2])
    assert y[suggest_samples(affinity, p, labelled, 1)] == 0
