"""A map over shards by joblib, in which what is lost with a worker is done again."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from typing import Any

import joblib
from joblib import Parallel, delayed
from joblib.parallel import get_active_backend

from skscan.exceptions import SkippedImagesWarning, SkscanWarning

__all__ = ["collected_warnings", "divide", "map_shards", "tell_once"]

# More shards than workers: a lost one costs less, and slow ones even out.
_SHARDS_PER_WORKER = 4

_ATTEMPTS = 3
# What Dask raises when it has tried again itself, and what Ray does.
_LOST_WORKER = {"KilledWorker", "RayActorError", "WorkerCrashedError"}


def divide(n_rows: int, n_shards: int | None, n_jobs: int | None, aligned: int = 1) -> list[range]:
    """Cut rows into shards.

    Parameters
    ----------
    n_rows : int
    n_shards : int or None
        How many at most; None is four for each worker.
    n_jobs : int or None
        Workers, as joblib takes it.
    aligned : int, default=1
        Larger shards begin at multiples of it.

    Returns
    -------
    shards : list of range
        None is empty.

    Raises
    ------
    ValueError
        If `n_shards` is less than 1.
    """
    if n_shards is None:
        n_shards = _SHARDS_PER_WORKER * joblib.effective_n_jobs(n_jobs)
    if n_shards < 1:
        raise ValueError(f"n_shards must be an integer from 1 on, got {n_shards!r}.")
    each = -(-n_rows // n_shards)
    if each > aligned:
        each = -(-each // aligned) * aligned
    return [range(start, min(start + each, n_rows)) for start in range(0, n_rows, each or 1)]


def map_shards(
    function: Callable[..., Any],
    tasks: list[tuple[Any, ...]],
    n_jobs: int | None,
    take: Callable[[int, Any], None],
) -> None:
    """Call a function for all tasks; those that are lost with a worker, again.

    Parameters
    ----------
    function : callable
        In a module that workers can import.
    tasks : list of tuple
        Arguments of each call.
    n_jobs : int or None
        Workers, as joblib takes it.
    take : callable
        Called with the number and the result of each task as it comes, in any order.

    Raises
    ------
    RuntimeError
        If workers end again and again.

    Warns
    -----
    SkscanWarning
        If a worker ended unexpectedly.
    """
    missing = set(range(len(tasks)))
    for attempt in range(1, _ATTEMPTS + 1):
        generates = get_active_backend()[0].supports_return_generator
        parallel = Parallel(n_jobs, return_as="generator_unordered" if generates else "list")
        try:
            for i, result in parallel(
                delayed(_numbered)(i, function, tasks[i]) for i in sorted(missing)
            ):
                take(i, result)
                missing.discard(i)
            return
        except Exception as error:
            if not _tells_of_a_lost_worker(error):
                raise
            if attempt == _ATTEMPTS:
                raise RuntimeError(
                    f"worker processes ended unexpectedly {_ATTEMPTS} times, the last time with "
                    f"{len(missing)} of {len(tasks)} shards to do; the system may have run out of "
                    "memory. Try again with fewer workers (n_jobs): what was kept in memory is "
                    "used."
                ) from error
            warnings.warn(
                "a worker process ended unexpectedly; the system may have run out of memory. "
                f"{len(missing)} of {len(tasks)} shards that were not finished are done again.",
                SkscanWarning,
                stacklevel=3,
            )


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Collect what skscan warns of in a worker, where nobody reads it; see `tell_once`.

    Images that could not be read are told of once, of all shards.
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", SkscanWarning)
        warnings.simplefilter("ignore", SkippedImagesWarning)
        yield said
    said += [str(each.message) for each in caught]


def tell_once(said: list[str]) -> None:
    """Give the warnings of all workers, each once."""
    for message in dict.fromkeys(said):
        warnings.warn(message, SkscanWarning, stacklevel=3)


def _tells_of_a_lost_worker(error: Exception) -> bool:
    """Tell a worker that is gone from an error in its work; the engines need not be installed."""
    names = {each.__name__ for each in type(error).__mro__}
    return isinstance(error, BrokenExecutor) or bool(names & _LOST_WORKER)


def _numbered(i: int, function: Callable[..., Any], task: tuple[Any, ...]) -> tuple[int, Any]:
    return i, function(*task)
