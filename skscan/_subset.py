"""A fixed choice of rows, for estimates that need not see them all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["some_rows"]


def some_rows(n_samples: int, most: int) -> NDArray[np.intp]:
    """Return all rows, or `most` of them: always the same ones, in order, without a pattern."""
    if n_samples <= most:
        return np.arange(n_samples)
    # not every second row or so: sets may be ordered by class, or deal classes in turn
    return np.sort(np.random.RandomState(0).choice(n_samples, most, replace=False))
