"""Labels as users write them, and the codes that the training works with."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.multiclass import check_classification_targets

__all__ = [
    "encode_labels",
    "extend_names",
    "few_labels_of_many_classes",
    "is_unknown",
    "unknown_label",
]


def encode_labels(y: Any) -> tuple[NDArray[np.int64], NDArray]:
    """Turn labels into codes and names.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
        Numbers, strings or objects; -1 is unknown, in an array of strings ``"-1"``.

    Returns
    -------
    codes : ndarray of shape (n_samples,), dtype int64
        Position in `names`, -1 for unknown.
    names : ndarray of shape (n_classes,)
        The different labels, sorted.

    Raises
    ------
    ValueError
        If y has more than one column, is not finite, or holds no classes but measurements.
    """
    y = column_or_1d(_without_missing(y), warn=True)
    y = check_array(y, dtype=None, ensure_2d=False, ensure_min_samples=0, input_name="y")
    known = ~is_unknown(y)
    codes = np.full(len(y), -1, dtype=np.int64)
    if not known.any():
        return codes, y[:0]
    try:
        names, codes[known] = np.unique(y[known], return_inverse=True)
    except TypeError as error:
        raise ValueError(
            "y mixes labels that cannot be sorted, such as strings and numbers; only -1 may stand "
            f"for unknown among strings ({error})."
        ) from error
    with few_labels_of_many_classes():
        check_classification_targets(y[known])
    return codes, names


@contextmanager
def few_labels_of_many_classes() -> Iterator[None]:
    """Keep scikit-learn from taking labels for measurements where hardly two are the same."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes is greater than")
        yield


def _without_missing(y: Any) -> Any:
    """Refuse missing values as pandas and numpy write them: unknown is -1."""
    values = np.asarray(y, dtype=object)
    missing = [i for i, label in enumerate(values.ravel().tolist()) if _is_missing(label)]
    if missing:
        raise ValueError(
            f"Input y contains NaN or another missing value ({len(missing)} of {values.size}, the "
            f"first at {missing[0]}); unknown is -1, among strings '-1': fill them, as "
            "y.fillna(-1) of pandas does."
        )
    return y


def _is_missing(label: Any) -> bool:
    # pandas.NA is unlike itself without saying so
    return label is None or type(label).__name__ == "NAType" or label != label


def is_unknown(y: NDArray) -> NDArray[np.bool_]:
    """Return which labels stand for unknown."""
    if y.dtype.kind in "OUST":
        return np.array([isinstance(label, str) and label == "-1" for label in y.tolist()]) | (
            np.array([not isinstance(label, str | bytes) and label == -1 for label in y.tolist()])
        )
    return np.zeros(len(y), dtype=bool) if y.dtype.kind == "b" else y == -1


def unknown_label(names: NDArray) -> Any:
    """Return what stands for unknown beside these names: ``"-1"`` beside strings, else -1."""
    return "-1" if all(isinstance(name, str) for name in names.tolist()) else -1


def extend_names(names: NDArray, n_extra: int) -> NDArray:
    """Name classes beyond those with labels.

    Parameters
    ----------
    names : ndarray of shape (n_classes,)
    n_extra : int

    Returns
    -------
    names : ndarray of shape (n_classes + n_extra,)
        After numbers the next integers, from at least 0 on, or where their type ends before, the
        smallest that are free; after strings ``"new 1"``, ``"new 2"`` and so on, without those that
        are there already.
    """
    if n_extra == 0:
        return names
    if names.dtype.kind in "bmMc":
        raise ValueError(
            f"y holds labels of type {names.dtype}, beside which no further clusters can be named; "
            "give integers or strings, or leave n_clusters at None."
        )
    if names.dtype.kind in "iuf":
        return np.concatenate([names, _further_numbers(names, n_extra)])
    extra = _first_free((f"new {i}" for i in count(1)), names, n_extra)
    if names.dtype.kind == "O":
        return np.array([*names.tolist(), *extra], dtype=object)
    return np.concatenate([names, np.array(extra)])


def _further_numbers(names: NDArray, n_extra: int) -> NDArray:
    """Return integers that are not among the names, in their type if it can hold them."""
    is_float = names.dtype.kind == "f"
    # beyond which a float no longer tells integers apart
    largest = 2 ** (np.finfo(names.dtype).nmant + 1) if is_float else np.iinfo(names.dtype).max
    first = max(int(np.floor(names.max())) + 1, 0)
    if first + n_extra - 1 <= largest:
        return np.arange(first, first + n_extra).astype(names.dtype)
    free = _first_free(count(), names, n_extra)
    return np.array(free).astype(names.dtype if free[-1] <= largest else np.int64)


def _first_free(candidates: Iterator[Any], names: NDArray, n: int) -> list[Any]:
    """Return the first n candidates that are not among the names."""
    taken = set(names.tolist())
    return list(islice((each for each in candidates if each not in taken), n))
