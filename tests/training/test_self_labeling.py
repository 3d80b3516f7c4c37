"""The self-labelling stage and its guards."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from skscan import ClusterTrainer, FeatureScaler, NeighborMiner, SelfLabelTrainer
from skscan.exceptions import SkscanWarning
from skscan.metrics import clustering_accuracy
from skscan.networks.heads import LinearHeads


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    features = FeatureScaler().fit_transform(X)
    graph = NeighborMiner(20).fit_transform(features)
    trainer = ClusterTrainer(n_heads=3, starts=["cut"])
    result = trainer.train(features, graph, 10, random_state=np.random.RandomState(0))
    return features, graph, result.heads.select(result.best_head), y


def noisy(heads, amount):
    noise = np.random.RandomState(0).standard_normal(heads.weights.shape).astype(np.float32)
    return LinearHeads(heads.weights + amount * noise * heads.weights.std(), heads.biases)


def train(digits, heads=None, seed=0, **parameters):
    features, graph, clustered, _ = digits
    return SelfLabelTrainer(**parameters).train(
        features, graph, heads or clustered, 0, random_state=np.random.RandomState(seed)
    )


def test_a_damaged_head_is_mended(digits):
    features, _, heads, y = digits
    damaged = noisy(heads, 0.7)
    result = train(digits, damaged, learning_rate=0.003)
    assert result.accepted
    before = clustering_accuracy(y, damaged.predict(features))
    assert clustering_accuracy(y, result.heads.predict(features)) > before + 0.01


def test_history_counts_passes_and_confident_samples(digits):
    result = train(digits, n_epochs=4, batch_size=500)
    assert [entry["pass"] for entry in result.history] == [0, 1, 2, 3]
    assert all(0 < entry["confident"] <= 1 for entry in result.history)
    assert all(entry["loss"] > 0 for entry in result.history)


def test_without_confident_samples_the_head_is_kept_with_a_warning(digits):
    heads = digits[2]
    unsure = LinearHeads(heads.weights * np.float32(1e-3), heads.biases * np.float32(1e-3))
    with pytest.warns(SkscanWarning, match=r"no sample has a confidence above threshold=0\.99"):
        result = train(digits, unsure)
    assert not result.accepted
    np.testing.assert_array_equal(result.heads.weights, unsure.weights)


def test_a_vanished_cluster_undoes_the_stage(digits, monkeypatch):
    _features, _, heads, _ = digits
    collapsed = LinearHeads(np.zeros_like(heads.weights), np.eye(1, 10, dtype=np.float32))
    monkeypatch.setattr(SelfLabelTrainer, "_fit", lambda *arguments: (collapsed, []))
    with pytest.warns(SkscanWarning, match="9 of 10 clusters became empty"):
        result = train(digits)
    np.testing.assert_array_equal(result.heads.weights, heads.weights)


def test_worse_criteria_undo_the_stage(digits, monkeypatch):
    heads = digits[2]
    monkeypatch.setattr(SelfLabelTrainer, "_fit", lambda *arguments: (noisy(heads, 1.0), []))
    with pytest.warns(SkscanWarning, match="criteria fell"):
        result = train(digits)
    assert not result.accepted
    np.testing.assert_array_equal(result.heads.weights, heads.weights)


def test_no_change_is_no_reason_to_warn(digits, monkeypatch, recwarn):
    heads = digits[2]
    monkeypatch.setattr(SelfLabelTrainer, "_fit", lambda *arguments: (heads, []))
    assert not train(digits).accepted
    assert not recwarn.list


def test_the_seed_decides_the_result(digits):
    damaged = noisy(digits[2], 0.7)
    first, again = (train(digits, damaged, learning_rate=0.003) for _ in range(2))
    np.testing.assert_array_equal(first.heads.weights, again.heads.weights)


def test_parameters_are_cloned_pickled_and_checked(digits):
    trainer = SelfLabelTrainer(threshold=0.9, noise=0.1)
    assert clone(trainer).get_params() == trainer.get_params()
    assert pickle.loads(pickle.dumps(trainer)).get_params() == trainer.get_params()
    with pytest.raises(ValueError, match="threshold"):
        train(digits, threshold=1.5)
