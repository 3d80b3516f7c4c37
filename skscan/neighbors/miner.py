"""Mining of nearest neighbours: the graph that says which images belong together.

:class:`NeighborMiner` is a transformer from features to a sparse graph of distances, the same
graph that :class:`sklearn.neighbors.KNeighborsTransformer` gives, so it serves every estimator
that takes a precomputed neighbour graph.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skscan._blocks import MAX_EDGES, row_blocks
from skscan._files import allocate_array
from skscan._unit_rows import unit_rows
from skscan.exceptions import SkscanWarning
from skscan.metrics import neighbor_purity
from skscan.neighbors.approximate import MIN_RECALL, FaissSearch, foretold_walk
from skscan.neighbors.choice import GPU_FROM, backend_on_processor
from skscan.neighbors.exact import ExactSearch
from skscan.neighbors.on_device import TorchSearch, gpu_has_room
from skscan.neighbors.results import MAX_BYTES_IN_MEMORY


class SearchBackend(Protocol):
    """What a search backend offers: build an index over rows, then query it."""

    def query(self, X: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
        """Return euclidean distances and indices of the nearest rows, nearest first."""


def _faiss_is_installed() -> bool:
    from importlib.util import find_spec

    return find_spec("faiss") is not None


_BACKENDS: dict[str, Callable[[np.ndarray, int | None], SearchBackend]] = {
    "exact": ExactSearch,
    "faiss": FaissSearch,
    "torch": TorchSearch,
}


class NeighborMiner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Mine the k nearest neighbours of each sample.

    Memory stays bounded: the search runs over blocks of rows, never over an
    ``n_samples x n_samples`` matrix.

    Parameters
    ----------
    n_neighbors : int, default=20
        Neighbours of each sample, itself not counted. 20 is the paper's choice for small data
        sets, 50 for ImageNet. When there are fewer other samples, it is clipped with a warning.
    metric : {"euclidean", "cosine"}, default="euclidean"
        Distance between samples; cosine distance is one minus the cosine.
    backend : {"auto", "exact", "faiss", "torch"} or callable, default="auto"
        How to search. ``"exact"`` compares all pairs; ``"torch"`` does so on a GPU where there is
        one, with the same result. ``"faiss"`` is approximate (HNSW; needs the extra
        ``skscan[faiss]``). ``"auto"`` is ``"torch"`` from 50,000 samples on where CUDA has room
        for them, else exact up to 500,000 samples; beyond that it is ``"faiss"``, unless that is
        not installed, or would walk so far on these features that comparing all pairs is quicker.
        A callable ``backend(X, n_jobs)`` gives any
        other index: an object whose ``query(X, n_neighbors)`` returns euclidean distances and row
        numbers, nearest first.
    n_jobs : int, default=None
        Threads of the exact search; None takes all processors, or as many as the environment
        variable ``OMP_NUM_THREADS`` allows.

    Attributes
    ----------
    backend_ : str or callable
        The backend in use.
    n_neighbors_ : int
        Neighbours of each sample after clipping.
    recall_ : float
        Share of the true 20 nearest neighbours that the backend finds, measured on a sample of up
        to 500 indexed rows; 1 for the exact search, NaN for a backend of one's own that does not
        say it by an attribute `recall`.
    n_samples_fit_ : int
        Number of indexed samples.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X has string column names.

    See Also
    --------
    sklearn.neighbors.KNeighborsTransformer : The same graph; exact searches only.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020,
    section 2.1.

    Examples
    --------
    >>> from sklearn.cluster import DBSCAN
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.pipeline import make_pipeline
    >>> from skscan import NeighborMiner
    >>> X, _ = load_digits(return_X_y=True)
    >>> NeighborMiner(n_neighbors=5).fit_transform(X).shape
    (1797, 1797)
    >>> model = make_pipeline(NeighborMiner(20), DBSCAN(eps=20, metric="precomputed"))
    >>> model.fit_predict(X).shape
    (1797,)
    """

    _parameter_constraints: dict = {
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "metric": [StrOptions({"euclidean", "cosine"})],
        "backend": [StrOptions({"auto", *_BACKENDS}), callable],
        "n_jobs": [Integral, None],
    }

    def __init__(
        self,
        n_neighbors: int = 20,
        *,
        metric: str = "euclidean",
        backend: str | Callable[[np.ndarray, int | None], SearchBackend] = "auto",
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.metric = metric
        self.backend = backend
        self.n_jobs = n_jobs

    def fit(self, X: Any, y: Any = None) -> NeighborMiner:
        """Index the features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features; float32 and float64 are kept as they are.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : NeighborMiner
            The fitted miner.
        """
        self._validate_params()
        X = validate_data(self, X, dtype=[np.float64, np.float32], order="C", ensure_min_samples=2)
        self.n_samples_fit_ = X.shape[0]
        self.n_neighbors_ = self._clip(self.n_neighbors, self.n_samples_fit_ - 1)
        self._fit_X = self._prepare(X)
        self.backend_ = self._choose_backend()
        self._build_index()
        self.recall_ = float(getattr(self._index, "recall", np.nan))
        if self.backend_ == "faiss" and self.recall_ < MIN_RECALL:
            warnings.warn(
                f"backend='faiss' finds {self.recall_:.0%} of the true neighbors of these features "
                f"with its longest walk, less than {MIN_RECALL:.0%}. backend='exact' finds all, in "
                "a time that grows with the square of the samples.",
                SkscanWarning,
                stacklevel=2,
            )
        return self

    def transform(self, X: Any) -> csr_matrix:
        """Give the graph from the rows of X to the indexed samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        graph : csr_matrix of shape (n_samples, n_samples_fit)
            Distances to the ``n_neighbors + 1`` nearest indexed samples, nearest first in each
            row; for a row that is indexed itself, the first of them is the row.
        """
        check_is_fitted(self)
        return self.kneighbors_graph(X, self.n_neighbors_ + 1)

    def fit_transform(self, X: Any, y: Any = None) -> csr_matrix:
        """Index X and give its own neighbour graph.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        graph : csr_matrix of shape (n_samples, n_samples)
            Distances to ``n_neighbors + 1`` samples, the row itself first as an explicit zero.
            A graph of more than 1 GiB is mapped from temporary files.
        """
        self.fit(X)
        n_samples, k = self.n_samples_fit_, self.n_neighbors_ + 1
        distances, found = self._search(self._fit_X, k)
        indices = allocate_array(
            found.shape, index_type(n_samples * k), "neighbors", MAX_BYTES_IN_MEMORY
        )
        for rows in row_blocks(n_samples, k, MAX_EDGES):
            own = np.arange(rows.start, rows.stop)
            others = without_self(distances[rows], found[rows], own)
            distances[rows], indices[rows] = self_first(*others, own)
        return self._graph(distances, indices)

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the nearest indexed samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Query rows. Without it the indexed samples are queried, and a sample is not its own
            neighbour.
        n_neighbors : int, default=None
            Number of neighbours; the parameter of the constructor when None.

        Returns
        -------
        distances : ndarray of shape (n_samples, n_neighbors)
            Distances, ascending.
        indices : ndarray of shape (n_samples, n_neighbors)
            Rows of the indexed samples.
        """
        check_is_fitted(self)
        if X is None:
            most = self.n_samples_fit_ - 1
            k = self.n_neighbors_ if n_neighbors is None else self._clip(n_neighbors, most)
            own = np.arange(self.n_samples_fit_)
            return without_self(*self._search(self._fit_X, k + 1), own)
        X = validate_data(self, X, dtype=[np.float64, np.float32], order="C", reset=False)
        k = self.n_neighbors_ if n_neighbors is None else n_neighbors
        return self._search(self._prepare(X), self._clip(k, self.n_samples_fit_))

    def kneighbors_graph(self, X: Any = None, n_neighbors: int | None = None) -> csr_matrix:
        """Give the neighbours as a sparse matrix of distances.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Query rows; see :meth:`kneighbors`.
        n_neighbors : int, default=None
            Number of neighbours; the parameter of the constructor when None.

        Returns
        -------
        graph : csr_matrix of shape (n_samples, n_samples_fit)
            Distances, ascending in each row.
        """
        return self._graph(*self.kneighbors(X, n_neighbors))

    def purity(self, y: Any) -> float:
        """Share of neighbour pairs that have the same label.

        Near-duplicates among the samples inflate it, see :func:`skscan.metrics.neighbor_purity`.

        Parameters
        ----------
        y : array-like of shape (n_samples_fit,)
            Labels of the indexed samples; used for this figure alone.

        Returns
        -------
        purity : float
            Mean over samples and their neighbours, the sample itself not counted.
        """
        return neighbor_purity(self.kneighbors_graph(), y)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_index", None)  # some cannot be pickled; it is built again for the first query
        return state

    @property
    def _n_features_out(self) -> int:
        return self.n_samples_fit_

    def _build_index(self) -> None:
        build = self.backend_ if callable(self.backend_) else _BACKENDS[self.backend_]
        self._index = build(self._fit_X, self.n_jobs)

    def _choose_backend(self) -> Any:
        if self.backend != "auto":
            return self.backend
        if self.n_samples_fit_ > GPU_FROM and gpu_has_room(self._fit_X):
            return "torch"
        walk = self._foretold_walk if _faiss_is_installed() else None
        return backend_on_processor(self.n_samples_fit_, walk)

    def _foretold_walk(self, n_samples: int) -> float:
        return foretold_walk(self._fit_X[:n_samples], self.n_jobs)

    @staticmethod
    def _clip(n_neighbors: int, most: int) -> int:
        if not isinstance(n_neighbors, Integral) or n_neighbors < 1:
            raise ValueError(f"n_neighbors must be an integer from 1 on, got {n_neighbors!r}.")
        if n_neighbors > most:
            warnings.warn(
                f"n_neighbors={n_neighbors} is more than the {most} other samples; "
                f"{most} are used. Lower n_neighbors or give more samples.",
                SkscanWarning,
                stacklevel=3,
            )
        return min(n_neighbors, most)

    def _prepare(self, X: np.ndarray) -> np.ndarray:
        if self.metric != "cosine":
            return X
        # a row of zeros has no direction: its cosine with any other row is 0
        is_zero = ~X.any(axis=1, keepdims=True)
        return np.hstack([unit_rows(X), is_zero.astype(X.dtype)])

    def _search(self, X: np.ndarray, n_neighbors: int) -> tuple[np.ndarray, np.ndarray]:
        if not hasattr(self, "_index"):
            self._build_index()
        distances, indices = self._index.query(X, n_neighbors)
        if self.metric == "cosine":
            distances = distances**2 / 2  # |a - b|^2 = 2 - 2 cos for unit vectors
        return distances, indices

    def _graph(self, distances: np.ndarray, indices: np.ndarray) -> csr_matrix:
        n_queries, k = indices.shape
        indptr = np.arange(0, n_queries * k + 1, k)
        shape = (n_queries, self.n_samples_fit_)
        return csr_matrix((distances.ravel(), indices.ravel(), indptr), shape=shape)


def index_type(n_entries: int) -> type[np.integer]:
    """Return the type that scipy gives indices itself: it copies those of another into memory."""
    return np.int32 if n_entries < 2**31 else np.int64


def without_self(
    distances: np.ndarray, indices: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Leave samples out of their own neighbours, of which there are then fewer by one.

    Parameters
    ----------
    distances, indices : ndarray of shape (n_queries, n_found)
        Nearest first.
    own : int ndarray of shape (n_queries,)
        Which sample each query is.
    """
    drop = indices == own[:, None]
    # among many exact duplicates a sample may miss itself: then the farthest one goes
    drop[~drop.any(axis=1), -1] = True
    keep = ~drop
    shape = (len(own), indices.shape[1] - 1)
    return distances[keep].reshape(shape), indices[keep].reshape(shape)


def self_first(
    distances: np.ndarray, indices: np.ndarray, own: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Put samples before their neighbours, at a distance of zero; see `without_self`."""
    return (
        np.column_stack([np.zeros_like(distances[:, 0]), distances]),
        np.column_stack([own.astype(indices.dtype), indices]),
    )
