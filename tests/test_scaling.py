"""FeatureScaler: unit length, principal components, one scale."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

from skscan import FeatureScaler


@parametrize_with_checks([FeatureScaler(), FeatureScaler(2, normalize=True)])
def test_sklearn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)[0]


def test_is_normalised_pca_times_one_number(digits):
    scaler = FeatureScaler(16).fit(digits)
    Z = scaler.transform(digits)
    expected = PCA(16, svd_solver="full").fit_transform(normalize(digits))
    signs = np.sign((Z * expected).sum(axis=0))
    np.testing.assert_allclose(Z * signs, expected * scaler.scale_, atol=1e-3)
    assert Z.dtype == np.float32
    assert (Z**2).mean() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("factor", [1e-100, 1e-12, 1e12, 1e100])
def test_scale_of_the_input_does_not_matter(digits, factor):
    for X in (digits, digits[:, 20:30]):  # with and without normalisation of rows
        expected = FeatureScaler().fit_transform(X)
        np.testing.assert_allclose(FeatureScaler().fit_transform(X * factor), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("dtype", "factor"),
    [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e200), (np.float64, 1e-300)],
)
def test_lengths_whose_squares_overflow_or_vanish(digits, dtype, factor):
    X = digits.astype(dtype)
    expected = FeatureScaler().fit_transform(X)
    Z = FeatureScaler().fit_transform(X * dtype(factor))
    np.testing.assert_allclose(np.abs(Z), np.abs(expected), atol=1e-2)


@pytest.mark.parametrize("factor", [1e-8, 1e-7, 1e-5, 1e5])
def test_short_and_long_rows_are_normalised_like_others(digits, factor):
    X = digits.astype(np.float32)
    scaler = FeatureScaler(normalize=True).fit(X)
    rows = X[:50] * np.float32(factor)
    np.testing.assert_allclose(scaler.transform(rows), scaler.transform(X[:50]), atol=1e-4)


def test_offset_does_not_matter_without_normalisation():
    X = np.random.RandomState(0).randn(100, 4)
    expected = FeatureScaler().fit_transform(X)
    np.testing.assert_allclose(FeatureScaler().fit_transform(X + 1e7), expected, atol=1e-3)


def test_normalize_auto():
    rng = np.random.RandomState(0)
    assert not FeatureScaler().fit(rng.rand(50, 31)).normalize_
    assert FeatureScaler().fit(rng.rand(50, 32)).normalize_
    assert FeatureScaler(normalize=True).fit(rng.rand(50, 3)).normalize_


@pytest.mark.parametrize("shape", [(1, 5), (10, 5), (10, 500), (40, 3000), (1500, 2100)])
def test_shapes(shape):
    X = np.random.RandomState(0).rand(*shape).astype(np.float32)
    Z = FeatureScaler(random_state=0).fit_transform(X)
    assert Z.shape == (shape[0], min(128, *shape))
    assert np.isfinite(Z).all()
    np.testing.assert_array_equal(Z, FeatureScaler(random_state=0).fit_transform(X))


@pytest.mark.parametrize("n_features", [3, 50])
def test_equal_rows_and_zero_rows_stay_finite(n_features):
    for X in (np.ones((10, n_features)), np.zeros((10, n_features))):
        Z = FeatureScaler().fit_transform(X)
        np.testing.assert_allclose(Z, 0, atol=1e-4)


def test_constant_columns_change_nothing():
    X = np.random.RandomState(0).randn(60, 5)
    wide = np.column_stack([X, np.full(60, 3.0)])
    distances = [np.linalg.norm(Z - Z[0], axis=1) for Z in map(_scaled, (X, wide))]
    np.testing.assert_allclose(distances[0] / distances[0][1], distances[1] / distances[1][1], 1e-4)


def _scaled(X):
    return FeatureScaler().fit_transform(X)


@pytest.mark.parametrize(("name", "value"), [("n_components", 0), ("normalize", "maybe")])
def test_wrong_parameters(name, value, digits):
    with pytest.raises(ValueError, match=name):
        FeatureScaler(**{name: value}).fit(digits)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output(container, digits):
    pytest.importorskip(container)
    frame = FeatureScaler(3).set_output(transform=container).fit_transform(digits)
    assert list(frame.columns) == ["featurescaler0", "featurescaler1", "featurescaler2"]


@pytest.fixture
def in_blocks(monkeypatch):
    """Have matrices of any size decomposed in blocks of few rows."""
    monkeypatch.setattr("skscan.scaling._MAX_BYTES_AT_ONCE", 0)
    monkeypatch.setattr("skscan.scaling._BLOCK_ROWS", 100)


def generated(n_samples, n_features, dtype=np.float32):
    rng = np.random.RandomState(0)
    lengths = 0.9 ** np.arange(n_features)
    axes = np.linalg.qr(rng.randn(n_features, n_features))[0]
    return ((rng.randn(n_samples, n_features) * lengths) @ axes + 0.1).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("n_components", [8, None])
def test_blocks_give_what_all_rows_at_once_give(in_blocks, dtype, normalize, n_components):
    X = generated(1050, 40, dtype)
    scaler = FeatureScaler(n_components, normalize=normalize).fit(X)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("skscan.scaling._MAX_BYTES_AT_ONCE", 2**28)
        expected = FeatureScaler(n_components, normalize=normalize).fit(X.astype(np.float64))
    assert scaler.components_.dtype == (dtype if normalize else np.float64)
    assert scaler.scale_ == pytest.approx(expected.scale_, rel=1e-5)
    np.testing.assert_allclose(scaler.mean_, expected.mean_, atol=1e-6)
    ratios = scaler.explained_variance_ratio_, expected.explained_variance_ratio_
    np.testing.assert_allclose(*ratios, atol=1e-6)
    np.testing.assert_allclose(scaler.transform(X)[:, :8], expected.transform(X)[:, :8], atol=1e-4)


def test_blocks_are_decomposed_the_same_each_time_and_X_is_left_as_it_was(in_blocks):
    X = generated(500, 40, np.float64)
    before = X.copy()
    first, second = (FeatureScaler(8, normalize=False).fit(X) for _ in range(2))
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(first.components_, second.components_)


def test_an_offset_does_not_matter_in_blocks(in_blocks):
    X = generated(500, 20, np.float64)
    expected = FeatureScaler(4).fit_transform(X)
    np.testing.assert_allclose(FeatureScaler(4).fit_transform(X + 1e7), expected, atol=1e-3)


def test_equal_rows_in_blocks(in_blocks):
    Z = FeatureScaler().fit_transform(np.ones((300, 40), dtype=np.float32))
    np.testing.assert_allclose(Z, 0, atol=1e-4)
