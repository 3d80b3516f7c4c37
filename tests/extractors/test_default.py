import gzip
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

import skscan
from skscan import PixelFeatureExtractor, TimmFeatureExtractor
from skscan.exceptions import ImageReadError, SkippedImagesWarning
from skscan.extractors.default import DefaultFeatureExtractor
from skscan.images import as_collection, list_images
from skscan.metrics import clustering_accuracy
from skscan.scaling import FeatureScaler

N_IMAGES = 200


def digits(n_images=N_IMAGES):
    images, y = load_digits(return_X_y=True)
    return np.rint(images[:n_images].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8), y[:n_images]


def enlarge(images, filtering):
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((128, 128), filtering)) for image in images]
    )


def kmeans_accuracy(features, y):
    Z = FeatureScaler(random_state=0).fit_transform(features)
    n_clusters = len(np.unique(y))
    return clustering_accuracy(y, KMeans(n_clusters, n_init=10, random_state=0).fit_predict(Z))


def assert_takes_the_better_one(extractor, images, y):
    """Assert that what was chosen serves k-means as well as the better single representation."""
    chosen = kmeans_accuracy(extractor.transform(images), y)
    backbone = kmeans_accuracy(TimmFeatureExtractor().transform(images), y)
    pixels = kmeans_accuracy(PixelFeatureExtractor().transform(images), y)
    assert chosen >= max(backbone, pixels) - 0.02


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory):
    """A folder of 150 digits, one of which is empty."""
    folder = tmp_path_factory.mktemp("digits")
    for i, image in enumerate(digits(150)[0]):
        Image.fromarray(image).save(folder / f"{i:03}.png")
    (folder / "007.png").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def fitted_on_files(digit_files):
    return DefaultFeatureExtractor().fit(digit_files)


@pytest.mark.parametrize("size", ["8 px", "128 px, smooth", "128 px, in blocks"])
def test_pixels_have_a_say_on_digits_of_any_size(size):
    images, y = digits()
    if size != "8 px":
        smooth = size.endswith("smooth")
        images = enlarge(images, Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST)
    extractor = DefaultFeatureExtractor().fit(images)
    assert extractor.choice_ in {"pixels", "both"}
    assert extractor.evidence_[extractor.choice_] > 1.1 * extractor.evidence_["backbone"]
    assert extractor.choice_ in extractor.reason_
    if size == "128 px, smooth":  # one size, for the sake of time
        assert_takes_the_better_one(extractor, images, y)


def test_the_backbone_is_taken_for_garments():
    folder = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
    if "SKSCAN_TEST_DATA" in os.environ and not folder.is_dir():
        folder = Path(os.environ["SKSCAN_TEST_DATA"]) / "fashion-mnist"
    if not folder.is_dir():
        pytest.skip("Fashion-MNIST is not there (Debian's package dataset-fashion-mnist)")
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:400]
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz") as file:
        y = np.frombuffer(file.read(), np.uint8, offset=8)[:400]
    extractor = DefaultFeatureExtractor().fit(images)
    assert extractor.choice_ == "backbone"
    assert_takes_the_better_one(extractor, images, y)


def test_the_backbone_is_taken_for_grey_photographs(stl10_zip):
    paths = [path for path in list_images(stl10_zip) if "test" in path][::13]
    photographs = as_collection(paths)
    images = [photographs.read(i).convert("L") for i in range(len(photographs))]
    y = [Path(path).parent.name for path in paths]
    extractor = DefaultFeatureExtractor().fit(images)
    assert extractor.choice_ == "backbone"
    assert extractor.evidence_["backbone"] > 2 * extractor.evidence_["pixels"]
    assert_takes_the_better_one(extractor, images, np.unique(y, return_inverse=True)[1])


def test_colour_images_are_not_compared(monkeypatch):
    monkeypatch.setattr(TimmFeatureExtractor, "extract", lambda *args: pytest.fail("was used"))
    images = np.random.RandomState(0).randint(0, 256, (200, 16, 16, 3)).astype(np.uint8)
    extractor = DefaultFeatureExtractor().fit(images)
    assert extractor.choice_ == "backbone"
    assert extractor.evidence_ == {}
    assert "64 of 64" in extractor.reason_
    assert "colours" in extractor.reason_


@pytest.mark.parametrize(("n_colour", "grey"), [(0, True), (2, True), (10, False), (40, False)])
def test_grey_means_nearly_all_images(n_colour, grey):
    images = np.repeat(digits(40)[0][..., None], 3, axis=3)
    images[:n_colour, ..., 2] = 0
    reason = DefaultFeatureExtractor().fit(images).reason_
    assert ("40 grey images are too few" in reason) == grey
    assert (f"{n_colour} of 40 images looked at have colours" in reason) != grey


