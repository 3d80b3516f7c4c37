"""The self-labelling stage and its guards."""

import pickle

import numpy as np
import pytest
from damaged_heads import noisy
from sklearn.base import clone

from skscan import SelfLabelTrainer
from skscan.exceptions import SkscanWarning
from skscan.metrics import clustering_accuracy
from skscan.networks.heads import LinearHeads


def train(clustered_digits, heads=None, seed=0, **parameters):
    features, graph, clustered, _ = clustered_digits
    return SelfLabelTrainer(**parameters).train(
        features, graph, heads or clustered, 0, random_state=np.random.RandomState(seed)
    )


def test_a_damaged_head_is_mended(clustered_digits):
    features, _, heads, y = clustered_digits
    damaged = noisy(heads, 0.7)
    result = train(clustered_digits, damaged, learning_rate=0.003)
    assert result.accepted
    before = clustering_accuracy(y, damaged.predict(features))
    assert clustering_accuracy(y, result.heads.predict(features)) > before + 0.01


def test_history_counts_passes_and_confident_samples(clustered_digits):
    result = train(clustered_digits, n_epochs=4, batch_size=500)
    assert [entry["pass"] for entry in result.history] == [0, 1, 2, 3]
    assert all(0 < entry["confident"] <= 1 for entry in result.history)
    assert all(entry["loss"] > 0 for entry in result.history)


def test_without_confident_samples_the_head_is_kept_with_a_warning(clustered_digits):
    heads = clustered_digits[2]
    unsure = LinearHeads(heads.weights * np.float32(1e-3), heads.biases * np.float32(1e-3))
    with pytest.warns(SkscanWarning, match=r"no sample has a confidence above threshold=0\.99"):
        result = train(clustered_digits, unsure)
    assert not result.accepted
    np.testing.assert_array_equal(result.heads.weights, unsure.weights)


def test_a_vanished_cluster_undoes_the_stage(clustered_digits, monkeypatch):
    _features, _, heads, _ = clustered_digits
    collapsed = LinearHeads(np.zeros_like(heads.weights), np.eye(1, 10, dtype=np.float32))
    monkeypatch.setattr(SelfLabelTrainer, "_fit", lambda *arguments: (collapsed, []))
    with pytest.warns(SkscanWarning, match="9 of 10 clusters became empty"):
        result = train(clustered_digits)
    np.testing.assert_array_equal(result.heads.weights, heads.weights)


def test_worse_criteria_undo_the_stage(clustered_digits, monkeypatch):
    heads = clustered_digits[2]
    monkeypatch.setattr(SelfLabelTrainer, "_fit", lambda *arguments: (noisy(heads, 1.0), []))
    with pytest.warns(SkscanWarning, match="criteria fell"):
        result = train(clustered_digits)
    assert not result.accepted
    np.testing.assert_array_equal(result.heads.weights, heads.weights)


def test_no_change_is_no_reason_to_warn(clustered_digits, monkeypatch, recwarn):
    heads = clustered_digits[2]
    monkeypatch.setattr(SelfLabelTrainer, "_fit", lambda *arguments: (heads, []))
    assert not train(clustered_digits).accepted
    assert not recwarn.list


def test_the_seed_decides_the_result(clustered_digits):
    damaged = noisy(clustered_digits[2], 0.7)
    first, again = (train(clustered_digits, damaged, learning_rate=0.003) for _ in range(2))
    np.testing.assert_array_equal(first.heads.weights, again.heads.weights)


def test_parameters_are_cloned_pickled_and_checked(clustered_digits):
    trainer = SelfLabelTrainer(threshold=0.9, noise=0.1)
    assert clone(trainer).get_params() == trainer.get_params()
    assert pickle.loads(pickle.dumps(trainer)).get_params() == trainer.get_params()
    with pytest.raises(ValueError, match="threshold"):
        train(clustered_digits, threshold=1.5)
