"""Running the cells of a tier that are not finished yet."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed

from quality_parts.method import Method
from quality_parts.results import Cell, Record, ResultsFile
from quality_parts.worker import SETUP_LIMIT, Worker

__all__ = ["open_cells", "run_cells"]


def open_cells(cells: Iterable[Cell], results: ResultsFile, retry: bool = False) -> list[Cell]:
    """Leave out what is finished: a failure is a result, but what was unavailable is tried again.

    Parameters
    ----------
    cells : iterable of Cell
    results : ResultsFile
    retry : bool, default=False
        Try failures again too.
    """
    known = results.read()
    final = {"ok"} if retry else {"ok", "failed", "crashed", "timeout", "too large"}
    return [cell for cell in cells if known.get(cell, {}).get("status") not in final]


def run_cells(
    cells: Iterable[Cell],
    methods: dict[str, Method],
    results: ResultsFile,
    *,
    n_samples: int | None = None,
    limit: float = 3600.0,
    minutes: float | None = None,
    jobs: int = 1,
    tell: Callable[[Cell, Record], None] = lambda cell, record: None,
) -> None:
    """Run cells, `jobs` at a time, and add their records to the results.

    Parameters
    ----------
    cells : iterable of Cell
        In this order; cells of one method should follow each other.
    methods : dict of str to Method
    results : ResultsFile
    n_samples : int or None, default=None
        Sets are cut to so many samples.
    limit : float, default=3600.0
        Seconds for a cell.
    minutes : float or None, default=None
        After which what runs is broken off, unrecorded, and nothing more is begun.
    jobs : int, default=1
        Processes at a time.
    tell : callable, optional
        Called with each cell and its record.
    """
    waiting: queue.SimpleQueue[Cell] = queue.SimpleQueue()
    for cell in cells:
        waiting.put(cell)
    end = float("inf") if minutes is None else time.monotonic() + 60 * minutes
    unavailable: dict[str, Record] = {}
    lock = threading.Lock()
    stop = threading.Event()
    workers: list[Worker] = []

    def worker_of(method: Method, last: Worker | None) -> Worker:
        if last is not None:
            if last.method is method:
                return last
            last.close()
        workers.append(Worker(method, n_samples))
        return workers[-1]

    def one_after_the_other() -> None:
        worker: Worker | None = None
        while not stop.is_set() and time.monotonic() < end:
            try:
                cell = waiting.get_nowait()
            except queue.Empty:
                return
            record = unavailable.get(cell.method)
            if record is None:
                worker = worker_of(methods[cell.method], worker)
                left = end - time.monotonic()
                record = worker.run(
                    cell.problem, cell.seed, min(limit, left), min(SETUP_LIMIT, left)
                )
                if stop.is_set() or (record["status"] == "timeout" and time.monotonic() >= end):
                    return  # broken off, not finished
            with lock:
                if record["status"] == "unavailable":
                    unavailable[cell.method] = record
                results.add(cell, record)
                tell(cell, record)

    pool = ThreadPoolExecutor(jobs)
    try:
        for future in as_completed([pool.submit(one_after_the_other) for _ in range(jobs)]):
            future.result()
    finally:
        stop.set()
        for worker in workers:
            worker.close()
        pool.shutdown()
