"""Processes that decode images, for as long as the system lets them live."""

from __future__ import annotations

import queue
import signal
import warnings
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress

from skscan.exceptions import SkscanWarning
from skscan.images.batches import ImageBatch, Plan, Size, in_order, load
from skscan.images.collection import ImageCollection
from skscan.images.names import printable

__all__ = ["load_with_processes"]


def load_with_processes(
    images: ImageCollection, size: Size, plan: Plan, n_workers: int
) -> Iterator[ImageBatch]:
    """Load a collection with worker processes.

    Parameters
    ----------
    images : ImageCollection
        Sent to each process once.

    size : int or tuple of int
        Side of the square pictures in pixels; see `skscan.images.loading.iter_batches`.

    plan : Plan

    n_workers : int
        Number of processes.

    Yields
    ------
    ImageBatch

    Raises
    ------
    RuntimeError
        If a process is killed, and the one that takes over its work too.

    Warns
    -----
    SkscanWarning
        If a process is killed.
    """
    workers = _Workers(images, size, n_workers)
    finished = False
    try:
        yield from in_order(plan, workers.begin, workers.finish)
        finished = True
    finally:
        workers.end(wait=finished)


class _Workers:
    """Worker processes; after the first that is killed, a single one in their place."""

    def __init__(self, images: ImageCollection, size: Size, n_workers: int) -> None:
        self._images = images
        self._size = size
        self._start(n_workers)

    def begin(self, rows: range) -> Future[ImageBatch] | None:
        """Hand rows to the processes; None if these were killed."""
        with suppress(BrokenExecutor):
            return self._executor.submit(_load_in_worker, rows)
        return None

    def finish(self, rows: range, loading: Future[ImageBatch] | None) -> ImageBatch:
        """Wait for rows, and have them loaded again if the process was killed over them."""
        with suppress(BrokenExecutor):
            if loading is not None:
                return loading.result()
        if not self._is_alone:
            warnings.warn(
                "a process that decoded images ended unexpectedly; the system may have run out of "
                "memory. Nothing is lost: the rest is decoded by a single process.",
                SkscanWarning,
                stacklevel=2,
            )
            self.end(wait=False)
            self._start(1)
        try:
            return self._executor.submit(_load_in_worker, rows).result()
        except BrokenExecutor as error:
            first, last = (printable(self._images.names[rows[at]]) for at in (0, -1))
            raise RuntimeError(
                "a process that decoded images ended unexpectedly, and so did the one that took "
                "over; the system may have run out of memory. They were at the images from "
                f"{first!r} to {last!r}. Leave these out, or try again with n_jobs=1"
            ) from error

    def end(self, wait: bool) -> None:
        """End the processes, after the work that is left or at once."""
        # Nobody waits for batches that nobody will use.
        if not wait:
            _forget_queued_tasks(self._executor)
        self._executor.shutdown(wait=wait, kill_workers=not wait)

    def _start(self, n_workers: int) -> None:
        # loky (as joblib has it) starts clean processes, not forks of one that runs threads, and
        # does without an `if __name__ == "__main__"` in the user's script.
        from joblib.externals.loky import ProcessPoolExecutor

        self._is_alone = n_workers == 1
        self._executor = ProcessPoolExecutor(
            n_workers, initializer=_start_worker, initargs=(self._images, self._size)
        )


# In a worker process: what it loads from, given once instead of with every batch.
_source: tuple[ImageCollection, Size] | None = None


def _start_worker(images: ImageCollection, size: Size) -> None:
    global _source
    _source = images, size
    # Ctrl-C is the main process's business; it ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Pillow's remarks on odd metadata would come from a process that the user never started.
    warnings.simplefilter("ignore")


def _load_in_worker(rows: range) -> ImageBatch:
    assert _source is not None
    return load(*_source, rows)


def _forget_queued_tasks(executor: Executor) -> None:
    """Take tasks back that were submitted a moment ago.

    When workers are killed, loky's managing thread drops its tasks first and stumbles over their
    numbers, which are still queued; its traceback would stand beside the user's Ctrl-C.
    """
    queued = getattr(executor, "_work_ids", None)
    with suppress(queue.Empty):
        while queued is not None:
            queued.get_nowait()
