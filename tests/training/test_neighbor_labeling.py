"""The third stage on frozen features: what neighbors say becomes what a head says."""

import pickle

import numpy as np
import pytest
from damaged_heads import noisy
from scipy import sparse
from sklearn.base import clone

from skscan import NeighborLabelTrainer, NeighborMiner
from skscan.metrics import clustering_accuracy
from skscan.networks.heads import LinearHeads
from skscan.training import neighbor_labeling
from skscan.training.neighbor_labeling import predictions_after_walks


def train(clustered_digits, heads=None, seed=0, **parameters):
    features, graph, clustered, _ = clustered_digits
    return NeighborLabelTrainer(**parameters).train(
        features, graph, heads or clustered, 0, random_state=np.random.RandomState(seed)
    )


def random_walks(n_samples, rng):
    """A graph whose rows sum to 1."""
    walk = sparse.random(n_samples, n_samples, 0.2, "csr", random_state=rng)
    walk = (walk + sparse.eye(n_samples)).tocsr()
    return sparse.csr_matrix(walk / walk.sum(axis=1)).astype(np.float32)


def test_a_damaged_head_is_mended(clustered_digits):
    features, _, heads, y = clustered_digits
    damaged = noisy(heads, 0.7)
    result = train(clustered_digits, damaged)
    assert result.accepted
    before = clustering_accuracy(y, damaged.predict(features))
    assert clustering_accuracy(y, result.heads.predict(features)) > before + 0.02


def test_history_tells_of_each_round(clustered_digits):
    result = train(clustered_digits, noisy(clustered_digits[2], 0.7), n_rounds=4)
    assert [entry["round"] for entry in result.history] == [0, 1, 2, 3]
    losses = [entry["loss"] for entry in result.history]
    assert losses[-1] < losses[0]
    assert 0 < result.history[-1]["moved"] < result.history[0]["moved"] < 1


def test_a_round_that_empties_a_cluster_does_not_count():
    features = np.repeat(np.eye(2, 3, dtype=np.float32), 30, axis=0)
    features[[0, 30], 2] = 1  # of which the head makes a cluster, and no neighbor does
    graph = NeighborMiner(10).fit_transform(features)
    heads = LinearHeads(np.diag([1, 1, 1.5]).astype(np.float32)[None], np.zeros((1, 3), np.float32))
    assert np.bincount(heads.predict(features)).tolist() == [29, 29, 2]
    result = NeighborLabelTrainer(learning_rate=0.1).train(
        features, graph, heads, 0, random_state=np.random.RandomState(0)
    )
    assert not result.accepted
    assert result.reason == "round 1 left 1 of 3 clusters empty, so it does not count"
    np.testing.assert_array_equal(result.heads.weights, heads.weights)


@pytest.mark.parametrize("length", [1, 3])
def test_labels_are_the_mean_at_the_end_of_walks(length):
    rng = np.random.RandomState(0)
    walk = random_walks(30, rng)
    head = LinearHeads(rng.randn(1, 4, 5).astype(np.float32), np.zeros((1, 4), np.float32))
    features = rng.randn(30, 5).astype(np.float32)
    expected = head.predict_proba(features)
    for _ in range(length):
        expected = np.array([sum(walk[i, j] * expected[j] for j in range(30)) for i in range(30)])
    found = predictions_after_walks(head, features, walk, length)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("smallest", "length"), [(170, 5), (10, 10)])
def test_walks_are_longer_where_clusters_differ_in_size(clustered_digits, smallest, length):
    features, _, heads, _ = clustered_digits
    clusters = heads.predict(features)
    sizes = np.linspace(170, smallest, 10).astype(int)
    kept = np.concatenate([np.flatnonzero(clusters == c)[:n] for c, n in enumerate(sizes)])
    graph = NeighborMiner(20).fit_transform(features[kept])
    some = features[kept], graph, heads, None
    found = train(some).heads.weights
    np.testing.assert_array_equal(found, train(some, walk_length=length).heads.weights)
    assert not np.array_equal(found, train(some, walk_length=15 - length).heads.weights)


