"""How far samples are from everything that a clusterer was fitted on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from skscan._blocks import row_blocks
from skscan._subset import some_rows
from skscan.graph import neighbor_table

__all__ = ["OutlierScorer", "left_out_lengths", "outlier_limit", "outlying_rows"]

MAX_REFERENCES = 20_000
"""So many training samples are kept to measure distances to."""

N_NEIGHBORS = 10
N_HELD_OUT = 1000
ROUNDING = 1e-4
"""A sample nearer to a reference than this share of a typical distance is that reference."""

OUTLYING = 2.5
"""A sample is outlying when the logarithm of its score is so many robust standard deviations above
the median."""


@dataclass(frozen=True)
class OutlierScorer:
    r"""Distances to the nearest training samples, in units of what is typical among these.

    The score of a sample with scaled features z is

    .. math:: \frac{1}{sK} \sum_{k=1}^{K} \sqrt{\lVert z - z_{(k)} \rVert^2 + r^2}

    for its K nearest training samples :math:`z_{(k)}` and the length r of what scaling has left
    out of its features: images of another kind differ in what the principal components of the
    training samples do not show. The scale s is the median of that mean over the training samples.
    A sample that is one of them is measured to the others.

    Parameters
    ----------
    references : ndarray of shape (n_references, n_features), float32
        Training samples, or 20,000 of them.
    n_neighbors : int
        K: 10, or as many as were mined if these are fewer.
    typical : float
        s, positive.

    References
    ----------
    Angiulli and Pizzuti, "Fast Outlier Detection in High Dimensional Spaces", PKDD 2002.

    Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022.
    """

    references: NDArray[np.float32]
    n_neighbors: int
    typical: float

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        left_out: NDArray[np.floating],
        graph: sparse.csr_matrix,
        n_jobs: int | None = None,
    ) -> tuple[OutlierScorer, NDArray[np.float32]]:
        """Learn what is typical.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
            Scaled features.
        left_out : ndarray of shape (n_samples,)
            Lengths of what scaling has left out of them.
        graph : csr_matrix of shape (n_samples, n_samples)
            Neighbors mined in these features; self may be among them.
        n_jobs : int or None, default=None
            Threads of a search, which more than 20,000 samples need.

        Returns
        -------
        scorer : OutlierScorer
        scores : ndarray of shape (n_samples,), float32
            Of the training samples; infinite for one without neighbors.
        """
        table = neighbor_table(graph)
        is_self = table == np.arange(len(table))[:, None]
        means = _mean_distances(features, left_out, features, table, ~is_self)
        own_typical = _typical(means)
        n_neighbors = min(N_NEIGHBORS, int((~is_self).sum(axis=1).max()))
        rows = some_rows(len(features), MAX_REFERENCES)
        scorer = cls(features[rows], max(n_neighbors, 1), own_typical)
        if len(rows) < len(features):  # the references lie farther apart than all samples
            others = np.setdiff1d(np.arange(len(features)), rows)
            others = others[some_rows(len(others), N_HELD_OUT)]
            held_out = scorer._distances(features[others], left_out[others], n_jobs)
            scorer = replace(scorer, typical=_typical(held_out))
        return scorer, (means / own_typical).astype(np.float32)

    def score(
        self,
        features: NDArray[np.float32],
        left_out: NDArray[np.floating],
        n_jobs: int | None = None,
    ) -> NDArray[np.float32]:
        """Score new samples.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32
            Scaled features.
        left_out : ndarray of shape (n_samples,)
            Lengths of what scaling has left out of them.
        n_jobs : int or None, default=None
            Threads of the search.

        Returns
        -------
        scores : ndarray of shape (n_samples,), float32
            1 is typical; the larger, the more outlying.
        """
        return (self._distances(features, left_out, n_jobs) / self.typical).astype(np.float32)

    def _distances(
        self, features: NDArray[np.float32], left_out: NDArray[np.floating], n_jobs: int | None
    ) -> NDArray[np.float64]:
        if len(features) == 0:
            return np.empty(0)
        index = NearestNeighbors(algorithm="brute", n_jobs=n_jobs).fit(self.references)
        n_found = min(self.n_neighbors + 1, len(self.references))
        nearest, table = index.kneighbors(features, n_found)
        is_itself = np.zeros(table.shape, dtype=bool)
        is_itself[:, 0] = nearest[:, 0] <= ROUNDING * self.typical
        return _mean_distances(
            features, left_out, self.references, table, ~is_itself, self.n_neighbors
        )


def left_out_lengths(scaler: Any, features: NDArray[np.floating]) -> NDArray[np.float64]:
    """Lengths of what a fitted scaler leaves out of features; 0 where it does not know."""
    lengths = getattr(scaler, "left_out_lengths", None)
    return np.zeros(len(features)) if lengths is None else lengths(features)


def outlier_limit(scores: NDArray[np.floating]) -> float:
    """Return the logarithm of the score from which on a sample stands out among others.

    It lies 2.5 robust standard deviations (1.4826 times the median of the absolute deviations)
    above the median of the logarithms; infinite where no score is known.

    References
    ----------
    Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993.
    """
    logs = _logarithms(scores)
    known = logs[~np.isnan(logs)]
    if len(known) == 0:
        return np.inf
    middle = np.median(known)
    return float(middle + OUTLYING * 1.4826 * np.median(np.abs(known - middle)))


def outlying_rows(scores: NDArray[np.floating], limit: float | None = None) -> NDArray[np.intp]:
    """Return the rows whose scores stand out, the most outlying first; NaN does not.

    Parameters
    ----------
    scores : ndarray of shape (n_samples,)
    limit : float or None, default=None
        Of the logarithms; None is the `outlier_limit` of these scores.
    """
    limit = outlier_limit(scores) if limit is None else limit
    rows = np.flatnonzero(_logarithms(scores) > limit)
    return rows[np.argsort(-scores[rows], kind="stable")]


def _logarithms(scores: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.log(np.maximum(scores.astype(np.float64), np.finfo(np.float64).tiny))


def _mean_distances(
    features: NDArray[np.float32],
    left_out: NDArray[np.floating],
    references: NDArray[np.float32],
    table: NDArray[np.integer],
    counted: NDArray[np.bool_],
    n_neighbors: int = N_NEIGHBORS,
) -> NDArray[np.float64]:
    """Mean distance to the first counted rows of a table; infinite where there are none."""
    means = np.empty(len(features))
    for rows in row_blocks(*features.shape):
        own, left_out_squares = features[rows], np.square(left_out[rows])
        used = counted[rows] & (np.cumsum(counted[rows], axis=1) <= n_neighbors)
        total = np.zeros(len(own))
        for column, use in zip(table[rows].T, used.T, strict=True):
            if not use.any():
                continue
            squares = np.square(own - references[column]).sum(axis=1, dtype=np.float64)
            total += np.where(use, np.sqrt(squares + left_out_squares), 0)
        n_used = used.sum(axis=1)
        means[rows] = np.where(n_used > 0, total / np.maximum(n_used, 1), np.inf)
    return means


def _typical(distances: NDArray[np.floating]) -> float:
    finite = distances[np.isfinite(distances)]
    typical = float(np.median(finite)) if len(finite) else 0.0
    return typical if typical > 0 else 1.0  # most samples are copies: distances say it all
