"""Approximate nearest neighbours, for more rows than all pairs of them can be compared."""

from __future__ import annotations

from typing import Any

import numpy as np

from skscan.neighbors.exact import ExactSearch

__all__ = ["FaissSearch"]


class FaissSearch:
    """Approximate euclidean search by a navigable small-world graph (HNSW) of faiss.

    The graph is built by one thread, so that it is the same each time; queries use all threads.
    """

    def __init__(self, X: np.ndarray, n_jobs: int | None) -> None:
        faiss = _import_faiss()
        self._data = np.ascontiguousarray(X, dtype=np.float32)
        self._index = faiss.IndexHNSWFlat(X.shape[1], 32)
        self._index.hnsw.efSearch = 64
        n_threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            self._index.add(self._data)
        finally:
            faiss.omp_set_num_threads(n_threads)

    def query(self, X: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
        """Return euclidean distances and indices of near rows, nearest first."""
        X = np.ascontiguousarray(X, dtype=np.float32)
        squared, indices = self._index.search(X, n_neighbors)
        incomplete = np.flatnonzero((indices < 0).any(axis=1))
        if incomplete.size:  # the walk along the graph met too few rows
            exact = ExactSearch(self._data, n_jobs=None)
            distances, indices[incomplete] = exact.query(X[incomplete], n_neighbors)
            squared[incomplete] = distances**2
        return np.sqrt(np.maximum(squared, 0)), indices


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "NeighborMiner(backend='faiss') needs the package faiss-cpu: "
            "`pip install 'skscan[faiss]'`, or use backend='exact'."
        ) from error
    return faiss
