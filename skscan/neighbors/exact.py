"""Exact nearest neighbours near the speed of the machine's matrix product.

Products of blocks of rows in float32 bound all squared distances; a row's k-th best so far, less
the largest error that rounding can make, leaves few pairs of a block as candidates. Distances of
those that remain in the end are computed anew from differences of the rows, so that the result is
exact and near-duplicates keep their small distances, whatever the product lost.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, local
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from skscan.neighbors.results import allocate_results
from skscan.neighbors.rounding import (
    Frame,
    distances_between,
    nearest_first,
    rounding_error,
    sure_bound,
)

__all__ = ["ExactSearch"]

BLOCK = 1024
"""Rows of a block: the product of two blocks stays in the cache."""

SPARE = 12
"""More candidates than this within the error of rounding are looked at one by one."""

CROWDED_ROWS = 64
"""So many of those rows share the products that find what is near them."""

PARALLEL_PAIRS = 2**22
"""Up to this many pairs of rows, starting threads costs more than they give."""

EMPTY = np.iinfo(np.int64).max
_FLOAT_BITS = 32


class _Points(NamedTuple):
    """Rows as factors whose product is minus half the squared distance."""

    factors: NDArray[np.float32]
    """Shape (n_rows, n_features + 2): the row, minus half its square, and 1."""

    def half_squares(self, rows: slice) -> NDArray[np.float32]:
        return -self.factors[rows, -2]

    def transposed(self, rows: slice) -> NDArray[np.float32]:
        """Return the other factor for some rows, shape (n_features + 2, n_rows)."""
        factors = self.factors[rows]
        other = np.empty(factors.shape[::-1], np.float32)
        other[:-2] = factors[:, :-2].T
        other[-2] = factors[:, -1]
        other[-1] = factors[:, -2]
        return other


class ExactSearch:
    """Exact euclidean search, in blocks of bounded memory.

    Rows at the same distance come in the order of their numbers. Beside the rows themselves, one
    copy of them in float32 is kept.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32 or float64
        The indexed rows.
    n_jobs : int or None, default=None
        Threads; None takes all processors, or as many as the environment variable
        ``OMP_NUM_THREADS`` allows.
    """

    recall = 1.0

    def __init__(self, X: NDArray[np.floating], n_jobs: int | None = None) -> None:
        self._X = X
        self._n_jobs = n_jobs
        self._frame = Frame.around(X)
        # neighbours that come in the order of the rows (frames of a film) would pass every bound
        self._order = np.random.RandomState(0).permutation(len(X)).astype(np.int32)
        self._points = self._factors(X, self._order)
        self._error = rounding_error(X.shape[1])

    def query(
        self, X: NDArray[np.floating], n_neighbors: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return euclidean distances and indices of the nearest rows, nearest first.

        Parameters
        ----------
        X : ndarray of shape (n_queries, n_features)
            With the very array that is indexed, each product serves both of its rows.
        n_neighbors : int
            At most the number of indexed rows.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors), float64
        indices : ndarray of shape (n_queries, n_neighbors), int64
        """
        distances, indices = allocate_results(len(X), n_neighbors)
        n_threads = _n_threads(self._n_jobs)
        if len(X) * len(self._X) <= PARALLEL_PAIRS:
            n_threads = 1
        with _Workers(n_threads) as workers:
            if X is self._X:
                order, nearest = self._order, self._pairs_within(n_neighbors, workers)
            else:
                order = np.arange(len(X), dtype=np.int32)
                nearest = self._pairs_between(self._factors(X, order), n_neighbors, workers)

            def refine(block: _Nearest) -> None:
                rows = order[block.rows]
                distances[rows], indices[rows] = self._refined(X, rows, block)

            workers.run(refine, nearest)
        return distances, indices

    def _factors(self, X: NDArray[np.floating], order: NDArray[np.int32]) -> _Points:
        n_features = X.shape[1]
        factors = np.empty((len(order), n_features + 2), np.float32)
        for rows in _blocks(len(order)):
            factors[rows, :n_features] = self._frame.place(X[order[rows]])
            part = factors[rows, :n_features]
            np.einsum("ij,ij->i", part, part, out=factors[rows, -2])
        factors[:, -2] *= -0.5
        factors[:, -1] = 1
        return _Points(factors)

    def _pairs_within(self, k: int, workers: _Workers) -> list[_Nearest]:
        """Compare the indexed rows with each other."""
        points = self._points
        nearest = [self._nearest(points, rows, k) for rows in _blocks(len(self._X))]

        def begin(block: _Nearest) -> None:
            block.begin(
                _product(points.factors[block.rows], points.transposed(block.rows)), block.rows
            )

        workers.run(begin, nearest)

        def compare(task: tuple[_Nearest, list[_Nearest]]) -> None:
            block, others = task
            factor = points.transposed(block.rows)
            for other in others:
                products = _product(points.factors[other.rows], factor)
                other.take(products, block.rows)
                block.take_columns(products, other.rows)

        tasks = [
            (block, nearest[start : min(start + 4, i)])
            for i, block in enumerate(nearest)
            for start in range(0, i, 4)
        ]
        workers.run(compare, tasks)
        return nearest

    def _pairs_between(self, queries: _Points, k: int, workers: _Workers) -> list[_Nearest]:
        """Compare other rows with the indexed ones."""
        n_samples = len(self._X)
        nearest = [self._nearest(queries, rows, k) for rows in _blocks(len(queries.factors))]
        width = max(BLOCK, min(BLOCK**2 // len(queries.factors), 16 * BLOCK))

        def compare(block: _Nearest) -> None:
            factors = queries.factors[block.rows]
            for i, columns in enumerate(_blocks(n_samples, width)):
                products = _product(factors, self._points.transposed(columns))
                (block.take if i else block.begin)(products, columns)

        workers.run(compare, nearest)
        return nearest

    def _nearest(self, points: _Points, rows: slice, k: int) -> _Nearest:
        return _Nearest(rows, k, len(self._X), points.half_squares(rows), self._error)

    def _refined(
        self, X: NDArray[np.floating], rows: NDArray[np.int32], block: _Nearest
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Distances and indices of the k nearest among the candidates of a block."""
        candidates = block.candidates()
        indices = self._order[candidates].astype(np.int64)
        distances = distances_between(X, rows, self._X, indices)
        distances[candidates < 0] = np.inf
        distances, indices = nearest_first(distances, indices, block.k)
        crowded = np.flatnonzero(block.crowded)
        for part in _blocks(len(crowded), CROWDED_ROWS):
            self._look_at_each(X, rows, block, crowded[part], distances, indices)
        return distances, indices

    def _look_at_each(
        self,
        X: NDArray[np.floating],
        rows: NDArray[np.int32],
        block: _Nearest,
        crowded: NDArray[np.intp],
        distances: NDArray[np.float64],
        indices: NDArray[np.int64],
    ) -> None:
        """Overwrite the result of rows that have many others within the error of rounding."""
        factors = self._factors(X, rows[crowded]).factors
        bound = block.bound_when_crowded[crowded, None]
        found = []
        for columns in _blocks(len(self._X)):
            at, places = np.nonzero(_product(factors, self._points.transposed(columns)) > bound)
            found.append((at, self._order[places + columns.start]))
        at = np.concatenate([at for at, _ in found])
        others = np.concatenate([others for _, others in found]).astype(np.int64)
        for i, row in enumerate(crowded):
            near = others[at == i][None]
            of_row = distances_between(X, rows[row : row + 1], self._X, near)
            distances[row], indices[row] = (
                best[0] for best in nearest_first(of_row, near, block.k)
            )


class _Nearest:
    """The best candidates so far of a block of rows.

    A candidate is one integer: half its squared distance, whose bits as a float are in the order of
    its value, and below it the number of its row.
    """

    def __init__(
        self, rows: slice, k: int, n_samples: int, half_squares: NDArray[np.float32], error: float
    ) -> None:
        self.rows = rows
        self.k = k
        self.crowded = np.zeros(len(half_squares), bool)
        self.bound_when_crowded = np.zeros(len(half_squares), np.float32)
        self._n_kept = min(k + SPARE, n_samples)
        self._half_squares = half_squares
        self._error = error
        self._best = np.full((len(half_squares), self._n_kept), EMPTY)
        self._bound = np.full(len(half_squares), -np.inf, np.float32)
        self._pending: list[tuple[NDArray[np.uint16], NDArray[np.int64]]] = []
        self._n_seen = 0
        self._n_seen_at_next_merge = 0
        self._lock = Lock()

    def begin(self, products: NDArray[np.float32], columns: slice) -> None:
        """Take the first columns, with bounds from the best of groups of columns."""
        n_rows, n_columns = products.shape
        n_groups = n_columns // 8
        if n_groups > 2 * self.k:
            groups = products[:, : 8 * n_groups].reshape(n_rows, 8, n_groups).max(axis=1)
            at = n_groups - self.k
            groups.partition(at, axis=1)
            self._set_bound(groups[:, at])
            self._n_seen_at_next_merge = 2 * n_columns
        self.take(products, columns)

    def take(self, products: NDArray[np.float32], columns: slice) -> None:
        """Take candidates from products whose rows are those of the block."""
        width = products.shape[1]
        found = _above(products, self._bound[:, None])
        rows = found // width
        values = products.ravel()[found]
        self._add(rows, found - rows * width + columns.start, values, width)

    def take_columns(self, products: NDArray[np.float32], others: slice) -> None:
        """Take candidates from products whose columns are the rows of the block."""
        width = products.shape[1]
        found = _above(products, self._bound)
        other = found // width
        values = products.ravel()[found]
        self._add(found - other * width, other + others.start, values, len(products))

    def candidates(self) -> NDArray[np.int32]:
        """Return the candidates of each row, -1 where there are no more."""
        self._merge()
        places = (self._best & 0xFFFFFFFF).astype(np.int32)
        values = -_floats(self._best)
        places[(self._best == EMPTY) | (values <= self._bound[:, None])] = -1
        n_most = max((places >= 0).sum(axis=1).max(), self.k)  # the nearest come first
        return places[:, :n_most]

    def _add(
        self, rows: NDArray[np.intp], places: NDArray, values: NDArray[np.float32], n_seen: int
    ) -> None:
        halves = np.maximum(-values, np.float32(0)).view(np.int32).astype(np.int64)
        halves <<= _FLOAT_BITS
        halves |= places
        with self._lock:
            self._pending.append((rows.astype(np.uint16), halves))
            self._n_seen += n_seen
            # between merges the bound is that of at worst half the columns: few more candidates
            if self._n_seen >= self._n_seen_at_next_merge:
                self._merge()
                self._n_seen_at_next_merge = 2 * self._n_seen

    def _merge(self) -> None:
        if not self._pending:
            return
        rows = np.concatenate([rows for rows, _ in self._pending])
        keys = np.concatenate([keys for _, keys in self._pending])
        self._pending = []
        order = np.argsort(rows, kind="stable")
        rows, keys = rows[order], keys[order]
        counts = np.bincount(rows, minlength=len(self._best))
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        kept = self._n_kept
        table = np.full((len(self._best), kept + counts.max(initial=0)), EMPTY)
        table[:, :kept] = self._best
        table[rows, kept + places] = keys
        table.sort(axis=1)
        self._best = table[:, :kept].copy()
        self._set_bound(-_floats(self._best[:, self.k - 1]))
        if table.shape[1] > kept:
            first_lost = table[:, kept]
            lost = (first_lost != EMPTY) & (-_floats(first_lost) > self._bound)
            lost &= ~self.crowded
            self.crowded |= lost
            self.bound_when_crowded[lost] = self._bound[lost]
        self._bound[self.crowded] = np.inf

    def _set_bound(self, values: NDArray[np.float32]) -> None:
        bound = sure_bound(values, self._half_squares, self._error)
        np.maximum(self._bound, bound, out=self._bound)


class _Workers:
    """Threads that share the blocks, each with a matrix product of one thread."""

    def __init__(self, n_threads: int) -> None:
        self._n_threads = n_threads

    def __enter__(self) -> _Workers:
        if self._n_threads > 1:
            self._limits = threadpool_limits(1, user_api="blas")
            self._pool = ThreadPoolExecutor(self._n_threads)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._n_threads > 1:
            self._pool.shutdown()
            self._limits.restore_original_limits()

    def run(self, function: Callable[[Any], None], tasks: Iterable[Any]) -> None:
        """Call a function for each task."""
        if self._n_threads > 1:
            list(self._pool.map(function, tasks))
            return
        for task in tasks:
            function(task)


class _Scratch(local):
    """Memory of one thread that is used again for each block, while it is in the cache."""

    def __init__(self) -> None:
        self._products = np.empty(0, np.float32)
        self._is_candidate = np.empty(0, bool)

    def products(self, shape: tuple[int, int]) -> NDArray[np.float32]:
        size = shape[0] * shape[1]
        if self._products.size < size:
            self._products = np.empty(size, np.float32)
        return self._products[:size].reshape(shape)

    def is_candidate(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        size = math.prod(shape)
        if self._is_candidate.size < size:
            self._is_candidate = np.empty(size, bool)
        return self._is_candidate[:size].reshape(shape)


_scratch = _Scratch()


def _product(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.matmul(a, b, out=_scratch.products((len(a), b.shape[1])))


def _above(values: NDArray[np.float32], bound: NDArray[np.float32]) -> NDArray[np.intp]:
    """Places in the flattened values of those above a bound."""
    mask = np.greater(values, bound, out=_scratch.is_candidate(values.shape))
    return np.flatnonzero(mask)


def _n_threads(n_jobs: int | None) -> int:
    if n_jobs is not None:
        return effective_n_jobs(n_jobs)
    allowed = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    everything = effective_n_jobs(-1)
    return min(int(allowed), everything) if allowed.isdigit() and int(allowed) else everything


def _blocks(n_rows: int, width: int = BLOCK) -> list[slice]:
    return [slice(start, min(start + width, n_rows)) for start in range(0, n_rows, width)]


def _floats(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    return (keys >> _FLOAT_BITS).astype(np.int32).view(np.float32)
