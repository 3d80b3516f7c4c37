"""The one place that limits threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from joblib import cpu_count, effective_n_jobs
from threadpoolctl import threadpool_limits

__all__ = ["limit_threads", "n_inference_threads", "one_blas_thread", "suitable_n_jobs"]

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
def limit_threads(n_jobs: int | None) -> Iterator[None]:
    """Let numerical libraries use `n_jobs` threads inside the block.

    Parameters
    ----------
    n_jobs : int or None
        As in scikit-learn, -1 is all processors; None leaves the libraries at their own setting.
    """
    if n_jobs is None:
        yield
        return
    import torch

    n_threads = effective_n_jobs(n_jobs)
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with threadpool_limits(n_threads):
            yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let NumPy and SciPy use one thread inside the block; torch is neither loaded nor limited."""
    with threadpool_limits(1, user_api="blas"):
        yield
