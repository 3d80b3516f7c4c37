"""Principal axes of a matrix that is read once, block by block, and need not fit into memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh
from sklearn.utils.extmath import svd_flip

__all__ = ["Decomposition", "decompose_in_blocks"]


class Decomposition(NamedTuple):
    """What is used of a fitted `sklearn.decomposition.PCA`, under the same names."""

    mean_: np.ndarray
    components_: np.ndarray
    explained_variance_: np.ndarray
    explained_variance_ratio_: np.ndarray
    n_components_: int


def decompose_in_blocks(blocks: Iterable[np.ndarray], n_components: int) -> Decomposition:
    """Find the principal axes of the rows of all blocks together.

    The products of columns are summed in the precision of the blocks within a block, and in
    float64 from block to block; deviations are taken from the mean of the first block, so that an
    offset of all rows costs no digits. Memory is that of a block and of the covariance.

    Parameters
    ----------
    blocks : iterable of ndarray of shape (n_rows, n_features), float32 or float64
        At least one, with at least two rows in all.
    n_components : int
        How many axes to find, at most `n_features`.

    Returns
    -------
    decomposition : Decomposition
        Axes by falling variance, signs as scikit-learn's; the mean and axes are of the dtype of the
        blocks.
    """
    n_rows = 0
    for block in blocks:
        if n_rows == 0:
            shift = block.mean(axis=0, dtype=np.float64).astype(block.dtype)
            sums = np.zeros(len(shift))
            products = np.zeros((len(shift), len(shift)))
        block = block - shift
        sums += block.sum(axis=0, dtype=np.float64)
        products += block.T @ block  # NumPy takes a symmetric product, at half the cost
        n_rows += len(block)

    offset = sums / n_rows
    covariance = (products - n_rows * np.outer(offset, offset)) / (n_rows - 1)
    n_features = len(shift)
    largest = [n_features - n_components, n_features - 1]
    total = np.trace(covariance)
    variances, axes = eigh(covariance, subset_by_index=largest, overwrite_a=True)
    variances = np.maximum(variances[::-1], 0)
    axes = svd_flip(None, np.ascontiguousarray(axes.T[::-1]), u_based_decision=False)[1]
    return Decomposition(
        mean_=(shift + offset).astype(shift.dtype),
        components_=axes.astype(shift.dtype),
        explained_variance_=variances,
        explained_variance_ratio_=variances / total if total > 0 else np.zeros(n_components),
        n_components_=n_components,
    )
