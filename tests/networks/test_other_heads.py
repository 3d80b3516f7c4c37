"""Heads with hidden layers and heads over several spaces, in numpy."""

import math
import pickle

import numpy as np
import pytest

from skscan.networks.averaged_heads import AveragedHeads
from skscan.networks.heads import LinearHeads
from skscan.networks.mlp_heads import MLPHeads

N_FEATURES = 7


def mlp_heads(seed=0):
    def draw(*shape):
        return random_state.standard_normal(shape).astype(np.float32)

    random_state = np.random.RandomState(seed)
    directions = draw(3, 4, 5)
    directions /= np.linalg.norm(directions, axis=2, keepdims=True)
    return MLPHeads(draw(3, 6, N_FEATURES), draw(3, 6), draw(3, 5, 6), draw(3, 5), directions, 0.1)


def averaged_heads(seed=0):
    def draw(*shape):
        return random_state.standard_normal(shape).astype(np.float32)

    random_state = np.random.RandomState(seed)
    return AveragedHeads(
        [LinearHeads(draw(3, 4, 5), draw(3, 4)), LinearHeads(draw(3, 4, 2), draw(3, 4))]
    )


@pytest.fixture(params=[mlp_heads, averaged_heads], ids=["mlp", "averaged"])
def make_heads(request):
    return request.param


@pytest.fixture
def features():
    return np.random.RandomState(1).standard_normal((9, N_FEATURES)).astype(np.float32)


def softmax(logits):
    powers = [math.exp(value - max(logits)) for value in logits]
    return [power / sum(powers) for power in powers]


def test_mlp_is_that_of_the_formula_sample_by_sample(features):
    heads, head = mlp_heads(), 2
    for sample, given in zip(features, heads.predict_proba(features, head), strict=True):
        before = [
            float(sample @ row) + float(bias)
            for row, bias in zip(heads.first_weights[head], heads.first_biases[head], strict=True)
        ]
        hidden = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in before]
        inner = np.array(
            [
                sum(w * h for w, h in zip(row, hidden, strict=True)) + bias
                for row, bias in zip(
                    heads.second_weights[head], heads.second_biases[head], strict=True
                )
            ]
        )
        inner /= math.sqrt(sum(x**2 for x in inner))
        logits = [float(inner @ direction) / 0.1 for direction in heads.directions[head]]
        np.testing.assert_allclose(given, softmax(logits), rtol=1e-3, atol=1e-6)


def test_spaces_are_averaged_sample_by_sample(features):
    heads, head = averaged_heads(), 1
    for sample, given in zip(features, heads.predict_proba(features, head), strict=True):
        parts = (sample[:5], sample[5:])
        each = [
            softmax(list(space.weights[head] @ part + space.biases[head]))
            for space, part in zip(heads.spaces, parts, strict=True)
        ]
        np.testing.assert_allclose(given, np.mean(each, axis=0), rtol=1e-4, atol=1e-7)


def test_shape_of_the_heads(make_heads):
    heads = make_heads()
    assert (len(heads), heads.n_clusters, heads.n_features) == (3, 4, N_FEATURES)


def test_prediction_is_the_most_probable_cluster(make_heads, features):
    heads = make_heads()
    for head in range(3):
        probabilities = heads.predict_proba(features, head)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        np.testing.assert_array_equal(heads.predict(features, head), probabilities.argmax(axis=1))
        assert probabilities.dtype == np.float32


def test_selecting_and_joining(make_heads, features):
    heads, other = make_heads(), make_heads(seed=1)
    joined = heads.select(2).join(other)
    assert len(joined) == 4
    np.testing.assert_array_equal(joined.logits(features, 0), heads.logits(features, 2))
    np.testing.assert_array_equal(joined.logits(features, 3), other.logits(features, 2))


def test_heads_of_two_temperatures_do_not_join():
    other = pickle.loads(pickle.dumps(mlp_heads()))
    object.__setattr__(other, "temperature", 0.5)
    with pytest.raises(ValueError, match="temperature"):
        mlp_heads().join(other)


def test_heads_for_another_scale(make_heads, features):
    heads = make_heads()
    np.testing.assert_allclose(
        heads.for_scale(4.0).logits(4 * features, 1), heads.logits(features, 1), atol=1e-4
    )


def test_pickling(make_heads, features):
    heads = make_heads()
    copy = pickle.loads(pickle.dumps(heads))
    np.testing.assert_array_equal(copy.logits(features, 1), heads.logits(features, 1))


def test_extreme_features_give_finite_probabilities(make_heads):
    for value in (0.0, 1e6, -1e6):
        probabilities = make_heads().predict_proba(np.full((2, N_FEATURES), value, np.float32))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
