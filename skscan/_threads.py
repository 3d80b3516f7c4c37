"""The one place that limits threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from joblib import effective_n_jobs
from threadpoolctl import threadpool_limits

__all__ = ["limit_threads", "suitable_n_jobs"]

ONE_THREAD_ENTRIES = 2**22
"""Up to this many feature values, waiting for other threads costs more than they give."""


def suitable_n_jobs(n_jobs: int | None, features: np.ndarray) -> int | None:
    """Return `n_jobs`, or 1 where it is None and the features are small."""
    return 1 if n_jobs is None and features.size <= ONE_THREAD_ENTRIES else n_jobs


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