def test_grey_images_in_colour_jpegs_are_grey(tmp_path):
    for i, image in enumerate(enlarge(digits(20)[0], Image.Resampling.BICUBIC)):
        Image.fromarray(image).convert("RGB").save(tmp_path / f"{i}.jpg", quality=80)
    assert "20 grey images" in DefaultFeatureExtractor().fit(tmp_path).reason_


def test_the_choice_is_applied_unchanged(fitted_on_files, digit_files):
    assert fitted_on_files.choice_ == "both"
    with pytest.warns(SkippedImagesWarning):
        together, _ = fitted_on_files.extract(digit_files)
    alone = fitted_on_files.transform([digit_files / "003.png"])
    np.testing.assert_allclose(alone[0], together[3], rtol=1e-3, atol=1e-4)
    colours = np.random.RandomState(0).randint(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    assert fitted_on_files.transform(colours).shape == (2, 1280 + 256)
    assert len(fitted_on_files.get_feature_names_out()) == 1280 + 256


def test_both_have_an_equal_say(fitted_on_files):
    features = fitted_on_files.transform(digits(150)[0])
    assert features.dtype == np.float32
    assert features[:, :1280].var(axis=0).sum() == pytest.approx(1, abs=0.1)
    assert features[:, 1280:].var(axis=0).sum() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("choice", ["backbone", "pixels"])
def test_a_single_representation_is_the_extractors_own(fitted_on_files, choice):
    extractor = pickle.loads(pickle.dumps(fitted_on_files))
    extractor.choice_ = choice
    own = {"backbone": TimmFeatureExtractor(), "pixels": PixelFeatureExtractor()}[choice]
    images = digits(5)[0]
    np.testing.assert_array_equal(extractor.transform(images), own.transform(images))
    assert len(extractor.get_feature_names_out()) == own.transform(images).shape[1]


def test_fitting_again_finds_the_same():
    images = digits(120)[0]
    extractor = DefaultFeatureExtractor(image_size=32).fit(images)
    again = clone(extractor).fit(images)
    assert again.evidence_ == pytest.approx(extractor.evidence_, abs=1e-3)
    assert again.choice_ == extractor.choice_


def test_saved_and_pickled_extractors_give_the_same_features(fitted_on_files, tmp_path):
    images = digits(5)[0]
    expected = fitted_on_files.transform(images)
    for restored in (
        pickle.loads(pickle.dumps(fitted_on_files)),
        skscan.load(skscan.save(fitted_on_files, tmp_path / "model")),
    ):
        np.testing.assert_array_equal(restored.transform(images), expected)
        assert restored.evidence_ == fitted_on_files.evidence_


def test_unreadable_images_are_rows_of_nan(fitted_on_files, digit_files):
    with pytest.warns(SkippedImagesWarning, match="1 of 150") as warned:
        features, skipped = fitted_on_files.extract(digit_files)
    assert len(warned) == 1
    assert [image.index for image in skipped] == [7]
    assert np.flatnonzero(np.isnan(features).any(axis=1)).tolist() == [7]
    assert np.isnan(features[7]).all()


def test_unreadable_images_raise_if_asked_to(digit_files):
    with pytest.raises(ImageReadError, match=r"007\.png"):
        DefaultFeatureExtractor(errors="raise").fit(digit_files)


def test_the_choice_is_announced(capsys):
    DefaultFeatureExtractor(verbose=1).fit(digits(20)[0])
    captured = capsys.readouterr()
    assert "backbone" in captured.err
    assert "20 grey images are too few" in captured.err
    assert captured.out == ""


@pytest.mark.filterwarnings("error")
def test_equal_images_leave_the_backbone():
    extractor = DefaultFeatureExtractor(image_size=32).fit(np.zeros((120, 8, 8), dtype=np.uint8))
    assert extractor.choice_ == "backbone"
    assert extractor.evidence_ == {"backbone": 0, "pixels": 0, "both": 0}


def test_transform_needs_fit():
    with pytest.raises(NotFittedError):
        DefaultFeatureExtractor().transform(digits(5)[0])


@pytest.mark.parametrize(("name", "value"), [("image_size", 0), ("errors", "no"), ("n_jobs", 1.5)])
def test_wrong_parameters_are_named(name, value):
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        DefaultFeatureExtractor(**{name: value}).fit(digits(5)[0])
