"""Approximate nearest neighbours, for more rows than all pairs of them can be compared.

Rows lie in lists about centers. Queries of a list go through the same near lists together, so that
distances are a matrix product, where a search query by query would read each row anew.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skscan._files import allocate_array
from skscan.neighbors.exact import _blocks, _n_threads, _product, _Workers

__all__ = ["InvertedListSearch"]

SAMPLE_RECALL = 0.96
"""As many lists are searched as hold so many of the true neighbors of a sample: 95 %, and more than
the error of the sample."""

RECALL_NEIGHBORS = 20
RECALL_SAMPLE = 500
SEED = 0
ITERATIONS = 8
TRAINING_ROWS = 40
"""Rows for each list that its center is learned from."""

BLOCK_ROWS = 65_536
CANDIDATE_ENTRIES = 2**24
"""Values of the candidates that are looked at together."""

PRODUCT_ENTRIES = 2**21
GROUP = 16
"""Products of so many candidates are represented by the best of them, to bound what is near."""

_MAX_BYTES_IN_MEMORY = 2**30


class InvertedListSearch:
    """Approximate euclidean search in the lists that are near to a query's own list.

    There are twice as many lists as the root of the number of rows, about centers of k-means
    (faiss). The number of lists that are searched is the least one with which 96 % of the true 20
    nearest neighbors of a sample of rows are among the candidates, for 95 % of those of all rows;
    it is raised as far as needed, at worst to all lists. Every draw has a fixed seed: the same rows
    give the same neighbors.

    Beside the rows themselves one copy of them in float32 is kept, in the order of the lists; above
    1 GiB it is mapped from a temporary file.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        The indexed rows.
    n_jobs : int or None
        Threads of queries; None takes all processors, or as many as ``OMP_NUM_THREADS`` allows.

    Attributes
    ----------
    recall : float
        Share of the true neighbors that are found, for rows of the sample.

    Raises
    ------
    ImportError
        If faiss is not installed.
    """

    def __init__(self, X: NDArray[np.floating], n_jobs: int | None) -> None:
        self._X = X
        self._n_jobs = n_jobs
        rng = np.random.default_rng(SEED)
        self._learn_centers(rng)
        self._own = self._lists_of(X)
        self._rows = _order(self._own).astype(_index_type(len(X)))
        self._ends = _ends(self._own, len(self._centers))
        self._data = self._in_lists()
        self.recall = self._choose_lists(rng)

    def query(
        self, X: NDArray[np.floating], n_neighbors: int
    ) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        """Return euclidean distances and indices of near rows, nearest first.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
        n_neighbors : int
            At most the number of indexed rows.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors), float32
        indices : ndarray of shape (n_queries, n_neighbors), int32 where it suffices
        """
        distances = np.empty((len(X), n_neighbors), np.float32)
        indices: NDArray[np.integer] = np.empty((len(X), n_neighbors), _index_type(len(self._X)))
        own = self._own if X is self._X else self._lists_of(X)
        order, ends = _order(own), _ends(own, len(self._centers))

        def search(number: int) -> None:
            members = order[ends[number] : ends[number + 1]]
            places, center = self._candidates(number, n_neighbors), self._centers[number]
            for part in _blocks(len(members), BLOCK_ROWS):
                rows = members[part]
                distances[rows], found = self._nearest_of(X[rows], places, center, n_neighbors)
                indices[rows] = self._rows[found]

        with _Workers(_n_threads(self._n_jobs)) as workers:
            workers.run(search, np.flatnonzero(np.diff(ends)))
        return distances, indices

    def _learn_centers(self, rng: np.random.Generator) -> None:
        faiss = _import_faiss()
        n_samples, n_features = self._X.shape
        n_lists = int(2 * np.sqrt(n_samples)) if n_samples > 4 else 1
        size = min(TRAINING_ROWS * n_lists, n_samples)
        sample = np.sort(rng.choice(n_samples, size, replace=False))
        kmeans = faiss.Kmeans(
            n_features, n_lists, niter=ITERATIONS, seed=SEED, min_points_per_centroid=1
        )
        kmeans.train(np.ascontiguousarray(self._X[sample], dtype=np.float32))
        self._centers: NDArray[np.float32] = kmeans.centroids
        self._index = faiss.IndexFlatL2(n_features)
        self._index.add(self._centers)
        self._near_lists = self._index.search(self._centers, n_lists)[1].astype(np.int32)

    def _lists_of(self, X: NDArray[np.floating]) -> NDArray[np.int32]:
        own = np.empty(len(X), np.int32)
        for part in _blocks(len(X), BLOCK_ROWS):
            own[part] = self._index.search(np.ascontiguousarray(X[part], np.float32), 1)[1][:, 0]
        return own

    def _in_lists(self) -> NDArray[np.float32]:
        data = allocate_array(self._X.shape, np.float32, "features", _MAX_BYTES_IN_MEMORY)
        for part in _blocks(len(data), BLOCK_ROWS):
            data[part] = self._X[self._rows[part]]
        return data

    def _choose_lists(self, rng: np.random.Generator) -> float:
        """Choose how many lists are searched; return the recall that it gives."""
        n_samples, n_lists = len(self._X), len(self._centers)
        rows = np.sort(rng.choice(n_samples, min(RECALL_SAMPLE, n_samples), replace=False))
        everything = np.arange(n_samples, dtype=self._rows.dtype)
        k = min(RECALL_NEIGHBORS + 1, n_samples)
        center = self._centers.mean(axis=0)
        true = self._rows[self._nearest_of(self._X[rows], everything, center, k)[1]]
        # how far off, counted in lists, the list of each true neighbor is
        steps = np.empty((len(rows), n_lists), np.int32)
        np.put_along_axis(
            steps, self._near_lists[self._own[rows]], np.arange(n_lists, dtype=np.int32)[None], 1
        )
        steps = np.take_along_axis(steps, self._own[true], 1)[true != rows[:, None]]
        recalls = np.cumsum(np.bincount(steps, minlength=n_lists)) / len(steps)
        self._n_searched = int(np.argmax(recalls >= SAMPLE_RECALL)) + 1
        return float(recalls[self._n_searched - 1])

    def _candidates(self, number: int, n_neighbors: int) -> NDArray[np.integer]:
        """Places of the rows in the lists near to a list, at least as many as are asked for."""
        near = self._near_lists[number]
        n_rows = np.cumsum(self._ends[near + 1] - self._ends[near])
        n_lists = max(self._n_searched, int(np.searchsorted(n_rows, n_neighbors)) + 1)
        parts = [
            np.arange(self._ends[i], self._ends[i + 1], dtype=self._rows.dtype)
            for i in near[:n_lists]
        ]
        return np.concatenate(parts)

    def _nearest_of(
        self,
        X: NDArray[np.floating],
        places: NDArray[np.integer],
        center: NDArray[np.float32],
        k: int,
    ) -> tuple[NDArray[np.float32], NDArray[np.integer]]:
        """Distances and places of the k nearest candidates of each query."""
        queries = np.asarray(X, np.float32) - center  # products lose less near to the origin
        scores = np.empty((len(X), 0), np.float32)
        found = np.empty((len(X), 0), places.dtype)
        for part in _blocks(len(places), max(CANDIDATE_ENTRIES // X.shape[1], 1)):
            candidates = self._data[places[part]] - center
            at, values = _best_products(queries, candidates, min(k, len(candidates)))
            scores = np.hstack([scores, values])
            found = np.hstack([found, places[part][at]])
            best = np.argsort(scores, axis=1, kind="stable")[:, :k]
            scores, found = (np.take_along_axis(a, best, 1) for a in (scores, found))
        distances = np.empty(found.shape, np.float32)
        for rows in _blocks(len(X), max(PRODUCT_ENTRIES // (k * X.shape[1]), 1)):
            gaps = self._data[found[rows]]  # anew: products lose digits
            gaps -= np.asarray(X[rows], np.float32)[:, None]
            np.einsum("ijk,ijk->ij", gaps, gaps, out=distances[rows])
        order = np.argsort(distances, axis=1, kind="stable")
        return np.sqrt(np.take_along_axis(distances, order, 1)), np.take_along_axis(found, order, 1)


def _best_products(
    queries: NDArray[np.float32], candidates: NDArray[np.float32], k: int
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the k nearest candidates of each query, and their half squares less the products."""
    half_squares = np.einsum("ij,ij->i", candidates, candidates) / 2
    transposed = np.ascontiguousarray(candidates.T)
    at = np.empty((len(queries), k), np.intp)
    values = np.empty((len(queries), k), np.float32)
    for rows in _blocks(len(queries), max(PRODUCT_ENTRIES // len(candidates), 16)):
        scores = _product(queries[rows], transposed)
        np.subtract(half_squares, scores, out=scores)
        at[rows], values[rows] = _smallest(scores, k)
    return at, values


def _smallest(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return columns and values of the k smallest of each row, in no order."""
    n_rows, width = scores.shape
    n_groups = width // GROUP
    if n_groups < 2 * k:
        columns = np.argpartition(scores, k - 1, axis=1)[:, :k]
        return columns, np.take_along_axis(scores, columns, 1)
    groups = scores[:, : GROUP * n_groups].reshape(n_rows, GROUP, n_groups).min(axis=1)
    groups.partition(k - 1, axis=1)
    found = np.flatnonzero(scores <= groups[:, k - 1, None])  # in each row at least k
    rows = found // width
    counts = np.bincount(rows, minlength=n_rows)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    values = np.full((n_rows, counts.max()), np.inf, np.float32)
    columns = np.zeros(values.shape, np.intp)
    values[rows, places], columns[rows, places] = scores.ravel()[found], found - rows * width
    best = np.argpartition(values, k - 1, axis=1)[:, :k]
    return np.take_along_axis(columns, best, 1), np.take_along_axis(values, best, 1)


def _order(own: NDArray[np.int32]) -> NDArray[np.intp]:
    return np.argsort(own, kind="stable")


def _ends(own: NDArray[np.int32], n_lists: int) -> NDArray[np.intp]:
    return np.concatenate([[0], np.cumsum(np.bincount(own, minlength=n_lists))])


def _index_type(n_samples: int) -> type[np.signedinteger[Any]]:
    return np.int32 if n_samples <= np.iinfo(np.int32).max else np.int64


def _import_faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "NeighborMiner(backend='faiss') needs the package faiss-cpu: "
            "`pip install 'skscan[faiss]'`, or use backend='exact'."
        ) from error
    return faiss
