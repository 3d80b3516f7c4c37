"""LabelTrainer: what it makes of labels, clusters and neighbors."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from skscan import ClusterTrainer, FeatureScaler, LabelTrainer, NeighborMiner
from skscan.constraints import Constraints
from skscan.training.few_labels import _sizes, _with_sizes
from skscan.training.new_classes import seed_new_classes

NONE = np.empty((0, 2), dtype=int)


@pytest.fixture(scope="module")
def found():
    """Features, graph and heads of four kinds of digits, and the classes."""
    X, y = load_digits(n_class=4, return_X_y=True)
    Z = FeatureScaler().fit_transform(X)
    graph = NeighborMiner().fit_transform(Z)
    trainer = ClusterTrainer(n_heads=3)
    heads = trainer.train(Z, graph, 4, random_state=np.random.RandomState(0)).heads
    return Z, graph, heads, y


def train(found, labels, **params):
    Z, graph, heads, _ = found
    constraints = Constraints.from_pairs(labels, NONE, NONE)
    return LabelTrainer(**params).train(
        Z, graph, heads, constraints, 4, random_state=np.random.RandomState(0)
    )


def test_ten_labels_a_class_are_enough_here(found):
    Z, _, _, y = found
    labels = np.full(len(y), -1)
    for c in range(4):
        labels[np.flatnonzero(y == c)[:10]] = c
    result = train(found, labels)
    assert (result.heads.predict(Z) == y).mean() > 0.93
    assert [entry["round"] for entry in result.history] == sorted(
        [0, 1] * (len(result.history) // 2)
    )
    for round_ in (0, 1):
        losses = [entry["loss"] for entry in result.history if entry["round"] == round_]
        assert losses[-1] < losses[0]


def test_scale_of_features_does_not_matter(found):
    Z, graph, heads, y = found
    labels = np.where(np.arange(len(y)) < 30, y, -1)
    plain = train(found, labels).heads.predict(Z)
    big = (100 * Z, graph, heads.for_scale(100), y)
    assert (train(big, labels).heads.predict(100 * Z) == plain).mean() > 0.99


def test_right_labels_decide_not_the_order_of_classes(found):
    Z, _, _, y = found
    labels = np.where(np.arange(len(y)) < 30, y, -1)
    swapped = np.where(labels < 0, -1, 3 - labels)
    one, other = (train(found, given).heads.predict(Z) for given in (labels, swapped))
    assert (one == 3 - other).mean() > 0.98


def test_rounds_keep_uneven_sizes(found):
    Z, _, _, y = found
    sizes = np.array([150, 80, 40, 20])
    kept = np.concatenate([np.flatnonzero(y == c)[:size] for c, size in enumerate(sizes)])
    Z, y = Z[kept], y[kept]
    graph = NeighborMiner().fit_transform(Z)
    heads = (
        ClusterTrainer(n_heads=3).train(Z, graph, 4, random_state=np.random.RandomState(0)).heads
    )
    labels = np.full(len(y), -1)
    rng = np.random.RandomState(0)
    for c in range(4):
        labels[rng.choice(np.flatnonzero(y == c), 10, replace=False)] = c
    predicted = train((Z, graph, heads, y), labels, n_rounds=3).heads.predict(Z)
    assert (predicted == y).mean() > 0.9
    np.testing.assert_allclose(np.bincount(predicted, minlength=4), sizes, atol=10)


def test_heads_with_hidden_layers_may_be_beside_the_features(found):
    Z, graph, _, y = found
    labels = np.where(np.arange(len(y)) < 30, y, -1)
    taught = train(found, labels, n_hidden=16).heads
    assert taught.first_weights.shape == (1, 16, Z.shape[1])
    again = train((Z, graph, taught, y), labels).heads
    assert (again.predict(Z) == y).mean() > 0.9


def test_sizes_are_equal_where_they_look_it():
    p = np.random.RandomState(0).dirichlet([1, 1, 1], 300)
    np.testing.assert_allclose(_sizes(p), 1 / 3)
    tail = np.repeat(np.eye(3) * 0.7 + 0.1, [80, 15, 5], axis=0)
    np.testing.assert_allclose(_sizes(tail), tail.mean(axis=0))


@pytest.mark.parametrize("sizes", [[1 / 3, 1 / 3, 1 / 3], [0.6, 0.3, 0.1]])
def test_columns_are_scaled_to_sizes(sizes):
    p = np.random.RandomState(0).dirichlet([3, 2, 1], 300)
    fitted = _with_sizes(p, np.array(sizes))
    np.testing.assert_allclose(fitted.sum(axis=1), 1)
    np.testing.assert_allclose(fitted.mean(axis=0), sizes, atol=1e-3)


def test_sizes_leave_labels_alone():
    hot = np.eye(3)[[0, 0, 1]]
    np.testing.assert_allclose(_with_sizes(hot, np.full(3, 1 / 3)), hot)


def test_new_classes_take_the_clusters_that_labels_leave():
    probabilities = np.repeat(np.eye(4) * 0.9 + 0.025, 20, axis=0)
    labels = np.full(80, -1)
    labels[[0, 1, 60, 61]] = [1, 1, 0, 0]  # of clusters 0 and 3
    seeded = seed_new_classes(probabilities, labels)
    np.testing.assert_array_equal(seeded[labels >= 0], labels[labels >= 0])
    assert set(np.flatnonzero(seeded == 2) // 20) == {1}
    assert set(np.flatnonzero(seeded == 3) // 20) == {2}
    assert (seeded == 2).sum() == (seeded == 3).sum() == 3


@pytest.mark.parametrize(
    "params",
    [
        {"C": 0},
        {"spreading": 1.0},
        {"sharpening": 0},
        {"cluster_weight": "much"},
        {"n_rounds": 0},
        {"n_hidden": 0},
        {"n_steps": 0},
    ],
)
def test_wrong_parameters_are_refused(found, params):
    [name] = params
    with pytest.raises(ValueError, match=f"The '{name}' parameter of LabelTrainer"):
        train(found, found[3], **params)
