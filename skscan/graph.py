"""What a mined neighbor graph says: tables of neighbors and symmetric affinities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan._blocks import row_blocks
from skscan._files import allocate_array

__all__ = ["neighbor_table", "shared_neighbor_affinity", "symmetric_affinity"]

# Larger tables are mapped from temporary files.
_MAX_BYTES_IN_MEMORY = 2**30

# Pairs that share a neighbor are counted for about so many at once.
_MAX_SHARED = 2**22


def neighbor_table(neighbors: sparse.csr_matrix) -> NDArray[np.intp]:
    """Return the stored neighbors of each sample as a rectangular table, nearest first.

    Parameters
    ----------
    neighbors : sparse matrix of shape (n_samples, n_samples)
        Distances to the neighbors; self may be among them as an explicit zero.

    Returns
    -------
    table : ndarray of shape (n_samples, width)
        Rows with fewer entries than the widest repeat theirs in turn; a row without any holds the
        sample itself.
    """
    neighbors = neighbors.tocsr()
    n_samples = neighbors.shape[0]
    counts = np.diff(neighbors.indptr)
    width = int(counts.max(initial=0))
    if width == 0:
        return np.arange(n_samples)[:, None]
    if (counts == width).all():
        distances = neighbors.data.reshape(n_samples, width)
        indices = neighbors.indices.reshape(n_samples, width)
        table = allocate_array(indices.shape, indices.dtype, "neighbors", _MAX_BYTES_IN_MEMORY)
        for rows in row_blocks(n_samples, width):
            columns = np.argsort(distances[rows], axis=1, kind="stable")
            table[rows] = np.take_along_axis(indices[rows], columns, 1)
        return table
    order = np.lexsort((neighbors.data, np.repeat(np.arange(n_samples), counts)))
    columns = np.arange(width)[None, :] % np.maximum(counts, 1)[:, None]
    positions = np.minimum(neighbors.indptr[:-1, None] + columns, neighbors.nnz - 1)
    table = neighbors.indices[order][positions]
    return np.where(counts[:, None] > 0, table, np.arange(n_samples)[:, None])


def symmetric_affinity(
    table: NDArray[np.integer], n_neighbors: int | None = None
) -> sparse.csr_matrix:
    """Turn a table of neighbors into a symmetric affinity.

    Parameters
    ----------
    table : int ndarray of shape (n_samples, width)
        Neighbors of each sample, nearest first; self is ignored wherever it stands.
    n_neighbors : int or None, default=None
        Use only so many nearest neighbors; None uses all.

    Returns
    -------
    affinity : csr_matrix of shape (n_samples, n_samples), float32
        1 for pairs that name each other, 1/2 where only one names the other.
    """
    n_samples = len(table)
    others = table != np.arange(n_samples)[:, None]
    if n_neighbors is not None:
        others &= np.cumsum(others, axis=1) <= n_neighbors
    ends = np.concatenate([[0], np.cumsum(others.sum(axis=1))])
    named = table[others]
    links = sparse.csr_matrix(
        (np.ones(len(named), dtype=np.float32), named, ends), shape=(n_samples, n_samples)
    )
    links.sum_duplicates()
    links.data[:] = 1.0  # a neighbor that is named twice counts once
    return ((links + links.T) * np.float32(0.5)).tocsr()


def shared_neighbor_affinity(table: NDArray[np.integer]) -> sparse.csr_matrix:
    """Weigh the pairs of a table of neighbors by how many neighbors they share.

    Pairs that bridge two clusters share few neighbors, so they weigh much less than in
    `symmetric_affinity`.

    Parameters
    ----------
    table : int ndarray of shape (n_samples, width)
        Neighbors of each sample; self counts as one, whether it is among them or not.

    Returns
    -------
    affinity : csr_matrix of shape (n_samples, n_samples), float32
        Symmetric; for pairs of which one names the other the square of the Jaccard index of their
        neighbors (Jarvis and Patrick, "Clustering using a similarity measure based on shared near
        neighbors", 1973, count them), for others 0.
    """
    n_samples, width = table.shape
    index_type = np.int32 if n_samples * (width + 1) < 2**31 else np.int64
    columns = np.empty((n_samples, width + 1), dtype=index_type)
    columns[:, 0], columns[:, 1:] = np.arange(n_samples), table
    ends = np.arange(0, columns.size + 1, width + 1, dtype=index_type)
    shape = (n_samples, n_samples)
    named = sparse.csr_matrix((np.ones(columns.size, np.float32), columns.ravel(), ends), shape)
    named.sum_duplicates()
    named.data[:] = 1  # a neighbor that is named twice counts once
    counts = np.diff(named.indptr)
    naming = named.T.tocsr()
    linked = symmetric_affinity(table)
    linked.data[:] = 1

    def jaccard_squares(block: slice) -> sparse.csr_matrix:
        shared = (named[block] @ naming).multiply(linked[block]).tocsr()
        own = np.repeat(counts[block], np.diff(shared.indptr))
        shared.data = np.square(shared.data / (own + counts[shared.indices] - shared.data))
        return shared.astype(np.float32)

    blocks = row_blocks(n_samples, width**2, _MAX_SHARED)
    return sparse.vstack([jaccard_squares(block) for block in blocks], format="csr")
