"""Rows of samples that could not be read: left out of the work, kept in the results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_matrix

from skscan._blocks import row_blocks
from skscan._files import allocate_array

if TYPE_CHECKING:
    from skscan.images import SkippedImage

_MAX_BYTES_IN_MEMORY = 2**29


def readable_rows(n_samples: int, skipped: Sequence[SkippedImage]) -> np.ndarray:
    """Return which of the samples could be read, bool of shape (n_samples,)."""
    read = np.ones(n_samples, dtype=bool)
    read[[image.index for image in skipped]] = False
    return read


def rows_of(features: np.ndarray, read: np.ndarray) -> np.ndarray:
    """Return the rows of readable samples; no copy when that is all of them.

    Large copies go to a temporary file that is mapped into memory.
    """
    if read.all():
        return features
    shape = (int(read.sum()), *features.shape[1:])
    rows = allocate_array(shape, features.dtype, "features", _MAX_BYTES_IN_MEMORY)
    end = 0
    for part in row_blocks(*features.shape):
        block = features[part][read[part]]
        rows[end : end + len(block)] = block
        end += len(block)
    return rows


def with_gaps(values: np.ndarray, read: np.ndarray) -> np.ndarray:
    """Put the rows of readable samples where they belong, NaN elsewhere."""
    if read.all():
        return values
    shape = (len(read), *values.shape[1:])
    filled = allocate_array(shape, values.dtype, "rows", _MAX_BYTES_IN_MEMORY)
    filled[~read] = np.nan
    filled[read] = values
    return filled


def graph_with_gaps(graph: csr_matrix, read: np.ndarray) -> csr_matrix:
    """Give unreadable samples empty rows and columns."""
    if read.all():
        return graph
    rows = np.flatnonzero(read)
    pairs = graph.tocoo()
    indptr = np.zeros(len(read) + 1, dtype=graph.indptr.dtype)
    indptr[rows + 1] = np.diff(graph.indptr)
    indptr = np.cumsum(indptr, dtype=graph.indptr.dtype)
    return csr_matrix((graph.data, rows[pairs.col], indptr), shape=(len(read), len(read)))


def graph_between(graph: csr_matrix, rows: np.ndarray) -> csr_matrix:
    """Return the graph between some samples, explicit zeros kept."""
    return graph if len(rows) == graph.shape[0] else graph[rows][:, rows]
