"""Features of images by any extractor, cached where a memory is given."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import joblib
import numpy as np
from joblib import Memory
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from skscan import __version__
from skscan._files import allocate_array
from skscan.exceptions import SkscanWarning
from skscan.extractors.joined import JoinedFeatureExtractor
from skscan.images import ImageCollection, SkippedImage

# these change how the features are computed, not what they are
_IRRELEVANT = {"batch_size", "device", "n_jobs", "verbose"}

Extraction = tuple[np.ndarray, list[SkippedImage]]

# Larger features of views go to a temporary file that is mapped into memory.
_MAX_BYTES_IN_MEMORY = 2**29
_BLOCK_ROWS = 4096


class FittedExtraction(NamedTuple):
    """A fitted extractor and the features of the images that it was fitted on."""

    extractor: Any
    features: np.ndarray
    """Of the images as they are, shape (n_images, n_features); rows of skipped images are NaN."""
    averages: np.ndarray | None
    """Features as `extract_features` gives them, where the extractor averages several views."""
    skipped: list[SkippedImage]


def cached_fit_transform(memory: Memory, transformer: Any, X: np.ndarray) -> tuple[Any, Any]:
    """Fit a transformer; return it and what it makes of X, from the cache where it knows both."""
    with tells_of_a_failing_cache(memory):
        return memory.cache(_fit_transform)(transformer, X)


def _fit_transform(transformer: Any, X: np.ndarray) -> tuple[Any, Any]:
    output = transformer.fit_transform(X)
    return transformer, output


def fit_extractor(
    extractor: Any, images: ImageCollection, X: Any, memory: Memory
) -> FittedExtraction:
    """Fit an extractor and extract the features of the same images.

    Parameters
    ----------
    extractor : transformer
        From images to a 2-D matrix; fitted in place.
    images : ImageCollection
        The images, for extractors of this library.
    X : images
        The images as the user gave them, for foreign extractors.
    memory : joblib.Memory
        Where the result is cached; the key is the content of the images and the parameters of
        the extractor that matter.

    Returns
    -------
    fit : FittedExtraction
    """
    if isinstance(extractor, JoinedFeatureExtractor):
        fits = [fit_extractor(each, images, X, memory) for each in extractor.fresh()]
        joined = extractor.fitted_with([fit.extractor for fit in fits])
        features, skipped = _joined(joined, [(fit.features, fit.skipped) for fit in fits])
        averages = None
        if any(fit.averages is not None for fit in fits):
            averages = joined.join(
                [fit.features if fit.averages is None else fit.averages for fit in fits]
            )
        return FittedExtraction(joined, features, averages, skipped)
    if memory.location is None:
        return FittedExtraction(*_fit_extract(None, extractor, images, X))
    cached = memory.cache(_fit_extract, ignore=["extractor", "images", "X"])
    with tells_of_a_failing_cache(memory):
        fit = FittedExtraction(*cached(_key(extractor, images), extractor, images, X))
    if fit.extractor is not extractor and hasattr(fit.extractor, "set_params"):
        own = extractor.get_params(deep=False)
        fit.extractor.set_params(**{name: own[name] for name in _IRRELEVANT & own.keys()})
    return fit


@contextmanager
def tells_of_a_failing_cache(memory: Memory) -> Iterator[None]:
    """Put joblib's warning that a result could not be written into the user's words.

    Parameters
    ----------
    memory : joblib.Memory
        The cache in use.
    """
    if memory.location is None:
        yield
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        if "Unable to cache to disk" not in str(warning.message):
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
            continue
        reason = str(warning.message).split("Exception: ")[-1].strip(" .")
        warnings.warn(
            f"A result could not be kept in memory={memory.location!r} ({reason}); nothing else "
            "is lost. Make room there, or choose another place.",
            SkscanWarning,
            stacklevel=4,
        )


def extract_features(extractor: Any, images: ImageCollection, X: Any) -> Extraction:
    """Extract features with a fitted extractor.

    Parameters
    ----------
    extractor : transformer
        Fitted, from images to a 2-D matrix.
    images : ImageCollection
        The images, for extractors of this library.
    X : images
        The images as the user gave them, for foreign extractors.

    Returns
    -------
    features : ndarray of shape (n_images, n_features)
        Features; rows of skipped images are NaN.
    skipped : list of SkippedImage
        Images that could not be read.

    Raises
    ------
    ValueError
        If a foreign extractor does not give one finite row for each image.
    """
    if isinstance(extractor, JoinedFeatureExtractor):
        each = [extract_features(part, images, X) for part in extractor.extractors_]
        return _joined(extractor, each)
    if hasattr(extractor, "extract"):
        return extractor.extract(images)
    features = check_array(
        extractor.transform(X),
        dtype=[np.float64, np.float32],
        input_name=f"The output of {type(extractor).__name__}",
    )
    if len(features) != len(images):
        raise ValueError(
            f"{type(extractor).__name__} gave {len(features)} rows for {len(images)} images; "
            "a feature_extractor must give one row for each image."
        )
    return features, []


def _joined(extractor: JoinedFeatureExtractor, parts: list[Extraction]) -> Extraction:
    """Features of several extractions side by side, and what any of them skipped, once."""
    skipped = {image.index: image for _, images in parts for image in images}
    features = extractor.join([features for features, _ in parts])
    return features, [skipped[index] for index in sorted(skipped)]


def _fit_extract(
    key: str | None, extractor: Any, images: ImageCollection, X: Any
) -> tuple[Any, np.ndarray, np.ndarray | None, list[SkippedImage]]:
    extractor.fit(images if hasattr(extractor, "extract") else X)
    if getattr(extractor, "n_views", 1) > 1 and hasattr(extractor, "extract_views"):
        views, skipped = extractor.extract_views(images)
        return extractor, *_first_and_mean(views), skipped
    features, skipped = extract_features(extractor, images, X)
    return extractor, features, None, skipped


def _first_and_mean(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the first view and the mean of all, with a few rows in memory at a time."""
    shape = (views.shape[0], views.shape[2])
    first, mean = (
        allocate_array(shape, views.dtype, "features", _MAX_BYTES_IN_MEMORY) for _ in range(2)
    )
    for start in range(0, len(views), _BLOCK_ROWS):
        rows = slice(start, start + _BLOCK_ROWS)
        first[rows] = views[rows, 0]
        mean[rows] = views[rows].mean(axis=1)
    return first, mean


def _key(extractor: Any, images: ImageCollection) -> str:
    params = extractor.get_params() if hasattr(extractor, "get_params") else vars(extractor)
    relevant = {
        name: value for name, value in params.items() if name.rsplit("__", 1)[-1] not in _IRRELEVANT
    }
    files = {
        name: (os.path.abspath(value), os.stat(value).st_size, os.stat(value).st_mtime_ns)
        for name, value in relevant.items()
        if isinstance(value, str | os.PathLike) and os.path.isfile(value)
    }
    return joblib.hash((__version__, type(extractor), relevant, files, images.fingerprint()))


def check_features(estimator: Any, X: Any, *, reset: bool = True) -> np.ndarray:
    """Validate a matrix of features as scikit-learn does, and say where NaN may come from."""
    try:
        return validate_data(estimator, X, dtype=[np.float64, np.float32], reset=reset)
    except ValueError as error:
        if "contains NaN" not in str(error):
            raise
        raise ValueError(
            f"Input X contains NaN, which {type(estimator).__name__} does not take. Images that "
            "could not be read have features of NaN: leave these rows out, "
            "X[~np.isnan(X).any(axis=1)]."
        ) from None
