"""Images as batches, decoded ahead of whoever uses them.

Threads decode: Pillow lets go of the interpreter lock while it does, so nothing has to be copied
from another process. Worker processes are there for whoever asks for them, since the rest of the
work, in Python, keeps many threads from running side by side. A data set's own code runs where it
was called from. Whoever does the work, the batches are the same.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import joblib

from skscan.images.batches import ImageBatch, Plan, Size, in_order, load
from skscan.images.collection import FileImages, ImageCollection
from skscan.images.throughput import LoadingStatistics, watched
from skscan.images.worker_processes import load_with_processes

__all__ = ["ImageBatch", "iter_batches"]

# One thread decodes smaller files than this faster than a network takes them in.
_LARGE_FILE_BYTES = 2**17
# The part of the work that is Python keeps more of them from running side by side.
_MAX_THREADS = 8

# Parts of batches that each worker may be ahead: enough to bridge a few slow files.
_PARTS_AHEAD = 2
# Workers share a batch, down to parts of so many images.
_MIN_PART = 8
# What waits to be used takes no more memory than this, unless a single batch does.
_MAX_BYTES_AHEAD = 2**28


def iter_batches(
    images: ImageCollection,
    size: Size,
    batch_size: int,
    n_jobs: int | None = None,
    statistics: LoadingStatistics | None = None,
) -> Generator[ImageBatch, None, None]:
    """Load a collection batch by batch, in order and in bounded memory.

    Parameters
    ----------
    images : ImageCollection
        What to load.

    size : int or tuple of int
        Side of the square pictures in pixels; see `skscan.images.transforms.to_square`. Several,
        the largest first, are made of one decoded image, wherever that gives the same pixels as
        decoding for each of them; `ImageBatch.pixels_of` gives each.

    batch_size : int
        Images in a batch.

    n_jobs : int or None, default=None
        Workers. None takes as many threads as there are cores (at most 8) where files are large
        (128 KiB on average), and otherwise one thread. More than 1 are processes that decode files;
        -1 means all cores, as in scikit-learn. Images in memory, and what is loaded in processes
        that are workers themselves, are left to threads.

    statistics : LoadingStatistics or None, default=None
        Where to add up what loading takes; up to date with each batch.

    Yields
    ------
    ImageBatch
        As soon as it is ready; a few more are then being prepared already: two parts of a batch
        for each worker, but no more than 256 MiB of pixels.

    Raises
    ------
    RuntimeError
        If worker processes are killed time and again.

    Warns
    -----
    SkscanWarning
        If a worker process is killed. What it had not finished is decoded by another.
    """
    return watched(_batches(images, size, batch_size, n_jobs), statistics)


def _batches(
    images: ImageCollection, size: Size, batch_size: int, n_jobs: int | None
) -> Generator[ImageBatch, None, None]:
    if images.reading == "user code":
        plan = Plan(len(images), batch_size, batch_size, 0)
        yield from (load(images, size, rows) for rows in plan.batches())
        return
    n_workers = _count_workers(images, n_jobs)
    part_size = min(batch_size, max(_MIN_PART, -(-batch_size // n_workers)))
    n_workers = min(n_workers, -(-len(images) // part_size))
    n_ahead = -(-_PARTS_AHEAD * n_workers * part_size // batch_size)
    sides = size if isinstance(size, tuple) else (size,)
    batch_bytes = 3 * batch_size * sum(side * side for side in sides)
    n_ahead = max(1, min(n_ahead, _MAX_BYTES_AHEAD // batch_bytes))
    plan = Plan(len(images), batch_size, part_size, n_ahead)
    if _wants_processes(images, n_jobs):
        yield from load_with_processes(images, size, plan, n_workers)
    else:
        yield from _load_with_threads(images, size, plan, n_workers)


def _wants_processes(images: ImageCollection, n_jobs: int | None) -> bool:
    if n_jobs is None or images.reading != "files" or _is_worker_process():
        return False
    return _effective_n_jobs(n_jobs) > 1


def _count_workers(images: ImageCollection, n_jobs: int | None) -> int:
    if n_jobs is not None:
        return _effective_n_jobs(n_jobs)
    if not isinstance(images, FileImages) or _is_worker_process():
        return 1
    large = images.estimate_bytes() >= _LARGE_FILE_BYTES * len(images)
    return min(joblib.cpu_count(), _MAX_THREADS) if large else 1


def _effective_n_jobs(n_jobs: int) -> int:
    with joblib.parallel_config(backend="threading"):
        return joblib.effective_n_jobs(n_jobs)


def _is_worker_process() -> bool:
    """Tell whether this process was started by another Python.

    Daemons must not have children, and workers of workers would only crowd the machine.
    """
    return multiprocessing.current_process().name != "MainProcess"


def _load_with_threads(
    images: ImageCollection, size: Size, plan: Plan, n_workers: int
) -> Iterator[ImageBatch]:
    stop = threading.Event()
    executor = ThreadPoolExecutor(n_workers)
    try:
        yield from in_order(
            plan,
            lambda rows: executor.submit(load, images, size, rows, stop),
            lambda _, loading: loading.result(),
        )
    finally:
        # When the loop is left early, the batches under way end at their next image.
        stop.set()
        executor.shutdown(cancel_futures=True)
