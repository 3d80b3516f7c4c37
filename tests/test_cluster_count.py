"""How many clusters: the pieces of evidence against plain versions, and known numbers."""

import json
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag
from scipy.sparse import csr_matrix
from sklearn.datasets import load_digits, make_blobs
from sklearn.metrics import adjusted_rand_score

from skscan import ClusterCountSearch, FeatureScaler, NeighborMiner
from skscan.cluster_count import agreement_of_cuts, merge_gaps, mixing_of_clusters
from skscan.graph import symmetric_affinity
from skscan.merge_tree import MergeTree, information_linkage


def search(X, n_neighbors=10, seed=0, **parameters):
    graph = NeighborMiner(min(n_neighbors, len(X) - 1)).fit_transform(X)
    random_state = np.random.RandomState(seed)
    return ClusterCountSearch(**parameters).search(X, graph, random_state)


def random_tree(n_samples, n_groups, seed):
    rng = np.random.RandomState(seed)
    weights = rng.rand(n_groups, n_groups)
    groups = rng.permutation(np.arange(n_samples) % n_groups)
    return MergeTree(groups, information_linkage(weights + weights.T))


def slow_prediction_strength(one, other):
    """For the worst cluster of `one`: the share of its pairs that `other` keeps together."""
    shares = []
    for cluster in np.unique(one):
        members = other[one == cluster]
        together = members[:, None] == members[None, :]
        n = len(members)
        shares.append((together.sum() - n) / (n * (n - 1)) if n > 1 else 1)
    return min(shares)


@pytest.mark.parametrize("n_clusters", [2, 3, 6, 12])
def test_separate_blobs_are_counted(n_clusters):
    X, _ = make_blobs(
        60 * n_clusters, n_features=10, centers=n_clusters, cluster_std=0.5, random_state=1
    )
    assert search(X).proposals[0] == n_clusters


def test_digits_are_among_the_first_two():
    X = FeatureScaler().fit_transform(load_digits().data)
    curve = search(X, 20)
    assert 10 in curve.proposals[:2]
    assert curve.n_clusters[0] == 2
    assert curve.n_clusters[-1] == 42  # the root of 1,797


def test_same_seed_same_curve():
    X, _ = make_blobs(200, centers=4, random_state=0)
    first, again = search(X), search(X)
    np.testing.assert_array_equal(first.score, again.score)
    assert first.proposals == again.proposals


def test_shapes_and_ranges_of_the_curve():
    X, _ = make_blobs(300, centers=4, random_state=0)
    curve = search(X, max_clusters=12, n_resamples=3)
    np.testing.assert_array_equal(curve.n_clusters, np.arange(2, 13))
    for values in (
        curve.mixing,
        curve.merge_gap,
        curve.stability,
        curve.prediction_strength,
        curve.score,
    ):
        assert values.shape == (11,)
        assert np.isfinite(values).all()
    assert (curve.merge_gap >= 0).all()
    assert (np.diff(curve.mixing) >= 0).all()
    assert curve.mixing[0] >= 0
    assert (curve.stability <= 1).all()
    assert ((curve.prediction_strength >= 0) & (curve.prediction_strength <= 1)).all()
    order = np.argsort(-curve.score)
    np.testing.assert_array_equal(curve.proposals, curve.n_clusters[order[:5]])


def test_curve_prints_a_row_for_each_number_and_becomes_json():
    X, _ = make_blobs(300, centers=4, random_state=0)
    curve = search(X, max_clusters=9)
    lines = str(curve).splitlines()
    assert len(lines) == 1 + 8
    assert lines[0].split()[0] == "n_clusters"
    assert [line.split()[0] for line in lines if line.endswith("1st")] == [str(curve.proposals[0])]
    read = json.loads(json.dumps(curve.to_dict()))
    assert read["n_clusters"] == list(range(2, 10))
    assert read["proposals"] == list(curve.proposals)


@pytest.mark.parametrize("n_samples", [2, 3, 5, 10])
def test_a_handful_of_samples(n_samples):
    X = np.random.RandomState(0).randn(n_samples, 4)
    curve = search(X)
    assert curve.n_clusters[0] == 2
    assert 2 <= curve.proposals[0] <= n_samples


