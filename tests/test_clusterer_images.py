"""SCANClusterer on images: every form of images, unreadable ones, any extractor."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import skscan
from skscan import PixelFeatureExtractor, SCANClusterer, TimmFeatureExtractor
from skscan.exceptions import ImageReadError, SkippedImagesWarning
from skscan.images import list_images
from skscan.metrics import clustering_accuracy

N = 90


@pytest.fixture(scope="module")
def digits():
    """Three kinds of digits as grey images, and their classes."""
    X, y = load_digits(n_class=3, return_X_y=True)
    return (X[:N].reshape(-1, 8, 8) * 15.9375).astype(np.uint8), y[:N]


@pytest.fixture(scope="module")
def folder(digits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    for i, (pixels, label) in enumerate(zip(*digits, strict=True)):
        (folder / str(label)).mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / str(label) / f"{i:03d}.png")
    return folder


@pytest.fixture
def broken_folder(folder, tmp_path):
    """Good images, and an empty, a truncated and a false one."""
    paths = list_images(folder)
    for i, path in enumerate(paths):
        shutil.copy(path, tmp_path / f"{i:03d}.png")
    (tmp_path / "000a.png").write_bytes(b"")
    (tmp_path / "050a.jpg").write_bytes(b"this is no picture")
    (tmp_path / "zzz.png").write_bytes(Path(paths[0]).read_bytes()[:40])
    return tmp_path


def make(**params):
    defaults = {"feature_extractor": PixelFeatureExtractor(image_size=8), "effort": "fast"}
    return SCANClusterer(3, random_state=0, **{**defaults, **params})


@pytest.fixture(scope="module")
def fitted(digits):
    return make().fit(digits[0])


def test_pixels_is_the_name_of_an_extractor(digits):
    named = make(feature_extractor="pixels").fit(digits[0])
    given = make(feature_extractor=PixelFeatureExtractor()).fit(digits[0])
    np.testing.assert_array_equal(named.labels_, given.labels_)
    named.set_params(feature_extractor__image_size=5)
    assert named.fit(digits[0]).n_features_in_ == 25


def test_every_form_of_images_gives_the_same_classes(digits, folder, fitted, tmp_path):
    images, _ = digits
    by_number = sorted(list_images(folder), key=lambda path: path[-7:])
    with zipfile.ZipFile(tmp_path / "digits.zip", "w") as archive:
        for i, path in enumerate(by_number):
            archive.write(path, f"{i:03d}.png")
    pandas = pytest.importorskip("pandas")
    forms = {
        "grey array": images,
        "one channel": images[..., None],
        "three channels": np.repeat(images[..., None], 3, axis=3),
        "float array": images / 255,
        "paths": by_number,
        "array of paths": np.array(by_number),
        "series of paths": pandas.Series(by_number),
        "PIL images": [Image.fromarray(image) for image in images],
        "arrays": list(images),
        "zip": tmp_path / "digits.zip",
        "labelled": [(Image.fromarray(image), 7) for image in images],
    }
    for name, form in forms.items():
        labels = clone(fitted).fit(form).labels_
        np.testing.assert_array_equal(labels, fitted.labels_, err_msg=name)
        np.testing.assert_array_equal(fitted.predict(form), fitted.labels_, err_msg=name)


def test_a_folder_is_sorted(folder):
    y = [path.split("/")[-2] for path in list_images(folder)]
    assert clustering_accuracy(y, make().fit_predict(folder)) > 0.9


def test_a_torch_data_set(digits, fitted):
    torch = pytest.importorskip("torch")

    class Digits(torch.utils.data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, i):
            return Image.fromarray(digits[0][i]), int(digits[1][i])

    np.testing.assert_array_equal(fitted.predict(Digits()), fitted.labels_)


def test_attributes(fitted):
    assert fitted.n_features_in_ == 64
    assert isinstance(fitted.feature_extractor_, PixelFeatureExtractor)
    assert fitted.skipped_ == []
    assert fitted.transform(np.zeros((2, 8, 8), dtype=np.uint8)).shape[0] == 2


class TestUnreadableImages:
    """One bad file among many is reported and skipped; no row is lost."""

    def test_fit(self, broken_folder):
        with pytest.warns(SkippedImagesWarning, match="3 of 93"):
            clusterer = make().fit(broken_folder)
        bad = [1, 52, 92]
        np.testing.assert_array_equal(np.flatnonzero(clusterer.labels_ < 0), bad)
        assert [image.index for image in clusterer.skipped_] == bad
        assert all(image.reason for image in clusterer.skipped_)
        assert np.isnan(clusterer.probabilities_[bad]).all()
        assert np.isfinite(np.delete(clusterer.probabilities_, bad, axis=0)).all()
        assert clusterer.neighbors_.shape == (93, 93)
        assert clusterer.neighbors_[bad].nnz == clusterer.neighbors_[:, bad].nnz == 0
        np.testing.assert_array_equal(clusterer.labels_[clusterer.prototype_indices_], np.arange(3))

    def test_predict(self, broken_folder, fitted):
        with pytest.warns(SkippedImagesWarning):
            labels = fitted.predict(broken_folder)
        np.testing.assert_array_equal(np.flatnonzero(labels < 0), [1, 52, 92])
        with pytest.warns(SkippedImagesWarning):
            assert np.isfinite(fitted.score(broken_folder))

    def test_raise(self, broken_folder):
        extractor = PixelFeatureExtractor(image_size=8, errors="raise")
        with pytest.raises(ImageReadError, match="000a"):
            make(feature_extractor=extractor).fit(broken_folder)

    def test_saved_and_loaded(self, broken_folder, tmp_path_factory):
        with pytest.warns(SkippedImagesWarning):
            clusterer = make().fit(broken_folder)
        again = skscan.load(skscan.save(clusterer, tmp_path_factory.mktemp("model")))
        assert again.skipped_ == clusterer.skipped_
        np.testing.assert_array_equal(again.labels_, clusterer.labels_)


class Brightness(TransformerMixin, BaseEstimator):
    """A foreign extractor: rows of mean brightness."""

    def __init__(self, n_rows=None):
        self.n_rows = n_rows

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        rows = np.asarray(X, dtype=float).mean(axis=2)
        return rows[: self.n_rows]


def test_foreign_extractor(digits):
    clusterer = make(feature_extractor=Brightness()).fit(digits[0])
    assert clusterer.n_features_in_ == 8
    np.testing.assert_array_equal(clusterer.predict(digits[0]), clusterer.labels_)
    with pytest.raises(ValueError, match="gave 5 rows for 90 images"):
        make(feature_extractor=Brightness(n_rows=5)).fit(digits[0])


def test_features_for_a_model_of_images(fitted):
    with pytest.raises(ValueError, match="was fitted on images"):
        fitted.predict(np.ones((4, 64)))


def test_pipeline_of_extractor_and_clusterer(digits):
    images, y = digits
    model = make_pipeline(PixelFeatureExtractor(image_size=8), make(feature_extractor="default"))
    assert clustering_accuracy(y, model.fit_predict(images)) > 0.9


def test_grid_search_over_images_that_can_be_indexed(folder):
    grid = {"feature_extractor__image_size": [4, 8], "cluster_trainer__n_heads": [2]}
    search = GridSearchCV(make(), grid, cv=2).fit(list_images(folder))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


class TestMemory:
    """With a memory, images are decoded once."""

    def test_features_are_cached_by_content(self, folder, digits, tmp_path, monkeypatch):
        clusterer = make(memory=str(tmp_path))
        expected = clusterer.fit(digits[0]).labels_
        calls = []
        monkeypatch.setattr(
            PixelFeatureExtractor, "_compute", lambda self: calls.append(self) or 1 / 0
        )
        again = make(memory=str(tmp_path)).set_params(feature_extractor__batch_size=7)
        np.testing.assert_array_equal(again.fit(digits[0].copy()).labels_, expected)
        assert not calls
        again.fit(digits[0][:-1])  # every image of them is known
        assert not calls
        with pytest.raises(ZeroDivisionError):
            again.set_params(feature_extractor__image_size=4).fit(digits[0])

    def test_a_changed_file_is_read_again(self, broken_folder, tmp_path_factory):
        cache = tmp_path_factory.mktemp("cache")
        with pytest.warns(SkippedImagesWarning):
            first = make(memory=str(cache)).fit(broken_folder)
        (broken_folder / "000a.png").write_bytes((broken_folder / "000.png").read_bytes())
        with pytest.warns(SkippedImagesWarning):
            second = make(memory=str(cache)).fit(broken_folder)
        assert (len(first.skipped_), len(second.skipped_)) == (3, 2)


def test_embedded_backbone(folder):
    clusterer = make(feature_extractor=TimmFeatureExtractor(image_size=32)).fit(folder)
    assert clusterer.n_features_in_ == 1280
    assert (clusterer.labels_ >= 0).all()
