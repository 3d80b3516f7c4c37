"""Nearest neighbours, shard by shard."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from skscan._files import allocate_array, release_pages
from skscan.neighbors.approximate import FaissSearch
from skscan.neighbors.miner import index_type, self_first, without_self
from skscan.sharding.mapping import divide, map_shards
from skscan.sharding.sharing import load_shared, shared

__all__ = ["mine_shards"]

# Larger arrays go to a temporary file that is mapped into memory.
_MAX_BYTES_IN_MEMORY = 2**29


def mine_shards(
    miner: Any,
    X: Any,
    memory: str | os.PathLike | None = None,
    *,
    n_shards: int | None = None,
    n_jobs: int | None = None,
) -> csr_matrix:
    """Mine the neighbours of all samples by several workers.

    The rows and the index are written to a file, which each worker maps into memory and asks for
    the neighbours of its shards.

    Parameters
    ----------
    miner : NeighborMiner
        Fitted in place, on X.
    X : array-like of shape (n_samples, n_features)
        Features.
    memory : path or None, default=None
        A folder that all workers see, with room for the features and the index while they work.
        None is a folder for temporary files, which processes of one machine see.
    n_shards : int or None, default=None
        Into how many shards the rows are divided; None is four for each worker.
    n_jobs : int or None, default=None
        See `extract_shards`.

    Returns
    -------
    graph : csr_matrix of shape (n_samples, n_samples)
        As ``miner.fit_transform(X)`` gives it.

    Raises
    ------
    ValueError
        If `memory` is no folder that can be written to.
    RuntimeError
        If workers end again and again.
    FileNotFoundError
        If a worker does not see `memory`.

    Warns
    -----
    SkscanWarning
        If a worker ended unexpectedly; its shards are done again by others.
    """
    miner.fit(X)
    n_samples, k = miner.n_samples_fit_, miner.n_neighbors_
    found: list[np.ndarray] = []
    shards = divide(n_samples, n_shards, n_jobs)

    def take(i: int, of_shard: tuple[np.ndarray, np.ndarray]) -> None:
        if not found:
            found.extend(
                allocate_array((n_samples, k + 1), dtype, "neighbors", _MAX_BYTES_IN_MEMORY)
                for dtype in (of_shard[0].dtype, index_type(n_samples * (k + 1)))
            )
        for whole, part in zip(found, of_shard, strict=True):
            whole[shards[i].start : shards[i].stop] = part
            release_pages(whole)

    # Others are quicker built again than read, or cannot be written.
    index = miner._index if isinstance(miner._index, FaissSearch) else None
    with shared((miner, index), memory) as path:
        map_shards(_mine_shard, [(path, rows.start, rows.stop) for rows in shards], n_jobs, take)
    distances, indices = found
    indptr = np.arange(0, n_samples * (k + 1) + 1, k + 1)
    return csr_matrix((distances.ravel(), indices.ravel(), indptr), shape=(n_samples, n_samples))


def _mine_shard(path: str, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    miner, index = load_shared(path)
    if index is not None:
        miner._index = index
    own = np.arange(start, stop)
    # one more than there are neighbours: the row itself is among them, but for many duplicates
    distances, indices = miner._search(miner._fit_X[start:stop], miner.n_neighbors_ + 1)
    return self_first(*without_self(distances, indices, own), own)
