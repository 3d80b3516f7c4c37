"""Features of images by any extractor, kept where a memory is given."""

from __future__ import annotations

from typing import Any, NamedTuple

import joblib
import numpy as np
from joblib import Memory
from sklearn.utils import check_array, get_tags

from skscan import __version__
from skscan._blocks import row_blocks
from skscan._caching import call_cached, memory_folder
from skscan._files import allocate_array
from skscan.extractors.joined import JoinedFeatureExtractor, side_by_side
from skscan.extractors.passes import (
    IRRELEVANT,
    extract_together,
    mean_of_views,
    relevant_parameters,
)
from skscan.feature_store import image_identities
from skscan.images import ImageCollection, SkippedImage

Extraction = tuple[np.ndarray, list[SkippedImage]]

# Larger features of views go to a temporary file that is mapped into memory.
_MAX_BYTES_IN_MEMORY = 2**29


class FittedExtraction(NamedTuple):
    """A fitted extractor and the features of the images that it was fitted on."""

    extractor: Any
    features: np.ndarray
    """Of the images as they are, shape (n_images, n_features); rows of skipped images are NaN."""
    averages: np.ndarray | None
    """Features as `extract_features` gives them, where the extractor averages several views."""
    skipped: list[SkippedImage]


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
        Where features are kept. Those of this library's extractors are known image by image; what
        is learned by a fit and what foreign extractors give, by all images together; both by the
        parameters of the extractor that matter.

    Returns
    -------
    fit : FittedExtraction
    """
    source = _Source.of(images, X, memory)
    joins = isinstance(extractor, JoinedFeatureExtractor)
    unfitted = extractor.fresh() if joins else [extractor]
    fits = [_fit(each, source) for each in unfitted]
    parts = [part for part, _ in fits]
    done = {i: extraction for i, (_, extraction) in enumerate(fits) if extraction is not None}
    found = _extract(parts, source, done, with_first=True)
    if joins:
        parts = [extractor.fitted_with(parts, found.widths)]
    return FittedExtraction(parts[0], found.features, found.averages, found.skipped)


class _Source(NamedTuple):
    """Images in the forms that extractors take, and where their features are kept."""

    images: ImageCollection
    X: Any
    memory: Memory
    identities: np.ndarray | None
    """Of the images, where there is a place to keep features in."""

    @classmethod
    def of(cls, images: ImageCollection, X: Any, memory: Memory) -> _Source:
        kept = memory_folder(memory) is not None
        return cls(images, X, memory, image_identities(images) if kept else None)


class _Found(NamedTuple):
    features: np.ndarray
    averages: np.ndarray | None
    skipped: list[SkippedImage]
    widths: list[int]


def _fit(extractor: Any, source: _Source) -> tuple[Any, Extraction | None]:
    """Fit an extractor; return it, and what it extracted where that was kept with it."""
    ours = hasattr(extractor, "extract")
    images = source.images if ours else source.X
    learns = not ours or not hasattr(extractor, "_parts") or get_tags(extractor).requires_fit
    if source.identities is None or not learns:
        return extractor.fit(images), None
    # Features that are not known image by image are kept as a whole.
    whole = not hasattr(extractor, "_parts")
    key = _key(extractor, source.identities)
    arguments = (key, extractor, source._replace(memory=None), whole)
    ignored = ["extractor", "source", "whole"]
    fitted, extraction = call_cached(source.memory, _fit_extract, arguments, ignore=ignored)
    if fitted is not extractor and hasattr(fitted, "set_params"):
        own = extractor.get_params(deep=False)
        fitted.set_params(**{name: own[name] for name in IRRELEVANT & own.keys()})
    return fitted, extraction


def _fit_extract(
    key: str, extractor: Any, source: _Source, whole: bool
) -> tuple[Any, Extraction | None]:
    extractor.fit(source.images if hasattr(extractor, "extract") else source.X)
    return extractor, _extract_one(extractor, source) if whole else None


def extract_features(extractor: Any, images: ImageCollection, X: Any, memory: Memory) -> Extraction:
    """Extract features with a fitted extractor.

    Parameters
    ----------
    extractor : transformer
        Fitted, from images to a 2-D matrix.
    images : ImageCollection
        The images, for extractors of this library.
    X : images
        The images as the user gave them, for foreign extractors.
    memory : joblib.Memory
        Where features of this library's extractors are kept.

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
    joins = isinstance(extractor, JoinedFeatureExtractor)
    parts = extractor.extractors_ if joins else [extractor]
    found = _extract(parts, _Source.of(images, X, memory), {}, with_first=False)
    return found.features, found.skipped


