"""What displays read from a fitted estimator, of either kind."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

__all__ = ["names_of_clusters", "number_of_best", "rows_in_use"]


def names_of_clusters(estimator: Any) -> NDArray:
    """Names of the columns of `probabilities_`: classes of a classifier, or numbers."""
    check_is_fitted(estimator, "labels_")
    if hasattr(estimator, "classes_"):
        return np.asarray(estimator.classes_)
    return np.arange(estimator.probabilities_.shape[1])


def number_of_best(probabilities: NDArray) -> NDArray[np.int64]:
    """Column of the largest probability in each row; -1 in rows of NaN."""
    numbers = probabilities.argmax(axis=1)
    return np.where(np.isnan(probabilities[:, 0]), -1, numbers)


def rows_in_use(numbers: NDArray[np.int64], what: str) -> NDArray[np.intp]:
    """Rows of samples that could be read; an error if there are none."""
    rows = np.flatnonzero(numbers >= 0)
    if not len(rows):
        raise ValueError(f"{what}: no image could be read.")
    return rows
