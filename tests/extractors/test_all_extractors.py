"""What scikit-learn's checks do with matrices, done with images, for every extractor."""

import pickle
import warnings
from functools import partial

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_factory import picture, pixel_arrays, write_pictures
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skscan import (
    MoCoFeatureExtractor,
    PixelFeatureExtractor,
    SimCLRFeatureExtractor,
    TimmFeatureExtractor,
)
from skscan.exceptions import ImageReadError, SkippedImagesWarning
from skscan.extractors import passes
from skscan.images import list_images

EXTRACTORS = [
    PixelFeatureExtractor(image_size=8),
    PixelFeatureExtractor(image_size=8, channels="rgb"),
    TimmFeatureExtractor(image_size=32, device="cpu"),
]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-4}

PIXELS = pixel_arrays(7)


@pytest.fixture(params=EXTRACTORS, ids=lambda extractor: type(extractor).__name__)
def extractor(request):
    return clone(request.param)


@pytest.fixture
def damaged_folder(photo_folder):
    """Six pictures, an empty file and a text."""
    (photo_folder / "class 0" / "empty.png").write_bytes(b"")
    (photo_folder / "notes.txt").write_text("not an image")
    return photo_folder


@pytest.mark.parametrize(
    "check",
    [
        checks.check_estimator_cloneable,
        checks.check_estimator_repr,
        checks.check_no_attributes_set_in_init,
        checks.check_parameters_default_constructible,
        checks.check_get_params_invariance,
        checks.check_set_params,
        checks.check_param_validation,
        checks.check_valid_tag_types,
        checks.check_estimator_tags_renamed,
        checks.check_mixin_order,
    ],
    ids=lambda check: check.__name__,
)
def test_checks_of_sklearn_that_need_no_data(extractor, check):
    check(type(extractor).__name__, extractor)


@pytest.mark.parametrize(
    "check",
    [
        checks.check_param_validation,
        checks.check_valid_tag_types,
        checks.check_estimator_tags_renamed,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.parametrize("trained", [SimCLRFeatureExtractor(), MoCoFeatureExtractor()])
def test_checks_of_sklearn_for_extractors_that_are_trained(trained, check):
    check(type(trained).__name__, clone(trained))


@pytest.mark.parametrize("trained", [SimCLRFeatureExtractor(), MoCoFeatureExtractor()])
def test_extractors_that_are_trained_need_fit(trained):
    assert get_tags(trained).requires_fit
    for method in (trained.transform, trained.extract):
        with pytest.raises(NotFittedError):
            method(PIXELS)
    with pytest.raises(NotFittedError):
        trained.get_feature_names_out()


def test_features_are_one_finite_float32_row_for_each_image(extractor):
    features = extractor.fit_transform(PIXELS)
    assert features.shape == (7, len(extractor.get_feature_names_out()))
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert len(np.unique(features, axis=0)) == 7


def test_all_forms_have_the_same_features(extractor, tmp_path):
    paths = write_pictures(tmp_path)
    pictures = [picture(i) for i in (0, 2, 4, 1, 3, 5)]
    expected = extractor.transform(paths)
    for form in (
        tmp_path,
        pd.Series(paths),
        pictures,
        np.stack(pictures),
        list(zip(pictures, paths, strict=True)),
    ):
        assert_array_equal(extractor.transform(form), expected)


def test_transform_works_without_fit_and_fit_only_notes_the_engine(extractor):
    assert not get_tags(extractor).requires_fit
    check_is_fitted(extractor)
    features = extractor.transform(PIXELS)
    before = vars(extractor).copy()
    assert extractor.fit(PIXELS[:2], y=[0, 1]) is extractor
    noted = vars(extractor).items() - before.items()
    assert {name for name, _ in noted} <= {"engine_", "precision_"}
    assert before.items() <= vars(extractor).items()
    assert_array_equal(extractor.transform(PIXELS), features)


def test_labels_change_nothing(extractor):
    y = np.arange(7)
    assert_array_equal(extractor.fit_transform(PIXELS, y), extractor.fit_transform(PIXELS))


def test_images_are_not_changed_and_may_be_read_only(extractor):
    for images in (PIXELS.copy(), PIXELS / 255, np.asfortranarray(PIXELS)):
        before = images.copy()
        images.flags.writeable = False
        extractor.fit_transform(images)
        assert_array_equal(images, before)
    pictures = [picture(0).convert("P"), picture(1).convert("RGBA")]
    extractor.transform(pictures)
    assert [image.mode for image in pictures] == ["P", "RGBA"]


def test_memory_mapped_images(extractor, tmp_path):
    np.save(tmp_path / "images.npy", PIXELS)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    assert_array_equal(extractor.transform(mapped), extractor.transform(PIXELS))


def test_a_single_image(extractor):
    assert_allclose(extractor.transform(PIXELS[:1]), extractor.transform(PIXELS)[:1], **TOLERANCE)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 7, 1000])
