"""Rows of length 1, however short or long they were."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import row_norms

__all__ = ["unit_rows"]


def unit_rows(X: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return rows divided by their lengths, in an array of its own; rows of zeros stay.

    Unlike :func:`sklearn.preprocessing.normalize` this leaves no short row as it is, nor does it
    lose rows whose squares overflow or vanish.
    """
    largest = np.abs(X).max(axis=1, keepdims=True)
    limit = np.finfo(X.dtype).max ** 0.25
    if ((largest > limit) | ((largest < 1 / limit) & (largest > 0))).any():
        X = X / np.where(largest > 0, largest, 1)
    lengths = row_norms(X)[:, None]
    return X / np.where(lengths > 0, lengths, 1)