@pytest.mark.parametrize(
    "X",
    [
        np.ones((40, 3)),
        np.repeat(np.random.RandomState(0).randn(5, 3), 12, axis=0),
        np.random.RandomState(0).randn(100, 3) * 1e-3,
    ],
    ids=["constant", "duplicates", "one tight blob"],
)
def test_degenerate_data_still_gets_a_proposal(X):
    curve = search(X)
    assert curve.proposals[0] >= 2
    assert np.isfinite(curve.score).all()


@given(seed=st.integers(0, 99), number=st.integers(2, 7))
@settings(max_examples=25)
def test_agreement_equals_its_plain_version(seed, number):
    trees = [random_tree(60, 8, seed), random_tree(60, 8, seed + 1000)]
    stability, strength = agreement_of_cuts(trees, np.array([number]))
    one, other = (tree.cut(number) for tree in trees)
    assert stability[0] == pytest.approx(adjusted_rand_score(one, other))
    both = [slow_prediction_strength(one, other), slow_prediction_strength(other, one)]
    assert strength[0] == pytest.approx(np.mean(both))


def test_merge_gap_is_the_log_ratio_of_neighboring_costs():
    linkage = np.array([[0, 1, 1.0, 2], [2, 3, 2.0, 2], [4, 5, 16.0, 4]])
    gaps = merge_gaps([MergeTree(np.arange(4), linkage)], np.array([2, 3, 4]))
    np.testing.assert_allclose(gaps, np.log([8, 2, 1]))


def slow_mixing(affinity):
    """Eigenvalues of the normalised Laplacian, in ascending order."""
    degrees = affinity.sum(axis=1)
    walk = np.diag(1 / degrees) @ affinity
    return np.sort(np.linalg.eigvals(np.eye(len(affinity)) - walk).real)


def test_mixing_of_single_samples_is_the_spectrum_of_their_graph():
    weights = np.random.RandomState(0).rand(8, 8)
    weights += weights.T
    mixing = mixing_of_clusters(np.arange(8), csr_matrix(weights), np.arange(1, 9))
    np.testing.assert_allclose(mixing, slow_mixing(weights), atol=1e-7)


def test_mixing_sums_the_links_between_groups():
    weights = np.random.RandomState(1).rand(9, 9)
    weights += weights.T
    groups = np.array([0, 0, 3, 3, 5, 5, 5, 8, 8])  # names may be left out
    members = (groups[:, None] == np.unique(groups)).astype(float)
    mixing = mixing_of_clusters(groups, csr_matrix(weights), np.array([1, 2, 3, 4, 9]))
    expected = slow_mixing(members.T @ weights @ members)
    np.testing.assert_allclose(mixing, expected[[0, 1, 2, 3, 3]], atol=1e-7)


def test_nothing_mixes_up_to_the_number_of_parts_of_the_graph():
    weights = block_diag(np.ones((4, 4)), np.ones((2, 2)), np.ones((3, 3)), np.zeros((1, 1)))
    mixing = mixing_of_clusters(np.arange(10), csr_matrix(weights), np.arange(1, 7))
    np.testing.assert_allclose(mixing[:4], 0, atol=1e-7)
    assert (mixing[4:] > 0.5).all()


def test_small_classes_are_counted():
    sizes = [300, 300, 300, 40, 40]
    X, _ = make_blobs(sizes, centers=5 * np.eye(10)[:5], cluster_std=1, random_state=0)
    assert 5 in search(X, 20).proposals[:2]


@pytest.mark.parametrize("n_neighbors", [5, 20])
def test_of_many_samples_some_are_drawn_and_get_neighbors_of_their_own(n_neighbors):
    X, _ = make_blobs(2500, n_features=8, centers=6, cluster_std=0.5, random_state=0)
    graph = NeighborMiner(n_neighbors).fit_transform(X)
    with mock.patch(
        "skscan.cluster_count.symmetric_affinity", side_effect=symmetric_affinity
    ) as spy:
        curve = ClusterCountSearch().search(X, graph, np.random.RandomState(0))
    (table,) = spy.call_args.args
    assert table.shape == (2000, n_neighbors + 1)
    np.testing.assert_array_equal(table[:, 0], np.arange(2000))
    assert table.max() < 2000
    assert curve.proposals[0] == 6


def test_more_clusters_than_groups_are_not_tried():
    X, _ = make_blobs(100, centers=3, random_state=0)
    assert search(X, max_clusters=90).n_clusters[-1] < 90
