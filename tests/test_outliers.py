"""Outlier scores: new samples beside the training ones."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score

from skscan import (
    FeatureScaler,
    FeatureSpacesScaler,
    NeighborMiner,
    SCANClassifier,
    SCANClusterer,
)
from skscan import outliers as outliers_module
from skscan.outliers import OutlierScorer, outlying_rows


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X.astype(np.float32), y


@pytest.fixture(scope="module")
def fitted(digits):
    """Fitted on half of the digits below 5."""
    X, y = digits
    return SCANClusterer(5, effort="fast", random_state=0).fit(X[y < 5][::2])


def test_other_digits_are_told_apart(fitted, digits):
    X, y = digits
    inside, outside = X[y < 5][1::2], X[y >= 5]
    scores = fitted.outlier_scores(np.concatenate([inside, outside]))
    is_outside = np.repeat([0, 1], [len(inside), len(outside)])
    assert roc_auc_score(is_outside, scores) > 0.95
    assert np.median(scores[: len(inside)]) == pytest.approx(1, abs=0.1)
    pixels = np.random.RandomState(0).rand(20, 64) * 16
    assert fitted.outlier_scores(pixels).min() > np.quantile(scores[: len(inside)], 0.99)


def test_training_samples_are_measured_to_the_others(fitted, digits):
    X, y = digits
    np.testing.assert_array_equal(fitted.outlier_scores(X[y < 5][::2]), fitted.outlier_scores_)
    assert np.median(fitted.outlier_scores_) == pytest.approx(1)


def test_scores_are_distances_as_they_are_defined(digits):
    X = digits[0][:200]
    scaler = FeatureScaler(8).fit(X)
    Z, left_out = scaler.transform(X), scaler.left_out_lengths(X)
    scorer, scores = OutlierScorer.fit(Z, left_out, NeighborMiner(20).fit_transform(Z))
    distances = np.linalg.norm(Z[:, None].astype(float) - Z[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest = np.sort(distances, axis=1)[:, :10]
    means = np.sqrt(nearest**2 + left_out[:, None] ** 2).mean(axis=1)
    np.testing.assert_allclose(scores, means / np.median(means), rtol=1e-4)
    assert scorer.typical == pytest.approx(np.median(means), rel=1e-4)


def test_what_is_left_out_is_the_distance_to_the_components(digits):
    X = digits[0]
    scaler = FeatureScaler(8).fit(X)
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    pca = PCA(8).fit(unit)
    expected = np.linalg.norm(unit - pca.inverse_transform(pca.transform(unit)), axis=1)
    np.testing.assert_allclose(
        scaler.left_out_lengths(X), expected * scaler.scale_, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(FeatureScaler(None).fit(X).left_out_lengths(X), 0, atol=0.05)
    spaces = FeatureSpacesScaler([32, 32], FeatureScaler(4)).fit(X)
    parts = [FeatureScaler(4).fit(part).left_out_lengths(part) for part in np.split(X, 2, axis=1)]
    np.testing.assert_allclose(spaces.left_out_lengths(X), np.hypot(*parts), rtol=1e-4)


def test_what_scaling_leaves_out_counts():
    """New samples that differ in a direction in which training samples do not vary."""
    rng = np.random.RandomState(0)
    X = np.hstack([rng.randn(300, 5), 1e-3 * rng.randn(300, 5)])
    model = SCANClusterer(3, feature_scaler=FeatureScaler(5), effort="fast", random_state=0).fit(X)
    odd = X[:50].copy()
    odd[:, 7] += 2
    assert model.outlier_scores(odd).min() > 1.5
    without = SCANClusterer(3, feature_scaler=PCA(5), effort="fast", random_state=0).fit(X)
    assert without.outlier_scores(odd).shape == (50,)


def test_more_samples_than_are_kept(digits, monkeypatch):
    X = digits[0]
    monkeypatch.setattr(outliers_module, "MAX_REFERENCES", 500)
    model = SCANClusterer(10, effort="fast", random_state=0).fit(X)
    assert len(model._outlier_scorer.references) == 500
    scores = model.outlier_scores(X)
    assert np.median(scores) == pytest.approx(1, abs=0.05)
    assert np.corrcoef(scores, model.outlier_scores_)[0, 1] > 0.8


def test_single_oddities_stand_out(digits):
    X = digits[0][:500].copy()
    X[123] = np.random.RandomState(0).rand(64) * 16
    X[45] = 16 - X[45]
    model = SCANClusterer(10, effort="fast", random_state=0).fit(X)
    assert set(model.outlier_indices_[:2]) == {45, 123}
    assert len(model.outlier_indices_) < 25
    assert (np.diff(model.outlier_scores_[model.outlier_indices_]) <= 0).all()


def test_outlying_rows():
    scores = np.r_[np.exp(0.1 * np.random.RandomState(0).randn(1000)), 3, np.nan, np.inf]
    assert outlying_rows(scores)[:2].tolist() == [1002, 1000]
    assert outlying_rows(np.full(3, np.nan)).tolist() == []
    assert outlying_rows(np.ones(10)).tolist() == []


def test_samples_without_neighbours_are_infinitely_far():
    graph = NeighborMiner(2).fit_transform(np.arange(5.0)[:, None]).tolil()
    graph[4] = 0
    features = np.arange(5, dtype=np.float32)[:, None]
    _, scores = OutlierScorer.fit(features, np.zeros(5), graph.tocsr())
    assert np.flatnonzero(np.isinf(scores)).tolist() == [4]


def test_equal_samples():
    X = np.ones((30, 4), dtype=np.float32)
    scorer, scores = OutlierScorer.fit(X, np.zeros(30), NeighborMiner(5).fit_transform(X))
    np.testing.assert_array_equal(scores, 0)
    assert scorer.score(X + 1, np.zeros(30)).min() > 0


def test_assess_is_all_of_it(fitted, digits):
    X = digits[0][:50]
    found = fitted.assess(X)
    np.testing.assert_array_equal(found.labels, fitted.predict(X))
    np.testing.assert_array_equal(found.probabilities, fitted.predict_proba(X))
    np.testing.assert_array_equal(found.outlier_scores, fitted.outlier_scores(X))


def test_pickling(fitted, digits):
    X = digits[0][:50]
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.outlier_scores(X), fitted.outlier_scores(X))


def test_models_without_training_samples(fitted, digits):
    with pytest.raises(NotFittedError):
        SCANClusterer().outlier_scores(digits[0])
    converted = copy.copy(fitted)
    del converted._outlier_scorer
    with pytest.raises(ValueError, match="needs the training samples"):
        converted.outlier_scores(digits[0])
    assert np.isnan(converted.assess(digits[0][:5]).outlier_scores).all()


def test_a_classifier_knows_it_too(digits):
    X, y = digits
    known = y < 5
    few = np.full(known.sum(), -1)
    few[:40] = y[known][:40]
    model = SCANClassifier(effort="fast", random_state=0).fit(X[known], few)
    assert np.median(model.outlier_scores(X[~known])) > 1.2
    found = model.assess(X[known][:20])
    np.testing.assert_array_equal(found.labels, model.predict(X[known][:20]))
    assert not set(model.ambiguous_indices_) & set(np.flatnonzero(few >= 0))
    assert model.near_duplicates_.shape[1] == 2
