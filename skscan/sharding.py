"""Extraction, prediction and mining as a map over shards, on whatever joblib runs on.

A shard is a run of consecutive images or rows. joblib's processes do the work, or the engine that
is chosen by ``joblib.parallel_config``: Dask or Ray, which may span several machines that see the
same files. Each shard writes what it finds on its own, so that what is done stays done.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from typing import Any

import joblib
import numpy as np
from joblib import Memory, Parallel, delayed
from joblib.parallel import get_active_backend
from scipy.sparse import csr_matrix
from sklearn.utils.validation import check_is_fitted

from skscan._caching import checked_memory
from skscan._features import extract_features
from skscan._files import allocate_array
from skscan.exceptions import ImageReadError, SkippedImagesWarning, SkscanWarning
from skscan.extractors.joined import JoinedFeatureExtractor
from skscan.images import ImageCollection, SkippedImage, as_collection
from skscan.images.subset import subset
from skscan.neighbors.miner import self_first, without_self

__all__ = ["extract_shards", "mine_shards", "predict_proba_shards"]

# More shards than workers: a lost one costs less, and slow ones even out.
_SHARDS_PER_WORKER = 4
# Shards begin where batches would, so that the network sees the same batches.
_IMAGES_ALIGNED = 256

_ATTEMPTS = 3
# What Dask raises when it has tried again itself, and what Ray does.
_LOST_WORKER = {"KilledWorker", "RayActorError", "WorkerCrashedError"}
_MAX_BYTES_IN_MEMORY = 2**29


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
    the shards of a worker that is lost are done again by others.

    Parameters
    ----------
    extractor : transformer
        An extractor of this library, fitted if it learns anything.
    images : images
        In any form that extractors take. Paths are best: workers read the files themselves.
    memory : path
        A folder that all workers see; see `TimmFeatureExtractor.extract`.
    n_shards : int or None, default=None
        Into how many shards the images are divided; None is four for each worker.
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
    RuntimeError
        If workers end again and again. What was extracted is kept.

    Warns
    -----
    SkscanWarning
        If a worker ended unexpectedly.
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
    joins = isinstance(extractor, JoinedFeatureExtractor)
    if joins:
        check_is_fitted(extractor, "extractors_")
    for each in extractor.extractors_ if joins else [extractor]:
        if not hasattr(each, "_parts"):
            raise TypeError(
                f"extractor got {type(each).__name__}; features are kept image by image for the "
                "extractors of skscan only."
            )
    collection = as_collection(images)
    place = checked_memory(os.fspath(memory))
    shards = _divide(len(collection), n_shards, n_jobs, _IMAGES_ALIGNED)
    worker = _quiet(extractor)
    _map(
        _extract_shard,
        [(worker, subset(collection, np.arange(rows.start, rows.stop)), place) for rows in shards],
        n_jobs,
    )
    return extract_features(extractor, collection, images, place)


def predict_proba_shards(
    estimator: Any,
    images: Any,
    memory: str | os.PathLike,
    *,
    n_shards: int | None = None,
    n_jobs: int | None = None,
) -> np.ndarray:
    """Give the probability of each cluster for images, extracted by several workers.

    Parameters
    ----------
    estimator : SCANClusterer or SCANClassifier
        Fitted on images.
    images, memory, n_shards, n_jobs
        See `extract_shards`.

    Returns
    -------
    probabilities : ndarray of shape (n_images, n_clusters), dtype float32
        As ``estimator.predict_proba`` gives them.

    Raises
    ------
    ValueError
        If the estimator was fitted on features.
    TypeError, RuntimeError
        See `extract_shards`.
    """
    check_is_fitted(estimator)
    if estimator.feature_extractor_ is None:
        raise ValueError(
            f"estimator got a {type(estimator).__name__} that was fitted on features; heads take "
            "no time worth dividing: call its predict_proba."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedImagesWarning)  # said by what follows
        extract_shards(
            estimator.feature_extractor_, images, memory, n_shards=n_shards, n_jobs=n_jobs
        )
    keeping = copy.copy(estimator)
    keeping.memory = os.fspath(memory)
    return keeping.predict_proba(images)


def mine_shards(
    miner: Any, X: Any, *, n_shards: int | None = None, n_jobs: int | None = None
) -> csr_matrix:
    """Mine the neighbours of all samples by several workers.

    Each worker holds the index and asks it for the neighbours of its shard.

    Parameters
    ----------
    miner : NeighborMiner
        Fitted in place, on X.
    X : array-like of shape (n_samples, n_features)
        Features.
    n_shards, n_jobs : int or None, default=None
        See `extract_shards`.

    Returns
    -------
    graph : csr_matrix of shape (n_samples, n_samples)
        As ``miner.fit_transform(X)`` gives it.

    Raises
    ------
    RuntimeError
        If workers end again and again.

    Warns
    -----
    SkscanWarning
        If a worker ended unexpectedly; its shards are done again by others.
    """
    miner.fit(X)
    X = np.asarray(X)
    k = miner.n_neighbors_
    indices = allocate_array((len(X), k + 1), np.int32, "neighbors", _MAX_BYTES_IN_MEMORY)
    distances = None
    shards = _divide(len(X), n_shards, n_jobs, 1)
    found = _map(_mine_shard, [(miner, X[rows], rows, k) for rows in map(_slice, shards)], n_jobs)
    for rows, (some_distances, some_indices) in zip(shards, found, strict=True):
        if distances is None:
            shape = (len(X), k + 1)
            distances = allocate_array(
                shape, some_distances.dtype, "neighbors", _MAX_BYTES_IN_MEMORY
            )
        distances[_slice(rows)], indices[_slice(rows)] = some_distances, some_indices
    assert distances is not None
    indptr = np.arange(0, len(X) * (k + 1) + 1, k + 1)
    return csr_matrix((distances.ravel(), indices.ravel(), indptr), shape=(len(X), len(X)))


def _extract_shard(extractor: Any, images: ImageCollection, memory: Memory) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedImagesWarning)  # said once, of all shards
        try:
            extract_features(extractor, images, images, memory)
        except ImageReadError:
            return  # none of the shard can be read: so it is found by who asked


def _mine_shard(miner: Any, X: np.ndarray, rows: slice, k: int) -> tuple[np.ndarray, np.ndarray]:
    own = np.arange(rows.start, rows.stop)
    distances, indices = miner.kneighbors(X, k + 1)
    return self_first(*without_self(distances, indices, own), own)


def _divide(n_rows: int, n_shards: int | None, n_jobs: int | None, aligned: int) -> list[range]:
    """Return the rows of each shard; none is empty."""
    if n_shards is None:
        n_shards = _SHARDS_PER_WORKER * joblib.effective_n_jobs(n_jobs)
    if n_shards < 1:
        raise ValueError(f"n_shards must be an integer from 1 on, got {n_shards!r}.")
    each = -(-n_rows // n_shards)
    if each > aligned:
        each = -(-each // aligned) * aligned
    return [range(start, min(start + each, n_rows)) for start in range(0, n_rows, each)]


def _slice(rows: range) -> slice:
    return slice(rows.start, rows.stop)


def _quiet(extractor: Any) -> Any:
    """Return a copy that shows no progress and leaves the cores to the other workers."""
    quiet = copy.deepcopy(extractor)
    for each in getattr(quiet, "extractors_", [quiet]):
        own = each.get_params(deep=False)
        each.set_params(**{k: v for k, v in {"verbose": 0, "n_jobs": 1}.items() if k in own})
    return quiet


def _map(function: Callable[..., Any], tasks: list[tuple[Any, ...]], n_jobs: int | None) -> list:
    """Call a function for all tasks; those that are lost with a worker, again."""
    results: dict[int, Any] = {}
    for attempt in range(1, _ATTEMPTS + 1):
        missing = [i for i in range(len(tasks)) if i not in results]
        generates = get_active_backend()[0].supports_return_generator
        parallel = Parallel(n_jobs, return_as="generator_unordered" if generates else "list")
        try:
            calls = (delayed(_numbered)(i, function, tasks[i]) for i in missing)
            for i, result in parallel(calls):
                results[i] = result  # noqa: PERF403 - what came before a loss is kept
            break
        except Exception as error:
            if not _tells_of_a_lost_worker(error):
                raise
            left = len(tasks) - len(results)
            if attempt == _ATTEMPTS:
                raise RuntimeError(
                    f"worker processes ended unexpectedly {_ATTEMPTS} times, the last time with "
                    f"{left} of {len(tasks)} shards to do; the system may have run out of memory. "
                    "Try again with fewer workers (n_jobs): what was kept in memory is used."
                ) from error
            warnings.warn(
                "a worker process ended unexpectedly; the system may have run out of memory. "
                f"{left} of {len(tasks)} shards that were not finished are done again.",
                SkscanWarning,
                stacklevel=3,
            )
    return [results[i] for i in range(len(tasks))]


def _tells_of_a_lost_worker(error: Exception) -> bool:
    """Tell a worker that is gone from an error in its work; the engines need not be installed."""
    names = {each.__name__ for each in type(error).__mro__}
    return isinstance(error, BrokenExecutor) or bool(names & _LOST_WORKER)


def _numbered(i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> tuple[int, Any]:
    return i, function(*task)
