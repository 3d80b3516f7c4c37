"""Probabilities of clusters, shard by shard."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
from joblib import Memory
from sklearn.utils.validation import check_is_fitted

from skscan._caching import checked_memory
from skscan._features import extract_features
from skscan._files import allocate_array, release_pages
from skscan._gaps import readable_rows
from skscan.exceptions import ImageReadError
from skscan.extractors.skipping import summary, tell_of_skipped
from skscan.images import ImageCollection, SkippedImage, as_collection
from skscan.images.subset import subset
from skscan.sharding.extraction import (
    IMAGES_ALIGNED,
    absolute,
    check_kept_by_image,
    raises_at_the_first,
    unreadable,
    worker_copy,
)
from skscan.sharding.mapping import collected_warnings, divide, map_shards, tell_once
from skscan.sharding.sharing import load_shared, shared

__all__ = ["predict_proba_shards"]

# Larger arrays go to a temporary file that is mapped into memory.
_MAX_BYTES_IN_MEMORY = 2**30

# All that a prediction takes: what was found for the training samples stays where it is.
_NEEDED = ("feature_scaler_", "heads_", "best_head_", "temperature_")


class _Outcome(NamedTuple):
    probabilities: np.ndarray
    skipped: list[SkippedImage]
    said: list[str]


def predict_proba_shards(
    estimator: Any,
    images: Any,
    memory: str | os.PathLike,
    *,
    n_shards: int | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Give the probability of each cluster for images, by several workers.

    Each worker extracts the features of its shard, keeps them in `memory`, and sends back the
    probabilities. They are those of ``estimator.predict_proba``, but for the rounding of matrix
    products.

    Parameters
    ----------
    estimator : SCANClusterer or SCANClassifier
        Fitted on images.
    images : images
        In any form that extractors take. Paths are best: workers read the files themselves.
    memory : path
        A folder that all workers see. Features stay there, see `extract_shards`; what the estimator
        predicts with lies there meanwhile.
    n_shards : int or None, default=None
        Into how many shards the images are divided; None is four for each worker.
    n_jobs : int or None, default=None
        See `extract_shards`.

    Returns
    -------
    probabilities : ndarray of shape (n_images, n_clusters), dtype float32
        Rows sum to 1; NaN for an image that could not be read. More than 1 GiB are mapped from a
        temporary file (in ``TMPDIR``), which goes when the array does.

    Raises
    ------
    ValueError
        If the estimator was fitted on features, or `memory` is no folder that can be written to.
    TypeError, ImageReadError, RuntimeError
        See `extract_shards`.
    FileNotFoundError
        If a worker does not see `memory`.

    Warns
    -----
    SkscanWarning
        If a worker ended unexpectedly, or could not keep its features.
    SkippedImagesWarning
        If images could not be read.
    """
    check_is_fitted(estimator)
    if estimator.feature_extractor_ is None:
        raise ValueError(
            f"estimator got a {type(estimator).__name__} that was fitted on features; heads take "
            "no time worth dividing: call its predict_proba."
        )
    raises = raises_at_the_first(check_kept_by_image(estimator.feature_extractor_))
    collection = as_collection(images)
    n_images = len(collection)
    seen, place = absolute(collection), os.path.abspath(memory)
    checked_memory(place)
    shards = divide(n_images, n_shards, n_jobs, IMAGES_ALIGNED)
    probabilities = allocate_array(
        (n_images, estimator.n_clusters_), np.float32, "probabilities", _MAX_BYTES_IN_MEMORY
    )
    skipped: list[SkippedImage] = []
    said: list[str] = []

    def take(i: int, outcome: _Outcome) -> None:
        rows = shards[i]
        probabilities[rows.start : rows.stop] = outcome.probabilities
        release_pages(probabilities)
        skipped.extend(
            SkippedImage(rows.start + image.index, image.name, image.reason)
            for image in outcome.skipped
        )
        said.extend(outcome.said)

    with shared(_lean_copy(estimator), place) as path:
        tasks = [
            (path, subset(seen, np.arange(rows.start, rows.stop)), place, raises) for rows in shards
        ]
        map_shards(_predict_shard, tasks, n_jobs, take)
    tell_once(said)
    skipped.sort(key=lambda image: image.index)
    if len(skipped) == n_images:
        raise ImageReadError(f"none of the {n_images} images could be read. {summary(skipped)}")
    if skipped:
        tell_of_skipped(skipped, n_images, "skip", "their probabilities are NaN")
    return probabilities


def _lean_copy(estimator: Any) -> Any:
    """Return what predicts as the estimator does, without what is known of training samples."""
    lean = object.__new__(type(estimator))
    fitted = vars(estimator)
    vars(lean).update({name: fitted[name] for name in _NEEDED if name in fitted})
    lean.feature_extractor_ = worker_copy(estimator.feature_extractor_)
    return lean


def _predict_shard(path: str, images: ImageCollection, place: str, raises: bool) -> _Outcome:
    estimator = load_shared(path)
    with collected_warnings() as said:
        try:
            features, skipped = extract_features(
                estimator.feature_extractor_, images, images, Memory(place, verbose=0)
            )
        except ImageReadError:
            if raises:
                raise
            nothing = np.full((len(images), estimator.n_clusters_), np.nan, np.float32)
            return _Outcome(nothing, unreadable(images), said)
        read = readable_rows(len(features), skipped)
        return _Outcome(estimator._probabilities_of(features, read), skipped, said)
