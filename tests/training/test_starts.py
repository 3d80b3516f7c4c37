"""Starts: partitions of features and of their neighbor graph."""

import warnings

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from skscan.graph import symmetric_affinity
from skscan.training.spectral import normalized_eigenvectors
from skscan.training.starts import START_KINDS, StartMaker


def neighbors_of(features, k=10):
    return NearestNeighbors(n_neighbors=k + 1).fit(features).kneighbors(features)[1]


def groups(n_groups=4, size=100):
    truth = np.repeat(np.arange(n_groups), size)
    noise = np.random.RandomState(0).standard_normal((len(truth), 8))
    return (6 * np.eye(n_groups, 8)[truth] + noise).astype(np.float32), truth


@pytest.mark.parametrize("kind", [kind for kind in START_KINDS if kind != "random"])
def test_every_start_finds_clear_groups(kind):
    features, truth = groups()
    affinity = symmetric_affinity(neighbors_of(features))
    kinds = ["best-k-means"] if kind == "k-means" else [kind]  # one run may start badly
    [start] = StartMaker(features, affinity, 4, np.random.RandomState(0)).make(kinds)
    assert adjusted_rand_score(truth, start.labels) > 0.9


@pytest.mark.parametrize("kind", START_KINDS)
def test_the_seed_decides_the_start(kind):
    features, _ = groups()
    affinity = symmetric_affinity(neighbors_of(features))
    first, second = (
        StartMaker(features, affinity, 5, np.random.RandomState(3)).make([kind])[0].labels
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", START_KINDS)
@pytest.mark.parametrize(
    "features",
    [
        np.random.RandomState(0).standard_normal((6, 1)),
        np.ones((20, 3)),
        np.repeat(np.random.RandomState(0).standard_normal((3, 2)), 10, axis=0),
    ],
    ids=["few", "constant", "duplicates"],
)
def test_starts_survive_degenerate_features_silently(kind, features):
    features = features.astype(np.float32)
    affinity = symmetric_affinity(neighbors_of(features, k=3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        [start] = StartMaker(features, affinity, 5, np.random.RandomState(0)).make([kind])
    assert start.labels.shape == (len(features),)
    assert 0 <= start.labels.min() <= start.labels.max() < 5


@pytest.mark.parametrize("n_samples", [200, 600], ids=["dense", "iterative"])
def test_eigenvectors_solve_the_normalised_graph(n_samples):
    features = np.random.RandomState(0).standard_normal((n_samples, 3)).astype(np.float32)
    affinity = symmetric_affinity(neighbors_of(features))
    vectors = normalized_eigenvectors(affinity, 4, np.random.RandomState(0))
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    normalised = affinity.toarray() / np.sqrt(np.outer(degrees, degrees))
    values = np.linalg.eigvalsh(normalised)[::-1][:4]
    rayleigh = np.einsum("ij,ij->j", vectors, normalised @ vectors)
    np.testing.assert_allclose(rayleigh, values, atol=2e-3)


def test_disconnected_groups_are_told_apart_by_the_eigenvectors():
    features = np.concatenate([np.random.RandomState(i).rand(150, 2) + 10 * i for i in range(4)])
    affinity = symmetric_affinity(neighbors_of(features.astype(np.float32)))
    [start] = StartMaker(features, affinity, 4, np.random.RandomState(0)).make(["cut"])
    assert adjusted_rand_score(np.repeat(np.arange(4), 150), start.labels) == 1
