"""The one place that limits threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar

import numpy as np
from joblib import cpu_count, effective_n_jobs
from threadpoolctl import threadpool_limits

__all__ = ["limit_threads", "limit_torch", "n_inference_threads", "suitable_n_jobs"]

ONE_THREAD_ENTRIES = 2**22
"""Up to this many feature values, waiting for other threads costs more than they give."""


def suitable_n_jobs(n_jobs: int | None, features: np.ndarray) -> int | None:
    """Return `n_jobs`, or 1 where it is None and the features are small."""
    return 1 if n_jobs is None and features.size <= ONE_THREAD_ENTRIES else n_jobs


def n_inference_threads() -> int:
    """Return how many threads a network is run with by engines that do not know it themselves.

    Returns
    -------
    n_threads : int
        The cores that this process may use (by affinity and by the limits of a container), and no
        more than ``OMP_NUM_THREADS``, which joblib and Dask set in their workers.
    """
    n_cores = cpu_count(only_physical_cores=True)
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return min(n_cores, max(int(wanted), 1)) if wanted.isdigit() else n_cores


@contextmanager
def limit_threads(n_jobs: int | None, *, torch_later: bool = False) -> Iterator[None]:
    """Let numerical libraries use `n_jobs` threads inside the block.

    Parameters
    ----------
    n_jobs : int or None
        As in scikit-learn, -1 is all processors; None leaves the libraries at their own setting.
    torch_later : bool, default=False
        Do not wait for torch to be imported: it is limited where `limit_torch` is called in the
        block, which has to be before it is used.
    """
    if n_jobs is None:
        yield
        return
    with ExitStack() as limits:
        limit = _Limit(effective_n_jobs(n_jobs), limits)
        limits.callback(_waiting_for_torch.reset, _waiting_for_torch.set(limit))
        if not torch_later:
            limit_torch()
        yield


def limit_torch() -> None:
    """Import torch, and hold it to the limit of the block around that has left it for later."""
    import torch  # noqa: F401

    limit = _waiting_for_torch.get()
    if limit is not None:
        _waiting_for_torch.set(None)
        limit.hold_torch()


class _Limit:
    """A limit in force until a stack of contexts is closed."""

    def __init__(self, n_threads: int, limits: ExitStack) -> None:
        self._n_threads = n_threads
        self._limits = limits
        pools = limits.enter_context(threadpool_limits(n_threads))
        originally = pools.get_original_num_threads().values()
        self._before = min((number for number in originally if number), default=1)

    def hold_torch(self) -> None:
        import torch

        # where it shares the libraries that are limited already, it knows of no more threads
        before = max(torch.get_num_threads(), self._before)
        self._limits.callback(torch.set_num_threads, before)
        torch.set_num_threads(self._n_threads)
        self._limits.enter_context(threadpool_limits(self._n_threads))  # of what came with it


_waiting_for_torch: ContextVar[_Limit | None] = ContextVar("_waiting_for_torch", default=None)
