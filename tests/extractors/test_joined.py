"""Several extractors at once."""

import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.pipeline import FeatureUnion
from sklearn.preprocessing import FunctionTransformer

import skscan
from skscan import (
    ClusterTrainer,
    FeatureScaler,
    FeatureSpacesScaler,
    JoinedFeatureExtractor,
    PixelFeatureExtractor,
    SCANClusterer,
    TurtleObjective,
)
from skscan.exceptions import SkippedImagesWarning


@pytest.fixture(scope="module")
def images():
    X, _ = load_digits(n_class=3, return_X_y=True)
    return (X[:90].reshape(-1, 8, 8) * 15.9375).astype(np.uint8)


def pair():
    return [PixelFeatureExtractor(image_size=8), PixelFeatureExtractor(image_size=4)]


def make(extractor, **params):
    defaults = {
        "cluster_trainer": ClusterTrainer(n_heads=2, n_epochs=10),
        "self_label_trainer": "skip",
    }
    return SCANClusterer(3, feature_extractor=extractor, random_state=0, **{**defaults, **params})


def test_features_stand_side_by_side(images):
    joined = JoinedFeatureExtractor(pair())
    features = joined.fit_transform(images)
    expected = [extractor.fit_transform(images) for extractor in pair()]
    np.testing.assert_array_equal(features, np.hstack(expected))
    assert joined.widths_ == tuple(each.shape[1] for each in expected)
    assert len(joined.get_feature_names_out()) == features.shape[1]


def test_a_list_is_scaled_space_by_space(images):
    fitted = make(pair(), feature_scaler=FeatureScaler(6)).fit(images)
    assert fitted.feature_scaler_.spaces_ == (6, 6)
    first = FeatureScaler(6).fit_transform(PixelFeatureExtractor(image_size=8).transform(images))
    np.testing.assert_allclose(fitted.transform(images)[:, :6], first, atol=1e-4)
    np.testing.assert_array_equal(fitted.predict(images), fitted.labels_)


def test_turtle_knows_the_spaces_of_a_list(images, tmp_path):
    trainer = ClusterTrainer(objective=TurtleObjective(), n_heads=2, n_epochs=5)
    fitted = make(pair(), cluster_trainer=trainer).fit(images)
    widths = [space.n_features for space in fitted.heads_.spaces]
    assert tuple(widths) == fitted.feature_scaler_.spaces_
    assert len(widths) == 2
    again = skscan.load(skscan.save(fitted, tmp_path))
    np.testing.assert_array_equal(again.predict_proba(images), fitted.predict_proba(images))


def test_turtle_knows_the_spaces_of_a_matrix(images):
    X = JoinedFeatureExtractor(pair()).fit_transform(images)
    trainer = ClusterTrainer(objective="turtle", n_heads=2, n_epochs=5)
    widths = [64, X.shape[1] - 64]
    fitted = make(
        "default", feature_scaler=FeatureSpacesScaler(widths), cluster_trainer=trainer
    ).fit(X)
    assert len(fitted.heads_.spaces) == 2
    np.testing.assert_array_equal(fitted.predict(X), fitted.labels_)


def test_a_feature_union_is_one_space(images):
    union = FeatureUnion([("large", pair()[0]), ("small", pair()[1])])
    trainer = ClusterTrainer(objective="turtle", n_heads=2, n_epochs=5)
    fitted = make(union, cluster_trainer=trainer).fit(images)
    assert len(fitted.heads_.spaces) == 1
    assert fitted.n_features_in_ == 64 + 16


def test_names_and_foreign_transformers_in_a_list(images):
    foreign = FunctionTransformer(lambda X: np.asarray(X).reshape(len(X), -1)[:, ::2] / 255.0)
    fitted = make([foreign, PixelFeatureExtractor(image_size=4)]).fit(images)
    assert fitted.feature_extractor_.widths_ == (32, 16)
    clusterer = clone(SCANClusterer(3, feature_extractor=["default", foreign]))
    assert clusterer.feature_extractor[0] == "default"


def test_an_image_that_cannot_be_read_is_skipped_once(images, tmp_path):
    for i, pixels in enumerate(images[:30]):
        Image.fromarray(pixels).save(tmp_path / f"{i:02d}.png")
    (tmp_path / "05a.png").write_bytes(b"no picture")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedImagesWarning)
        fitted = make(pair()).fit(tmp_path)
    assert [image.index for image in fitted.skipped_] == [6]
    assert fitted.labels_[6] == -1
    assert (np.delete(fitted.labels_, 6) >= 0).all()


def test_each_extraction_is_cached_on_its_own(images, tmp_path, monkeypatch):
    make(pair(), memory=str(tmp_path)).fit(images)
    extracted = []
    original = PixelFeatureExtractor._compute

    def noting(self):
        extracted.append(self.image_size)
        return original(self)

    monkeypatch.setattr(PixelFeatureExtractor, "_compute", noting)
    three = [*pair(), PixelFeatureExtractor(image_size=2)]
    make(three, memory=str(tmp_path)).fit(images)
    assert extracted == [2]


def test_settings_reach_the_extractors(images):
    fitted = make(pair(), n_jobs=1).fit(images)
    assert [each.n_jobs for each in fitted.feature_extractor_.extractors_] == [1, 1]


@pytest.mark.parametrize(
    ("extractors", "error", "message"),
    [([], ValueError, "empty sequence"), ([3], TypeError, "extractors got 3")],
)
def test_wrong_lists_are_named(images, extractors, error, message):
    with pytest.raises(error, match=message):
        JoinedFeatureExtractor(extractors).fit(images)