def test_batch_size_changes_nothing(extractor, batch_size):
    expected = extractor.transform(PIXELS)
    extractor.set_params(batch_size=batch_size)
    assert_allclose(extractor.transform(PIXELS), expected, **TOLERANCE)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_workers_change_nothing_at_all(extractor, photo_folder, n_jobs):
    expected = extractor.transform(photo_folder)
    assert_array_equal(extractor.set_params(n_jobs=n_jobs).transform(photo_folder), expected)


@settings(max_examples=10)
@given(order=st.permutations(range(7)), batch_size=st.integers(1, 8))
@pytest.mark.parametrize("prototype", EXTRACTORS, ids=lambda extractor: type(extractor).__name__)
def test_order_permutes_rows(prototype, order, batch_size):
    extractor = clone(prototype).set_params(batch_size=batch_size)
    expected = clone(prototype).transform(PIXELS)[order]
    assert_allclose(extractor.transform(PIXELS[order]), expected, **TOLERANCE)


@settings(max_examples=10)
@given(start=st.integers(0, 6), length=st.integers(1, 7))
@pytest.mark.parametrize("prototype", EXTRACTORS, ids=lambda extractor: type(extractor).__name__)
def test_features_of_a_part_are_part_of_the_features(prototype, start, length):
    part = slice(start, start + length)
    expected = prototype.transform(PIXELS)[part]
    assert_allclose(prototype.transform(PIXELS[part]), expected, **TOLERANCE)


@pytest.mark.parametrize("copy", [clone, lambda e: pickle.loads(pickle.dumps(e))])
def test_copies_have_the_same_features_and_stay_light(extractor, copy):
    features = extractor.fit_transform(PIXELS)
    assert len(pickle.dumps(extractor)) < 2000
    assert_array_equal(copy(extractor).transform(PIXELS), features)


def test_joblib_workers_have_the_same_features(extractor):
    parts = joblib.Parallel(n_jobs=2)(
        joblib.delayed(extractor.transform)(part) for part in (PIXELS[:4], PIXELS[4:])
    )
    assert_allclose(np.concatenate(parts), extractor.transform(PIXELS), **TOLERANCE)


def test_output_as_data_frames(extractor):
    features = extractor.transform(PIXELS)
    names = extractor.get_feature_names_out()
    prefix = type(extractor).__name__.lower()
    assert names[0] == f"{prefix}0"
    assert names[-1] == f"{prefix}{features.shape[1] - 1}"
    for kind, frame_type in (("pandas", pd.DataFrame), ("polars", pl.DataFrame)):
        frame = clone(extractor).set_output(transform=kind).fit_transform(PIXELS)
        assert isinstance(frame, frame_type)
        assert list(frame.columns) == list(names)
        assert_array_equal(frame.to_numpy(), features)


def test_in_a_pipeline(extractor):
    pipeline = make_pipeline(extractor, StandardScaler())
    scaled = pipeline.set_output(transform="pandas").fit_transform(PIXELS)
    assert list(scaled.columns) == list(pipeline.get_feature_names_out())
    with pytest.raises(NotFittedError):
        make_pipeline(extractor, StandardScaler()).transform(PIXELS)


