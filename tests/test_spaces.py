"""Several feature spaces in one matrix: each scaled on its own."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.preprocessing import StandardScaler

import skscan
from skscan import FeatureScaler, FeatureSpacesScaler


@pytest.fixture
def X():
    random_state = np.random.RandomState(0)
    return np.hstack([1000 * random_state.rand(60, 40), random_state.rand(60, 6)])


def test_each_space_is_scaled_as_if_alone(X):
    scaler = FeatureSpacesScaler([40, 6], FeatureScaler(5))
    Z = scaler.fit_transform(X)
    assert scaler.spaces_ == (5, 5)
    np.testing.assert_allclose(Z[:, :5], FeatureScaler(5).fit_transform(X[:, :40]), rtol=1e-5)
    np.testing.assert_allclose(Z[:, 5:], FeatureScaler(5).fit_transform(X[:, 40:]), rtol=1e-5)
    assert Z.dtype == np.float32


def test_the_default_is_the_feature_scaler(X):
    scaler = FeatureSpacesScaler([40, 6]).fit(X)
    assert [type(each) for each in scaler.scalers_] == [FeatureScaler] * 2
    assert scaler.spaces_ == (40, 6)
    assert len(scaler.get_feature_names_out()) == 46


def test_the_scale_of_a_space_does_not_matter(X):
    scaled = X * np.repeat([1.0, 1024.0], [40, 6])
    make = FeatureSpacesScaler([40, 6], FeatureScaler(4))
    np.testing.assert_allclose(
        clone(make).fit_transform(X), clone(make).fit_transform(scaled), rtol=1e-3, atol=1e-4
    )


def test_scalers_of_sklearn_serve_too(X):
    Z = FeatureSpacesScaler([40, 6], StandardScaler()).fit_transform(X)
    np.testing.assert_allclose(Z, StandardScaler().fit_transform(X), rtol=1e-4, atol=1e-5)


def test_the_seed_reaches_scalers_that_have_none(X):
    scaler = FeatureSpacesScaler([40, 6], random_state=3).fit(X)
    seeds = [each.random_state for each in scaler.scalers_]
    again = FeatureSpacesScaler([40, 6], random_state=3).fit(X)
    assert None not in seeds
    assert seeds == [each.random_state for each in again.scalers_]


@pytest.mark.parametrize("widths", [[40, 5], [40, 6, 0], [46.0], [50, -4]])
def test_wrong_widths_are_refused(X, widths):
    with pytest.raises(ValueError, match=r"widths=.*add up to the number of features, which is 46"):
        FeatureSpacesScaler(widths).fit(X)


def test_saving_and_pickling(X, tmp_path):
    scaler = FeatureSpacesScaler([40, 6], FeatureScaler(4)).fit(X)
    for copy in (
        pickle.loads(pickle.dumps(scaler)),
        skscan.load(skscan.save(scaler, tmp_path)),
    ):
        np.testing.assert_array_equal(copy.transform(X), scaler.transform(X))
        assert copy.spaces_ == scaler.spaces_
