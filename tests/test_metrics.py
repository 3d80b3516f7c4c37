"""Metrics: golden values, properties, scorers."""

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skscan.metrics import (
    CLUSTERING_METRICS,
    clustering_accuracy,
    clustering_report,
    expected_calibration_error,
    get_scorer,
    macro_accuracy,
    many_to_one_accuracy,
    neighbor_purity,
    top_k_accuracy,
)

GOLDEN = np.load(Path(__file__).parent / "golden" / "evaluation.npz")

labels = st.lists(st.integers(0, 5), min_size=1, max_size=40)


@pytest.mark.parametrize("case", ["ten", "fifty"])
def test_golden_values(case):
    y = GOLDEN[f"{case}_targets"]
    head = int(GOLDEN[f"{case}_selected_head"])
    probabilities = GOLDEN[f"{case}_probabilities"][head]
    predicted = probabilities.argmax(axis=1)
    ours = [
        clustering_accuracy(y, predicted),
        normalized_mutual_info_score(y, predicted),
        adjusted_rand_score(y, predicted),
        top_k_accuracy(y, probabilities),
    ]
    np.testing.assert_allclose(ours, GOLDEN[f"{case}_acc_nmi_ari_top5"], rtol=1e-5)


@given(labels, st.permutations(range(6)), st.randoms(use_true_random=False))
def test_renaming_and_reordering_change_nothing(y, names, random):
    y = np.array(y)
    predicted = np.array([random.randrange(4) for _ in y])
    order = np.array(random.sample(range(len(y)), len(y)))
    renamed = np.array(names)[predicted]
    for metric in CLUSTERING_METRICS.values():
        assert metric(y, predicted) == pytest.approx(metric(y, renamed))
        assert metric(y, predicted) == pytest.approx(metric(y[order], predicted[order]))


@given(labels)
def test_perfect_clusters(y):
    assert all(value == pytest.approx(1) for value in clustering_report(y, y).values())


@given(labels, st.randoms(use_true_random=False))
def test_many_to_one_is_at_least_one_to_one(y, random):
    predicted = [random.randrange(8) for _ in y]
    assert many_to_one_accuracy(y, predicted) >= clustering_accuracy(y, predicted)


def test_more_and_fewer_clusters_than_classes():
    assert clustering_accuracy([0, 0, 0, 0], [0, 1, 2, 3]) == 0.25
    assert clustering_accuracy([0, 1, 2, 3], [0, 0, 0, 0]) == 0.25
    assert many_to_one_accuracy([0, 0, 1, 1], [5, 6, 7, 7]) == 1


@given(labels, st.randoms(use_true_random=False))
def test_macro_accuracy_is_the_best_mean_recall_of_the_best_matches(y, random):
    y = np.array(y)
    predicted = np.array([random.randrange(6) for _ in y])
    classes = np.unique(y)
    best = (0, 0.0)
    for names in permutations(range(6)):
        right = np.array(names)[predicted] == y
        best = max(best, (int(right.sum()), np.mean([right[y == c].mean() for c in classes])))
    assert macro_accuracy(y, predicted) == pytest.approx(best[1])


def test_macro_accuracy_shows_that_a_small_class_is_lost():
    y, predicted = [0] * 98 + [1] * 2, [0] * 60 + [1] * 38 + [0] * 2
    assert clustering_accuracy(y, predicted) == 0.6
    assert macro_accuracy(y, predicted) == pytest.approx(60 / 98 / 2)
    assert macro_accuracy(np.repeat(range(4), 25), np.repeat(range(2), 50)) == 0.5


def test_top_k_of_one_is_clustering_accuracy():
    rng = np.random.RandomState(0)
    probabilities = rng.dirichlet(np.ones(6), 100)
    y = rng.randint(4, size=100)
    assert top_k_accuracy(y, probabilities, k=1) == pytest.approx(
        clustering_accuracy(y, probabilities.argmax(axis=1))
    )
    assert top_k_accuracy(y, probabilities, k=6) == 1
    assert top_k_accuracy(y, probabilities, k=50) == 1


def test_bad_arguments():
    with pytest.raises(ValueError, match="inconsistent"):
        clustering_accuracy([0, 1], [0])
    with pytest.raises(ValueError, match="empty"):
        clustering_accuracy([], [])
    with pytest.raises(ValueError, match="k must be at least 1"):
        top_k_accuracy([0, 1], np.eye(2), k=0)
    with pytest.raises(ValueError, match="name must be one of"):
        get_scorer("f1")
    with pytest.raises(ValueError, match="2 labels for a graph"):
        neighbor_purity(csr_matrix((3, 3)), [0, 1])


def test_neighbor_purity_leaves_self_out():
    graph = csr_matrix(np.array([[1, 1, 0], [0, 1, 1], [1, 0, 1]]))
    assert neighbor_purity(graph, ["a", "a", "b"]) == pytest.approx(1 / 3)
    assert np.isnan(neighbor_purity(csr_matrix(np.eye(3)), [0, 1, 2]))


class Identity(ClusterMixin, BaseEstimator):
    """Predicts the first column, with certainty."""

    def fit(self, X, y=None):
        self.n_clusters_ = int(X.max()) + 1
        return self

    def predict(self, X):
        return X[:, 0].astype(int)

    def predict_proba(self, X):
        return np.eye(self.n_clusters_)[self.predict(X)]


@pytest.mark.parametrize("name", [*CLUSTERING_METRICS, "top_5_accuracy"])
def test_scorers(name):
    X = np.arange(12)[:, None] % 3
    model = Identity().fit(X)
    assert get_scorer(name)(model, X, X[:, 0]) == pytest.approx(1)


class TestExpectedCalibrationError:
    """Against the definition, written out in a loop."""

    def test_definition(self):
        rng = np.random.RandomState(0)
        probabilities = rng.dirichlet(np.full(4, 0.4), 500)
        y = np.where(rng.rand(500) < 0.7, probabilities.argmax(axis=1), rng.randint(4, size=500))
        confidence = probabilities.max(axis=1)
        right = probabilities.argmax(axis=1) == y
        expected = 0.0
        for low in np.arange(10) / 10:
            inside = (confidence > low) & (confidence <= low + 0.1)
            if inside.any():
                expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
        assert expected_calibration_error(y, probabilities, n_bins=10) == pytest.approx(expected)

    def test_names_and_order_of_clusters_do_not_matter(self):
        rng = np.random.RandomState(1)
        probabilities = rng.dirichlet(np.ones(3), 200)
        y = probabilities.argmax(axis=1)
        error = expected_calibration_error(y, probabilities)
        assert error == pytest.approx(1 - probabilities.max(axis=1).mean())
        names = np.array(["cat", "dog", "elk"])[y]
        renamed = expected_calibration_error(names[::-1], probabilities[::-1, [2, 0, 1]])
        assert renamed == pytest.approx(error)

    def test_sure_and_right_or_wrong(self):
        sure = np.eye(2)[[0, 0, 1, 1]]
        assert expected_calibration_error([0, 0, 1, 1], sure) == 0
        assert expected_calibration_error([0, 1, 0, 1], sure) == 0.5

    def test_wrong_use(self):
        with pytest.raises(ValueError, match="n_bins must be at least 1, got 0"):
            expected_calibration_error([0, 1], np.eye(2), n_bins=0)
        with pytest.raises(ValueError, match="from 0 to 1, got -3 to 4"):
            expected_calibration_error([0, 1], [[4.0, -3.0], [0.0, 1.0]])
        with pytest.raises(ValueError, match="inconsistent numbers of samples"):
            expected_calibration_error([0, 1, 1], np.eye(2))
