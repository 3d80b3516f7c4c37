"""Steps of a long training whose results are kept on disk, so that a run that was ended goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import joblib
import numpy as np
from joblib import Memory

from skscan import __version__
from skscan._caching import call_cached

__all__ = ["KeptSteps"]

KEPT_FROM = 2**22
"""Steps are kept with at least so many samples times clusters: less is quicker than reading it."""


@dataclass(frozen=True)
class KeptSteps:
    """Runs steps, or reads what they gave in an earlier run on the same data with the same seed.

    Parameters
    ----------
    memory : joblib.Memory or None
        Where results are kept; None keeps nothing.
    key : str
        Stands for the data and for all parameters that the steps depend on.
    """

    memory: Any = field(default_factory=lambda: Memory(None))
    key: str = ""

    @classmethod
    def of(cls, memory: Any, features: np.ndarray, n_clusters: int, *others: Any) -> KeptSteps:
        """Return the steps of a training, which keep nothing where it is short.

        Parameters
        ----------
        memory : object with the joblib.Memory interface, or None
        features : ndarray of shape (n_samples, n_features)
        n_clusters : int
        *others : object
            What else the steps depend on.
        """
        nowhere = memory is None or getattr(memory, "location", "") is None
        if nowhere or len(features) * n_clusters < KEPT_FROM:
            return cls()
        return cls(memory, joblib.hash((__version__, features, n_clusters, others)))

    def run(self, name: str, state: Any, compute: Callable[[], Any]) -> Any:
        """Return what a function gives, from disk where it ran before.

        Parameters
        ----------
        name : str
            Of the step.
        state : object
            Of the source of random numbers before the step. What it is afterwards is part of the
            result, where later steps draw from it too.
        compute : callable
        """
        if not self.key:
            return compute()
        arguments = (self.key, name, state, compute)
        return call_cached(self.memory, _compute, arguments, ignore=["compute"])


def _compute(key: str, name: str, state: Any, compute: Callable[[], Any]) -> Any:
    return compute()
