"""Spreading over a graph, beside the obvious way to compute it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skscan import NeighborMiner
from skscan.constraints import Constraints
from skscan.graph import neighbor_table
from skscan.label_spreading import spread, weighted_affinity

NONE = np.empty((0, 2), dtype=int)


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(n_class=3, return_X_y=True)
    X, y = X[:150].astype(np.float32), y[:150]
    return X, y, neighbor_table(NeighborMiner(12).fit_transform(X))


def constraints_of(labels, must_link=NONE, cannot_link=NONE):
    return Constraints.from_pairs(labels, np.asarray(must_link), np.asarray(cannot_link))


def test_affinity_equals_a_slow_version(digits):
    X, _, table = digits
    slow = np.zeros((len(X), len(X)))
    for i, row in enumerate(table):
        others = [j for j in row if j != i][:10]
        radius = max(((X[i] - X[j]) ** 2).sum() for j in others)
        for j in others:
            weight = np.exp(-4 * ((X[i] - X[j]) ** 2).sum() / radius) / 2
            slow[i, j] += weight
            slow[j, i] += weight
    degrees = slow.sum(axis=1)
    slow /= np.sqrt(np.outer(degrees, degrees))
    affinity = weighted_affinity(X, table)
    np.testing.assert_allclose(affinity.toarray(), slow, atol=1e-6)
    assert np.linalg.eigvalsh(affinity.toarray()).max() < 1 + 1e-6


def test_many_steps_reach_the_closed_form(digits):
    X, y, table = digits
    labels = np.where(np.arange(len(y)) < 10, y, -1)
    start = np.random.RandomState(0).dirichlet(np.ones(3), len(y))
    affinity = weighted_affinity(X, table)
    known = constraints_of(labels)
    own = known.impose_labels(start)
    solved = np.linalg.solve(np.eye(len(y)) - 0.7 * affinity.toarray(), 0.3 * own)
    solved = known.impose_labels(solved / solved.sum(axis=1, keepdims=True))
    found = spread(affinity, start, known, share=0.7, n_iter=100)
    np.testing.assert_allclose(found, solved, atol=1e-8)


def test_labels_reach_the_others(digits):
    X, y, table = digits
    labels = np.where(np.arange(len(y)) < 10, y, -1)
    uniform = np.full((len(y), 3), 1 / 3)
    found = spread(weighted_affinity(X, table), uniform, constraints_of(labels))
    assert (found.argmax(axis=1) == y).mean() > 0.95


def test_pairs_take_part(digits):
    X, y, table = digits
    affinity = weighted_affinity(X, table)
    labels = np.where(np.arange(len(y)) < 10, y, -1)
    uniform = np.full((len(y), 3), 1 / 3)
    free = spread(affinity, uniform, constraints_of(labels))
    sample, wrong = 100, (y[100] + 1) % 3
    stranger = np.flatnonzero(y == wrong)[20]
    linked = spread(affinity, uniform, constraints_of(labels, [(sample, stranger)]))
    np.testing.assert_allclose(linked[sample], linked[stranger])
    teacher = np.flatnonzero(labels == y[sample])[0]
    apart = spread(affinity, uniform, constraints_of(labels, NONE, [(sample, teacher)]))
    assert free[sample].argmax() == y[sample]
    assert apart[sample, y[sample]] < 0.01


def test_equal_samples_are_no_problem():
    X = np.zeros((6, 3), dtype=np.float32)
    table = np.tile(np.arange(6), (6, 1))
    affinity = weighted_affinity(X, table)
    assert np.isfinite(affinity.data).all()
    found = spread(affinity, np.full((6, 2), 0.5), constraints_of(np.array([0, 1, -1, -1, -1, -1])))
    assert np.isfinite(found).all()