def _extract(
    extractors: list[Any], source: _Source, done: dict[int, Extraction], *, with_first: bool
) -> _Found:
    """Extract features of fitted extractors, side by side.

    Those of this library share one pass over the images. With `with_first`, the features are those
    of the first view, and the averages over views stand beside them, where there are several.
    """
    own = [i for i, each in enumerate(extractors) if hasattr(each, "_parts") and i not in done]
    blocks: dict[int, Extraction] = {
        i: done[i] if i in done else _extract_one(each, source)
        for i, each in enumerate(extractors)
        if i not in own
    }
    if len(own) == len(extractors):
        together, skipped = _in_one_pass(extractors, source, with_first)
        features, averages = _split(together) if together.ndim == 3 else (together, None)
        return _Found(features, averages, skipped, [each._n_features_out for each in extractors])
    if not own and len(extractors) == 1:
        [(features, skipped)] = blocks.values()
        return _Found(features, None, skipped, [features.shape[1]])
    averages = None
    firsts = {i: features for i, (features, _) in blocks.items()}
    unread = {image.index: image for _, images in blocks.values() for image in images}
    means = dict(firsts)
    if own:
        together, skipped = _in_one_pass([extractors[i] for i in own], source, with_first)
        unread |= {image.index: image for image in skipped}
        several = together.ndim == 3
        ends = np.cumsum([extractors[i]._n_features_out for i in own])[:-1]
        columns = np.split(together, ends, axis=-1)
        firsts |= {i: part[:, 0] if several else part for i, part in zip(own, columns, strict=True)}
        means |= {i: part[:, 1] if several else part for i, part in zip(own, columns, strict=True)}
        if several:
            averages = side_by_side([means[i] for i in sorted(means)])
    ordered = [firsts[i] for i in sorted(firsts)]
    return _Found(
        side_by_side(ordered),
        averages,
        [unread[index] for index in sorted(unread)],
        [part.shape[1] for part in ordered],
    )


def _in_one_pass(extractors: list[Any], source: _Source, with_first: bool) -> Extraction:
    """Features (n_images, n_features), or, of first views and averages, (n_images, 2, ...)."""
    parts = [each._parts() for each in extractors]
    ends = np.cumsum([0, *map(len, parts)])

    def combine(views: list[np.ndarray]) -> np.ndarray:
        each = [
            extractor._combine(views[start:end])
            for extractor, start, end in zip(extractors, ends, ends[1:], strict=False)
        ]
        means = [mean_of_views(block) for block in each]
        if not with_first or all(block.shape[1] == 1 for block in each):
            return means[0] if len(means) == 1 else np.concatenate(means, axis=1)
        firsts = [block[:, 0] for block in each]
        return np.stack([np.concatenate(firsts, axis=1), np.concatenate(means, axis=1)], axis=1)

    return extract_together(
        [part for some in parts for part in some],
        source.images,
        combine,
        memory=None if source.identities is None else memory_folder(source.memory),
        identities=source.identities,
    )


def _extract_one(extractor: Any, source: _Source) -> Extraction:
    """Extract features with an extractor that takes no part in the common pass."""
    if hasattr(extractor, "extract"):
        return extractor.extract(source.images)
    features = check_array(
        extractor.transform(source.X),
        dtype=[np.float64, np.float32],
        input_name=f"The output of {type(extractor).__name__}",
    )
    if len(features) != len(source.images):
        raise ValueError(
            f"{type(extractor).__name__} gave {len(features)} rows for {len(source.images)} "
            "images; a feature_extractor must give one row for each image."
        )
    return features, []


def _split(pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take first views and averages apart, with a few rows in memory at a time."""
    shape = (pairs.shape[0], pairs.shape[2])
    first, mean = (
        allocate_array(shape, pairs.dtype, "features", _MAX_BYTES_IN_MEMORY) for _ in range(2)
    )
    for rows in row_blocks(*shape):
        first[rows], mean[rows] = pairs[rows, 0], pairs[rows, 1]
    return first, mean


def _key(extractor: Any, identities: np.ndarray) -> str:
    return joblib.hash(
        (__version__, type(extractor), *relevant_parameters(extractor), identities.tobytes())
    )
