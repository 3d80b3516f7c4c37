"""Matrices of features: checked, and what is made of them, kept where a memory is given."""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Memory
from sklearn.utils.validation import validate_data

from skscan._caching import call_cached

__all__ = ["cached_fit_transform", "cached_graph", "check_features"]

MAX_BYTES_READ = 2**29
"""What is kept of larger features is mapped from the cache instead of read."""


def cached_fit_transform(memory: Memory, transformer: Any, X: np.ndarray) -> tuple[Any, Any]:
    """Fit a transformer; return it and what it makes of X, from the cache where it knows both.

    With large X, what the cache holds is mapped into memory instead of read.
    """
    return call_cached(memory, _fit_transform, (transformer, X), mmap_mode=_mapping(memory, X))


def cached_graph(memory: Memory, miner: Any, X: np.ndarray) -> Any:
    """Mine the neighbor graph of X, or take it from the cache; the index is not kept there."""
    return call_cached(memory, _mine, (miner, X), mmap_mode=_mapping(memory, X))


def _mapping(memory: Memory, X: np.ndarray) -> str | None:
    mapped = isinstance(memory, Memory) and X.nbytes > MAX_BYTES_READ
    return "r" if mapped else None


def _mine(miner: Any, X: np.ndarray) -> Any:
    return miner.fit_transform(X)


def _fit_transform(transformer: Any, X: np.ndarray) -> tuple[Any, Any]:
    output = transformer.fit_transform(X)
    return transformer, output


def check_features(estimator: Any, X: Any, *, reset: bool = True) -> np.ndarray:
    """Validate a matrix of features as scikit-learn does, and say where NaN may come from."""
    try:
        return validate_data(estimator, X, dtype=[np.float64, np.float32], reset=reset)
    except ValueError as error:
        if "contains NaN" not in str(error):
            raise
        raise ValueError(
            f"Input X contains NaN, which {type(estimator).__name__} does not take. Images that "
            "could not be read have features of NaN: leave these rows out, "
            "X[~np.isnan(X).any(axis=1)]."
        ) from None