def test_walks_stay_short_with_many_values(clustered_digits, monkeypatch):
    features, _, heads, _ = clustered_digits
    clusters = heads.predict(features)
    kept = np.flatnonzero((clusters > 0) | (np.arange(len(clusters)) % 20 == 0))
    some = features[kept], NeighborMiner(20).fit_transform(features[kept]), heads, None
    monkeypatch.setattr(neighbor_labeling, "MAX_ENTRIES", 10)
    found = train(some).heads.weights
    np.testing.assert_array_equal(found, train(some, walk_length=5).heads.weights)


def test_with_many_values_the_most_probable_clusters_are_kept(monkeypatch):
    rng = np.random.RandomState(0)
    walk = random_walks(50, rng)
    head = LinearHeads(3 * rng.randn(1, 40, 5).astype(np.float32), np.zeros((1, 40), np.float32))
    features = rng.randn(50, 5).astype(np.float32)
    dense = predictions_after_walks(head, features, walk, 2)
    monkeypatch.setattr(neighbor_labeling, "MAX_ENTRIES", 300)
    monkeypatch.setattr("skscan._blocks.MAX_ENTRIES", 300)
    kept = predictions_after_walks(head, features, walk, 2)
    assert (np.diff(kept.indptr) == 16).all()
    np.testing.assert_array_equal(kept.toarray().argmax(axis=1), dense.argmax(axis=1))
    np.testing.assert_allclose(kept.toarray(), dense, atol=0.05)
    monkeypatch.setattr(neighbor_labeling, "KEPT_CLUSTERS", 40)
    every = predictions_after_walks(head, features, walk, 2)
    np.testing.assert_allclose(every.toarray(), dense, atol=1e-6)


def test_sparse_labels_train_as_dense_ones_do(clustered_digits, monkeypatch):
    dense = train(clustered_digits, walk_length=5)
    monkeypatch.setattr(neighbor_labeling, "MAX_ENTRIES", 10_000)
    found = train(clustered_digits, walk_length=5)
    np.testing.assert_allclose(found.heads.weights, dense.heads.weights, rtol=1e-3, atol=1e-4)


def test_the_scale_of_features_does_not_matter(clustered_digits):
    features, graph, heads, _ = clustered_digits
    larger = (features * np.float32(64), graph, heads.for_scale(64.0), None)
    found = train(larger).heads.predict(larger[0])
    np.testing.assert_array_equal(found, train(clustered_digits).heads.predict(features))


def test_a_sample_without_neighbors_keeps_its_own_prediction():
    features = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    graph = NeighborMiner(5).fit_transform(features).tolil()
    graph[0] = 0
    graph[:, 0] = 0
    heads = LinearHeads(5 * np.eye(3, dtype=np.float32)[None], np.zeros((1, 3), np.float32))
    result = NeighborLabelTrainer().train(
        features, graph.tocsr(), heads, 0, random_state=np.random.RandomState(0)
    )
    np.testing.assert_array_equal(result.heads.predict(features), np.repeat([0, 1, 2], 20))


def test_the_seed_decides_the_result(clustered_digits):
    damaged = noisy(clustered_digits[2], 0.7)
    first, again, other = (train(clustered_digits, damaged, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.heads.weights, again.heads.weights)
    assert not np.array_equal(first.heads.weights, other.heads.weights)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_rounds", 0),
        ("walk_length", 1.5),
        ("walk_length", "long"),
        ("sharpening", 0.0),
        ("n_steps", 0),
        ("learning_rate", -1.0),
    ],
)
def test_parameters_are_cloned_pickled_and_checked(clustered_digits, name, value):
    trainer = NeighborLabelTrainer(n_rounds=2, sharpening=1.5)
    assert clone(trainer).get_params() == trainer.get_params()
    assert pickle.loads(pickle.dumps(trainer)).get_params() == trainer.get_params()
    with pytest.raises(ValueError, match=f"'{name}' parameter of NeighborLabelTrainer"):
        train(clustered_digits, **{name: value})