def test_unreadable_images_are_rows_of_nan_with_a_warning(extractor, damaged_folder):
    paths = list_images(damaged_folder)
    with pytest.warns(SkippedImagesWarning) as caught:
        features, skipped = extractor.extract(damaged_folder)
    assert [(s.name, s.reason) for s in skipped] == [
        (str(damaged_folder / "class 0" / "empty.png"), "empty file (0 bytes)"),
        (str(damaged_folder / "notes.txt"), "not an image (*.txt)"),
    ]
    rows = [paths.index(s.name) for s in skipped]
    assert [s.index for s in skipped] == rows
    assert np.isnan(features).all(axis=1).nonzero()[0].tolist() == rows
    assert not np.isnan(np.delete(features, rows, axis=0)).any()
    message = str(caught[0].message)
    assert "2 of 8 images could not be read" in message
    assert "empty.png: empty file (0 bytes)" in message
    assert 'errors="raise"' in message
    with pytest.warns(SkippedImagesWarning):
        assert_array_equal(extractor.transform(damaged_folder), features)


def test_the_warning_names_only_the_first_few(extractor, tmp_path):
    missing = [str(tmp_path / f"missing {i}.png") for i in range(10)]
    with pytest.warns(SkippedImagesWarning, match="missing 2.png: file not found; and 7 more"):
        extractor.transform([*missing, *write_pictures(tmp_path, 1)])


def test_good_images_give_no_warning(extractor):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert extractor.extract(PIXELS)[1] == []


def test_errors_can_be_raised(extractor, damaged_folder):
    extractor.set_params(errors="raise")
    with pytest.raises(ImageReadError, match=r"class 0/empty\.png: empty file"):
        extractor.transform(damaged_folder)


@pytest.mark.parametrize("errors", ["skip", "raise"])
def test_odd_names_are_shown_on_one_line(extractor, tmp_path, errors):
    write_pictures(tmp_path, 1)
    (tmp_path / "a\nb.png").write_bytes(b"")
    extractor.set_params(errors=errors)
    expectation = partial(pytest.warns, SkippedImagesWarning)
    if errors == "raise":
        expectation = partial(pytest.raises, ImageReadError)
    with expectation(match=r"a\\nb\.png: empty file"):
        extractor.transform(tmp_path)


def test_no_readable_image_is_an_error(extractor, tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(b"")
    with pytest.raises(ImageReadError, match=r"none of the 5 images could be read.*0\.png: empty"):
        extractor.transform(tmp_path)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (np.zeros((4, 3)), ValueError, "X is a two-dimensional matrix of features"),
        (PIXELS.astype(int), ValueError, "X: pixels are int64"),
        (PIXELS * 1.0, ValueError, "X: float pixels go from"),
        (3, TypeError, "X is of type int"),
        ([], ValueError, "X holds no image"),
        ("no/such/folder", FileNotFoundError, "X: there is no folder or zip"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "transform", "extract", "fit_transform"])
def test_what_is_no_image_is_refused(extractor, X, error, message, method):
    with pytest.raises(error, match=message):
        getattr(extractor, method)(X)


@pytest.mark.parametrize(
    "wrong", [{"image_size": 0}, {"batch_size": 2.5}, {"errors": "ignore"}, {"n_jobs": "all"}]
)
def test_wrong_parameters_are_named(extractor, wrong):
    (name,) = wrong
    for method in (extractor.fit, extractor.transform):
        extractor.set_params(**wrong)
        with pytest.raises(ValueError, match=f"'{name}' parameter"):
            method(PIXELS)


def test_large_features_are_mapped_from_a_file(extractor, tmp_path, monkeypatch):
    expected = extractor.transform(PIXELS)
    monkeypatch.setattr(passes, "_MAX_BYTES_IN_MEMORY", 100)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    features = extractor.transform(PIXELS)
    assert isinstance(features, np.memmap)
    assert_array_equal(features, expected)
    assert list(tmp_path.iterdir()) == []


def test_no_room_for_large_features(extractor, monkeypatch):
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(passes, "_MAX_BYTES_IN_MEMORY", 100)
    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(OSError, match=r"no room for 0\.0 GiB .* set TMPDIR"):
        extractor.transform(PIXELS)


@pytest.mark.parametrize("verbose", [0, 1])
def test_progress_goes_to_stderr_if_wanted(extractor, verbose, capfd):
    extractor.set_params(verbose=verbose).transform(PIXELS)
    output, errors = capfd.readouterr()
    assert output == ""
    assert ("Extracting features" in errors) is bool(verbose)
