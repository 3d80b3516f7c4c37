"""Images as batches, decoded ahead of whoever uses them.

Large files are decoded by worker processes; small ones and images in memory by threads (Pillow lets
go of the interpreter lock while it decodes and resizes, so nothing has to be copied to another
process); a data set's own code runs where it was called from. Whoever does the work, the batches
are the same.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np

from skscan.exceptions import ImageReadError
from skscan.images.collection import FileImages, ImageCollection, SkippedImage
from skscan.images.throughput import LoadingStatistics, watched
from skscan.images.transforms import to_square

__all__ = ["ImageBatch", "iter_batches"]

# Less than this is decoded sooner than worker processes have started.
_BYTES_WORTH_PROCESSES = 2**26
# One thread decodes smaller files than this faster than a network takes them in; worker processes
# would only compete with the network for the cores.
_LARGE_FILE_BYTES = 2**17

# Batches that each worker may be ahead: enough to bridge a few slow files.
_BATCHES_AHEAD = 2


@dataclass(frozen=True)
class ImageBatch:
    """A few images of a collection.

    Attributes
    ----------
    rows : ndarray of int
        Their numbers in the collection, ascending; those of unreadable images are missing.

    pixels : ndarray of shape (len(rows), size, size, 3), dtype uint8
        The images.

    skipped : list of SkippedImage
        The unreadable images between them.

    n_images : int
        How many images the batch stands for, skipped ones included.

    seconds_decoding : float
        CPU time that reading, decoding and resizing them took.
    """

    rows: np.ndarray
    pixels: np.ndarray
    skipped: list[SkippedImage]
    n_images: int
    seconds_decoding: float


def iter_batches(
    images: ImageCollection,
    size: int,
    batch_size: int,
    n_jobs: int | None = None,
    statistics: LoadingStatistics | None = None,
) -> Generator[ImageBatch, None, None]:
    """Load a collection batch by batch, in order and in bounded memory.

    Parameters
    ----------
    images : ImageCollection
        What to load.

    size : int
        Side of the square pictures in pixels; see `skscan.images.transforms.to_square`.

    batch_size : int
        Images in a batch.

    n_jobs : int or None, default=None
        Workers. None takes as many processes as there are cores where files are large (128 KiB on
        average and 64 MiB together), and otherwise one thread; -1 means all cores, as in
        scikit-learn.
        In processes that are workers themselves, threads take the place of processes.

    statistics : LoadingStatistics or None, default=None
        Where to add up what loading takes; up to date with each batch.

    Yields
    ------
    ImageBatch
        As soon as it is ready; a few more are then being prepared already.

    Raises
    ------
    RuntimeError
        If a worker process is killed.
    """
    return watched(_batches(images, size, batch_size, n_jobs), statistics)


def _batches(
    images: ImageCollection, size: int, batch_size: int, n_jobs: int | None
) -> Generator[ImageBatch, None, None]:
    batches = [
        range(start, min(start + batch_size, len(images)))
        for start in range(0, len(images), batch_size)
    ]
    use_processes = _worth_processes(images, n_jobs)
    n_workers = min(_count_workers(n_jobs, use_processes), len(batches))
    if use_processes:
        yield from _with_processes(images, size, batches, n_workers)
    elif images.reading == "user code":
        yield from (_load(images, size, rows) for rows in batches)
    else:
        yield from _with_threads(images, size, batches, n_workers)


def _worth_processes(images: ImageCollection, n_jobs: int | None) -> bool:
    if images.reading == "memory" or _is_worker_process():
        return False
    if n_jobs is None:
        n_bytes = images.estimate_bytes() if isinstance(images, FileImages) else 0
        large = n_bytes >= _LARGE_FILE_BYTES * len(images)
        return large and n_bytes >= _BYTES_WORTH_PROCESSES
    return _count_workers(n_jobs, True) > 1


def _count_workers(n_jobs: int | None, use_processes: bool) -> int:
    if n_jobs is None:
        return joblib.cpu_count() if use_processes else 1
    with joblib.parallel_config(backend="threading"):
        return joblib.effective_n_jobs(n_jobs)


def _is_worker_process() -> bool:
    """Tell whether this process was started by another Python.

    Daemons must not have children, and workers of workers would only crowd the machine.
    """
    return multiprocessing.current_process().name != "MainProcess"


def _load(
    images: ImageCollection, size: int, rows: range, stop: threading.Event | None = None
) -> ImageBatch:
    started = time.thread_time()
    pixels = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    readable: list[int] = []
    skipped: list[SkippedImage] = []
    for row in rows:
        if stop is not None and stop.is_set():
            break
        try:
            pixels[len(readable)] = to_square(images.read(row, min_side=size), size)
            readable.append(row)
        except ImageReadError as error:
            skipped.append(SkippedImage(row, images.names[row], error.reason))
    return ImageBatch(
        np.array(readable, dtype=np.intp),
        pixels[: len(readable)],
        skipped,
        len(rows),
        time.thread_time() - started,
    )


def _ahead(
    executor: Executor, function: Any, tasks: list[tuple[Any, ...]], n_workers: int
) -> Iterator[ImageBatch]:
    """Yield results in order, with a bounded number of tasks under way."""
    under_way: deque[Future[ImageBatch]] = deque()
    for task in tasks:
        under_way.append(executor.submit(function, *task))
        if len(under_way) > n_workers * _BATCHES_AHEAD:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


def _with_threads(
    images: ImageCollection, size: int, batches: list[range], n_workers: int
) -> Iterator[ImageBatch]:
    stop = threading.Event()
    executor = ThreadPoolExecutor(n_workers)
    try:
        tasks = [(images, size, rows, stop) for rows in batches]
        yield from _ahead(executor, _load, tasks, n_workers)
    finally:
        # When the loop is left early, the batches under way end at their next image.
        stop.set()
        executor.shutdown(cancel_futures=True)


# In a worker process: what it loads from, given once instead of with every batch.
_source: tuple[ImageCollection, int] | None = None


def _start_worker(images: ImageCollection, size: int) -> None:
    global _source
    _source = images, size
    # Ctrl-C is the main process's business; it ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pillow's remarks on odd metadata would come from a process that the user never started.
    warnings.simplefilter("ignore")


def _load_in_worker(rows: range) -> ImageBatch:
    assert _source is not None
    return _load(*_source, rows)


def _with_processes(
    images: ImageCollection, size: int, batches: list[range], n_workers: int
) -> Iterator[ImageBatch]:
    # loky (as joblib has it) starts clean processes, not forks of one that runs threads, and does
    # without an `if __name__ == "__main__"` in the user's script.
    from joblib.externals.loky import ProcessPoolExecutor

    executor = ProcessPoolExecutor(n_workers, initializer=_start_worker, initargs=(images, size))
    finished = False
    try:
        yield from _ahead(executor, _load_in_worker, [(rows,) for rows in batches], n_workers)
        finished = True
    except BrokenExecutor as error:
        raise RuntimeError(
            "a process that decoded images ended unexpectedly; the system may have run out of "
            "memory. Try again with n_jobs=1"
        ) from error
    finally:
        # Nobody waits for batches that nobody will use.
        if not finished:
            _forget_queued_tasks(executor)
        executor.shutdown(wait=finished, kill_workers=not finished)


def _forget_queued_tasks(executor: Executor) -> None:
    """Take tasks back that were submitted a moment ago.

    When workers are killed, loky's managing thread drops its tasks first and stumbles over their
    numbers, which are still queued; its traceback would stand beside the user's Ctrl-C.
    """
    queued = getattr(executor, "_work_ids", None)
    with suppress(queue.Empty):
        while queued is not None:
            queued.get_nowait()
