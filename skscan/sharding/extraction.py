"""Features of images, shard by shard."""

from __future__ import annotations

import copy
import os
import warnings
from typing import Any, NamedTuple

import numpy as np
from joblib import Memory
from sklearn.utils.validation import check_is_fitted

from skscan._caching import checked_memory
from skscan._features import extract_features
from skscan._progress import progress
from skscan.exceptions import ImageReadError, SkscanWarning
from skscan.extractors.joined import JoinedFeatureExtractor
from skscan.extractors.passes import known_images
from skscan.feature_store import image_identities
from skscan.images import ImageCollection, SkippedImage, as_collection
from skscan.images.collection import FileImages
from skscan.images.subset import subset
from skscan.sharding.mapping import collected_warnings, divide, map_shards, tell_once

__all__ = [
    "IMAGES_ALIGNED",
    "absolute",
    "check_kept_by_image",
    "extract_shards",
    "raises_at_the_first",
    "unreadable",
    "worker_copy",
]

#: Shards begin where batches would, so that the network sees the same batches.
IMAGES_ALIGNED = 256


class _Outcome(NamedTuple):
    """What a worker tells of a shard: the features are in the memory."""

    skipped: list[int]
    """Images of the shard that could not be read."""
    said: list[str]


def extract_shards(
    extractor: Any,
    images: Any,
    memory: str | os.PathLike,
    *,
    n_shards: int | None = None,
    n_jobs: int | None = None,
) -> tuple[np.ndarray, list[SkippedImage]]:
    """Extract the features of images by several workers.

    Each worker keeps the features of its shard in `memory`, from where they are read in the end.
    What is there already, from a run that was cut off or of other images, is not computed again;
    the shards of a worker that is lost are done again by others. What workers computed but is not
    found in the end (`memory` is not the same folder for all, or has no room) is told of, and
    computed by this process.

    Parameters
    ----------
    extractor : transformer
        An extractor of this library, fitted if it learns anything.
    images : images
        In any form that extractors take. Paths are best: workers read the files themselves.
    memory : path
        A folder that all workers see; see `TimmFeatureExtractor.extract`.
    n_shards : int or None, default=None
        Into how many shards the images that are not known are divided; None is four for each
        worker.
    n_jobs : int or None, default=None
        Workers, as joblib takes it: None is 1, or what ``joblib.parallel_config`` says.

    Returns
    -------
    features : ndarray of shape (n_images, n_features), dtype float32
        As the extractor alone gives them; rows of images that could not be read are NaN.
    skipped : list of SkippedImage

    Raises
    ------
    TypeError
        If the extractor is none of this library.
    ValueError
        If `memory` is no folder that can be written to.
    ImageReadError
        If an image cannot be read and the extractor has ``errors="raise"``, or none can.
    RuntimeError
        If workers end again and again. What was extracted is kept.

    Warns
    -----
    SkscanWarning
        If a worker ended unexpectedly, or its features are not found.
    SkippedImagesWarning
        If images could not be read.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from skscan import PixelFeatureExtractor
    >>> from skscan.sharding import extract_shards
    >>> images = load_digits().images / 16
    >>> with tempfile.TemporaryDirectory() as memory:
    ...     features, _ = extract_shards(PixelFeatureExtractor(), images, memory, n_shards=2)
    >>> features.shape
    (1797, 256)
    """
    parts = check_kept_by_image(extractor)
    collection = as_collection(images)
    place = os.path.abspath(memory)
    kept = checked_memory(place)
    identities = image_identities(collection)
    known = known_images(parts, place, identities)
    asked = np.flatnonzero(~known)
    shards = [
        asked[rows.start : rows.stop]
        for rows in divide(len(asked), n_shards, n_jobs, IMAGES_ALIGNED)
    ]
    readable, said = np.ones(len(known), dtype=bool), []
    with progress(
        total=len(known),
        desc="Extracting features",
        unit="img",
        verbose=max(int(part.verbose) for part in parts),
    ) as bar:
        bar.update(len(known) - len(asked))

        def take(i: int, outcome: _Outcome) -> None:
            readable[shards[i][outcome.skipped]] = False
            said.extend(outcome.said)
            bar.update(len(shards[i]))

        worker = worker_copy(extractor)
        raises = raises_at_the_first(parts)
        seen = absolute(collection)
        tasks = [(worker, subset(seen, rows), place, raises) for rows in shards]
        map_shards(_extract_shard, tasks, n_jobs, take)
    tell_once(said)
    lost = ~known_images(parts, place, identities) & readable
    _tell_of_lost_features(place, lost)
    # what is left but unreadable images is read from the memory: no second bar is needed for it
    last = extractor if lost.any() else worker_copy(extractor)
    return extract_features(last, collection, images, kept)


def check_kept_by_image(extractor: Any) -> list[Any]:
    """Return the parts of an extractor whose features are kept image by image.

    Raises
    ------
    TypeError
        If it is, or joins, an extractor of someone else's.
    """
    joins = isinstance(extractor, JoinedFeatureExtractor)
    if joins:
        check_is_fitted(extractor, "extractors_")
    extractors = extractor.extractors_ if joins else [extractor]
    for each in extractors:
        if not hasattr(each, "_parts"):
            raise TypeError(
                f"extractor got {type(each).__name__}; features are kept image by image for the "
                "extractors of skscan only."
            )
        each._validate_params()
    return [part for each in extractors for part in each._parts()]


def raises_at_the_first(parts: list[Any]) -> bool:
    """Tell whether an image that cannot be read ends the work."""
    return any(part.errors == "raise" for part in parts)


def worker_copy(extractor: Any) -> Any:
    """Return a copy that shows no progress and leaves the cores to the other workers."""
    quiet = copy.deepcopy(extractor)
    wanted = {"verbose": 0, "n_jobs": 1}
    for each in getattr(quiet, "extractors_", [quiet]):
        own = each.get_params(deep=False)
        each.set_params(**{name: value for name, value in wanted.items() if name in own})
    return quiet


def absolute(images: ImageCollection) -> ImageCollection:
    """Return the images by paths that hold in processes that were started elsewhere."""
    if not isinstance(images, FileImages):
        return images
    return FileImages([os.path.abspath(path) for path in images.names])


def unreadable(images: ImageCollection) -> list[SkippedImage]:
    """Return the images that cannot be read, with the reasons."""
    skipped = []
    for i, name in enumerate(images.names):
        try:
            images.read(i)
        except ImageReadError as error:
            skipped.append(SkippedImage(i, name, error.reason))
    return skipped


def _extract_shard(extractor: Any, images: ImageCollection, place: str, raises: bool) -> _Outcome:
    with collected_warnings() as said:
        try:
            _, skipped = extract_features(extractor, images, images, Memory(place, verbose=0))
            unread = [image.index for image in skipped]
        except ImageReadError:
            if raises:
                raise
            unread = list(range(len(images)))  # none of the shard, then
    return _Outcome(unread, said)


def _tell_of_lost_features(place: str, lost: np.ndarray) -> None:
    if n_lost := int(lost.sum()):
        warnings.warn(
            f"the features of {n_lost} images, which workers have computed, are not found in "
            f"memory={place!r}; they are computed again by this process. All machines must see "
            "this folder and the same images, and it must have room.",
            SkscanWarning,
            stacklevel=3,
        )
