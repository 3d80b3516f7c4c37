"""Linear heads in numpy."""

import pickle

import numpy as np
import pytest

from skscan.networks.heads import LinearHeads


@pytest.fixture
def heads():
    random_state = np.random.RandomState(0)
    weights = random_state.standard_normal((3, 4, 5)).astype(np.float32)
    return LinearHeads(weights, random_state.standard_normal((3, 4)).astype(np.float32))


def test_probabilities_are_the_softmax_of_the_logits(heads):
    features = np.random.RandomState(1).standard_normal((6, 5)).astype(np.float32)
    logits = features @ heads.weights[2].T + heads.biases[2]
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(heads.predict_proba(features, 2), expected, rtol=1e-5)
    np.testing.assert_array_equal(heads.predict(features, 2), expected.argmax(axis=1))


def test_huge_logits_give_finite_probabilities(heads):
    probabilities = heads.predict_proba(np.full((2, 5), 1e4, dtype=np.float32))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_selecting_and_joining(heads):
    assert (len(heads), heads.n_clusters) == (3, 4)
    joined = heads.select(2).join(heads.select(0))
    np.testing.assert_array_equal(joined.weights, heads.weights[[2, 0]])
    np.testing.assert_array_equal(joined.biases, heads.biases[[2, 0]])


def test_pickling(heads):
    copy = pickle.loads(pickle.dumps(heads))
    np.testing.assert_array_equal(copy.weights, heads.weights)
