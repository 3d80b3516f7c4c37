"""What a method is, what it gets and what it gives. Labels are not among what it gets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Method", "MethodUnavailableError", "Outcome", "Task"]


class MethodUnavailableError(RuntimeError):
    """A method cannot be run here: its package, or the parameter it needs, is not there."""


@dataclass(frozen=True)
class Task:
    """What a method works on.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features), float32
        Features as they were extracted.
    Z : ndarray of shape (n_samples, n_components), float32
        The same, scaled by `FeatureScaler`.
    n_clusters : int
        How many are asked for.
    seed : int
        Rules every draw.
    """

    X: np.ndarray
    Z: np.ndarray
    n_clusters: int
    seed: int


@dataclass(frozen=True)
class Outcome:
    """What a method found.

    Parameters
    ----------
    labels : int ndarray of shape (n_samples,)
        Clusters; -1 for samples that were left out as noise.
    space : ndarray of shape (n_samples, n_dimensions) or None, default=None
        Where the nearest cluster of a sample left out is looked for; None is the task's `Z`.
    pool : callable or None, default=None
        Gives the labels of every candidate that the method chose from. Called after the clock.
    """

    labels: np.ndarray
    space: np.ndarray | None = None
    pool: Callable[[], list[np.ndarray]] | None = None


@dataclass(frozen=True)
class Method:
    """A way of clustering.

    Parameters
    ----------
    fit : callable
        Takes a `Task`, gives an `Outcome`. Picklable: a function of a module or a partial of one.
    settings : str
        What is told about its parameters.
    prepare : callable or None, default=None
        Imports what `fit` needs, before the clock starts; raises ImportError or
        MethodUnavailableError where that cannot be had.
    package : str, default="scikit-learn"
        Distribution whose version is recorded.
    cost : {"light", "medium", "heavy", "heaviest"}, default="light"
        How much of it a tier can afford.
    seeded : bool, default=True
        False for what gives the same result for every seed: it is run once.
    compiles : bool, default=False
        True where the first call compiles: a small task is run before the clock starts.
    max_samples : int or None, default=None
        Beyond this many it is not tried: its memory grows with the square.
    own_number : bool, default=False
        True where the method finds the number of clusters by itself.
    """

    fit: Callable[[Task], Outcome]
    settings: str
    prepare: Callable[[], object] | None = None
    package: str = "scikit-learn"
    cost: str = "light"
    seeded: bool = True
    compiles: bool = False
    max_samples: int | None = None
    own_number: bool = False
