"""Blocks of rows, so that what is made of each stays within a bound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["MAX_EDGES", "MAX_ENTRIES", "edges_in_blocks", "root_mean_square", "row_blocks"]

MAX_ENTRIES = 2**24
"""Values that are held at once: 64 MiB of float32. Small sets are one block."""

MAX_EDGES = 2**22
"""Edges that are held at once, with their ends."""


def row_blocks(n_rows: int, n_columns: int, max_entries: int | None = None) -> Iterator[slice]:
    """Cut rows into blocks of at most `max_entries` values (2^24), of one row at least."""
    step = max((max_entries or MAX_ENTRIES) // max(n_columns, 1), 1)
    for start in range(0, n_rows, step):
        yield slice(start, min(start + step, n_rows))


def edges_in_blocks(
    graph: sparse.csr_matrix,
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer], NDArray]]:
    """Give rows, columns and values of the stored entries of a graph, block by block."""
    n_rows = graph.shape[0]
    width = -(-graph.nnz // max(n_rows, 1))
    for block in row_blocks(n_rows, width, MAX_EDGES):
        ends = graph.indptr[block.start : block.stop + 1]
        rows = np.repeat(np.arange(block.start, block.stop), np.diff(ends))
        entries = slice(int(ends[0]), int(ends[-1]))
        yield rows, graph.indices[entries], graph.data[entries]


def root_mean_square(features: NDArray[np.float32]) -> float:
    """Return the root of the mean square of all values, or 1 if all are zero."""
    blocks = row_blocks(*features.shape)
    squares = sum(np.sum(np.square(features[rows]), dtype=np.float64) for rows in blocks)
    return float(np.sqrt(squares / features.size)) or 1.0
