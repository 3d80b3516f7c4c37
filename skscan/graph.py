"""What a mined neighbor graph says: affinities, volumes and random neighbors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["neighbor_table", "symmetric_affinity"]


def symmetric_affinity(neighbors: sparse.csr_matrix) -> sparse.csr_matrix:
    """Turn a directed k-nearest-neighbor graph into a symmetric affinity.

    Parameters
    ----------
    neighbors : sparse matrix of shape (n_samples, n_samples)
        Stored entries are neighbors; their values are not read and self is ignored.

    Returns
    -------
    affinity : csr_matrix of shape (n_samples, n_samples), float32
        1 for pairs that name each other, 1/2 where only one names the other.
    """
    neighbors = neighbors.tocsr()
    links = sparse.csr_matrix(
        (np.ones(neighbors.nnz, dtype=np.float32), neighbors.indices, neighbors.indptr),
        shape=neighbors.shape,
    )
    links = links - sparse.diags(links.diagonal())
    affinity = ((links + links.T) * np.float32(0.5)).tocsr()
    affinity.eliminate_zeros()
    return affinity


def neighbor_table(neighbors: sparse.csr_matrix) -> NDArray[np.intp]:
    """Return the stored neighbors as a rectangular table, shape (n_samples, width).

    Rows with fewer entries than the widest repeat theirs in turn; a row without any names itself.
    """
    neighbors = neighbors.tocsr()
    counts = np.diff(neighbors.indptr)
    width = max(int(counts.max(initial=0)), 1)
    if neighbors.nnz == 0:
        return np.arange(neighbors.shape[0])[:, None]
    columns = np.arange(width)[None, :] % np.maximum(counts, 1)[:, None]
    positions = np.minimum(neighbors.indptr[:-1, None] + columns, neighbors.nnz - 1)
    table = neighbors.indices[positions].astype(np.intp)
    table[counts == 0] = np.flatnonzero(counts == 0)[:, None]
    return table
