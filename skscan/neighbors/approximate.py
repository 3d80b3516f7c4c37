"""Approximate nearest neighbours, for more rows than all pairs of them can be compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from skscan._blocks import row_blocks
from skscan._laws import Power
from skscan.neighbors.exact import ExactSearch
from skscan.neighbors.results import allocate_results

__all__ = [
    "FaissSearch",
    "foretold_walk",
    "law_of_walks",
    "parts_to_foretell_from",
    "walk_that_finds",
]

MIN_RECALL = 0.95
"""The walk along the graph is made longer until so many of the true neighbors are found."""

LINKS = 32
"""Of each row in the graph, and twice as many in its lowest layer."""

RECALL_NEIGHBORS = 20
RECALL_SAMPLE = 500
EF_SEARCH = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Lengths of the walk that are tried in turn."""

FORETELLING_ROWS = (10_000, 40_000)
"""On so many rows it is seen how the length of the walk grows."""


class FaissSearch:
    """Approximate euclidean search by a navigable small-world graph (HNSW) of faiss.

    The graph is built by one thread, so that it is the same each time; queries use all threads.
    How far queries walk along it is the least of a few lengths that finds 95 % of the true 20
    nearest neighbors of a sample of rows, or the longest of them.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        The indexed rows.
    n_jobs : int or None
        Threads of the exact search that finds the true neighbors of the sample.

    Attributes
    ----------
    recall : float
        Share of the true neighbors that are found, for rows of the sample.
    walk : int
        The length of the walk that gives it, in candidates that are kept (`efSearch` of faiss).
    least_walk : float
        The length that would give a recall of 0.95, between two that were tried.
    """

    def __init__(self, X: np.ndarray, n_jobs: int | None) -> None:
        faiss = _import_faiss()
        self._data: np.ndarray | None = np.ascontiguousarray(X, dtype=np.float32)
        # before there is an index: the exact search holds a copy of the rows
        sample, reach = _nearest_of_some(self._data, n_jobs)
        self._index = faiss.IndexHNSWFlat(X.shape[1], LINKS)
        n_threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            self._index.add(self._data)
        finally:
            faiss.omp_set_num_threads(n_threads)
        self._tune(sample, reach)

    def _tune(self, sample: np.ndarray, reach: np.ndarray) -> None:
        """Choose the length of the walk."""
        k = min(RECALL_NEIGHBORS + 1, self._index.ntotal)
        recalls: list[float] = []
        for length in EF_SEARCH:
            self._index.hnsw.efSearch = length
            # by distance, so that rows at the same distance count as found either way
            found = self.query(sample, k)[0] <= reach * (1 + 1e-5) + 1e-12
            recalls.append(float(found.mean()))
            if recalls[-1] >= MIN_RECALL:
                break
        self.walk, self.recall = length, recalls[-1]
        tried = np.log(EF_SEARCH[: len(recalls)])
        self.least_walk = float(
            np.exp(np.interp(MIN_RECALL, np.maximum.accumulate(recalls), tried))
        )

    def __getstate__(self) -> dict[str, Any]:
        # faiss keeps the rows too
        return vars(self) | {"_index": _import_faiss().serialize_index(self._index), "_data": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _index=_import_faiss().deserialize_index(state["_index"]))
        self._index.hnsw.efSearch = self.walk

    def _rows(self) -> np.ndarray:
        if self._data is None:
            self._data = self._index.reconstruct_n(0, self._index.ntotal)
        return self._data

    def query(self, X: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
        """Return euclidean distances and indices of near rows, nearest first."""
        distances, indices = allocate_results(len(X), n_neighbors, np.float32)
        for rows in row_blocks(len(X), X.shape[1]):
            block = np.ascontiguousarray(X[rows], dtype=np.float32)
            squared, indices[rows] = self._index.search(block, n_neighbors)
            distances[rows] = np.sqrt(np.maximum(squared, 0))
        incomplete = np.flatnonzero((indices < 0).any(axis=1))
        if incomplete.size:  # the walk along the graph met too few rows
            exact = ExactSearch(self._rows(), n_jobs=None)
            left = np.ascontiguousarray(X[incomplete], dtype=np.float32)
            distances[incomplete], indices[incomplete] = exact.query(left, n_neighbors)
        return distances, indices


def _nearest_of_some(data: np.ndarray, n_jobs: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return some of the rows, and the distance of each to the last of its true neighbors."""
    n_samples = len(data)
    size, k = min(n_samples, RECALL_SAMPLE), min(RECALL_NEIGHBORS + 1, n_samples)
    sample = data[np.random.RandomState(0).choice(n_samples, size, replace=False)]
    return sample, ExactSearch(data, n_jobs).query(sample, k)[0][:, -1:]


def walk_that_finds(least_walk: float) -> int:
    """Return the first of the lengths that are tried that is no shorter, or the longest of them."""
    return next((length for length in EF_SEARCH if length >= least_walk), EF_SEARCH[-1])


def parts_to_foretell_from(X: np.ndarray) -> list[np.ndarray]:
    """Return random parts of the rows, the smaller first, whose walks tell how walks grow.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        40,000 rows at least.
    """
    rows = np.random.RandomState(0).choice(len(X), FORETELLING_ROWS[-1], replace=False)
    largest = X[rows]
    return [largest[:size] for size in FORETELLING_ROWS]


def law_of_walks(least_walks: Sequence[float]) -> Power:
    """Return how long walks must be by the number of rows, from those on the parts."""
    few, many = zip(FORETELLING_ROWS, least_walks, strict=True)
    return Power.through(few, many)


def foretold_walk(X: np.ndarray, n_jobs: int | None) -> float:
    """Return how long walks will have to be, from those on random parts of the rows.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        40,000 rows at least.
    n_jobs : int or None
        See `FaissSearch`.
    """
    walks = [FaissSearch(part, n_jobs).least_walk for part in parts_to_foretell_from(X)]
    return law_of_walks(walks)(len(X))


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "NeighborMiner(backend='faiss') needs the package faiss-cpu: "
            "`pip install 'skscan[faiss]'`, or use backend='exact'."
        ) from error
    return faiss
