"""What float32 products say of distances, and distances computed anew where they say too little."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skscan._blocks import row_blocks

__all__ = ["Frame", "distances_between", "nearest_first", "rounding_error", "sure_bound"]

LONGEST_SUM = 1024
"""No matrix product adds up more values one after the other."""

REFINED_ENTRIES = 2**18
"""Differences of rows are taken in pieces of so many values."""


class Frame(NamedTuple):
    """What rows are moved and scaled by before they are multiplied in float32."""

    center: NDArray[np.float64]
    scale: float

    @classmethod
    def around(cls, X: NDArray[np.floating]) -> Frame:
        """Return the frame in which rows lie around zero, and no square overflows."""
        largest = max(float(X.max(initial=0)), -float(X.min(initial=0)), np.finfo(float).tiny)
        # a power of two: scaling rounds nothing
        return cls(X.mean(axis=0, dtype=np.float64), 2.0 ** -np.ceil(np.log2(largest)))

    def place(self, X: NDArray[np.floating]) -> NDArray[np.floating]:
        """Return rows in the frame."""
        return (X - self.center) * self.scale


def rounding_error(n_features: int) -> float:
    """Return the largest relative error of a product of two rows in float32."""
    # every product and sum may be rounded, and so may the rows be; libraries add up long rows in
    # pieces of a few hundred
    return (min(n_features, LONGEST_SUM) + 8) * float(np.finfo(np.float32).eps)


def sure_bound(
    values: NDArray[np.float32], half_squares: NDArray[np.float32], error: float
) -> NDArray[np.float32]:
    """Return what no product of a row that is as near as the k-th can be below.

    Parameters
    ----------
    values : ndarray of shape (n_rows,)
        Minus half the squared distance of the k-th best, as a product gave it.
    half_squares : ndarray of shape (n_rows,)
    error : float
        As `rounding_error` gives it.
    """
    # |y|^2 <= 2 |x|^2 + 2 d^2 for a row y at the distance d of x: this limits the error of the
    # products of both the k-th best so far and a better one
    with np.errstate(invalid="ignore"):
        bound = values - 2.1 * error * (3 * half_squares + 2 * np.abs(values))
        bound -= np.finfo(np.float32).tiny
    bound[~np.isfinite(values)] = -np.inf
    return bound


def distances_between(
    X: NDArray[np.floating],
    rows: NDArray[np.int32],
    Y: NDArray[np.floating],
    indices: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return the distances of some rows of X to rows of Y, a row of `indices` for each."""
    distances = np.empty(indices.shape)
    step = max(REFINED_ENTRIES // (indices.shape[1] * X.shape[1]), 1)
    for part in row_blocks(len(rows), 1, step):
        gaps = Y.take(indices[part], axis=0)
        gaps -= X[rows[part], None]
        gaps = gaps.astype(np.float64, copy=False)
        np.einsum("ijk,ijk->ij", gaps, gaps, out=distances[part])
    return np.sqrt(distances, out=distances)


def nearest_first(
    distances: NDArray[np.float64], indices: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the k nearest of each row; at the same distance in the order of the indices."""
    columns = np.lexsort((indices, distances), axis=1)[:, :k]
    return np.take_along_axis(distances, columns, 1), np.take_along_axis(indices, columns, 1)
