"""Room for what a search finds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from skscan._files import allocate_array

__all__ = ["MAX_BYTES_IN_MEMORY", "allocate_results"]

MAX_BYTES_IN_MEMORY = 2**30
"""Larger results are mapped from temporary files."""


def allocate_results(
    n_queries: int, n_neighbors: int, dtype: DTypeLike = np.float64
) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Make room for distances of a type, and for indices."""
    shape = (n_queries, n_neighbors)
    return (
        allocate_array(shape, dtype, "distances", MAX_BYTES_IN_MEMORY),
        allocate_array(shape, np.int64, "neighbors", MAX_BYTES_IN_MEMORY),
    )
