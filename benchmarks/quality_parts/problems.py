"""What is clustered: a set, and the number of clusters asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from datasets import DATASETS, MORE_DATASETS, Features

__all__ = ["PROBLEMS", "Problem"]


@dataclass(frozen=True)
class Problem:
    """A set of features with classes, and how many clusters are asked for.

    Parameters
    ----------
    load : callable
        Gives features and classes.
    share_of_classes : float, default=1.0
        Clusters asked for, as a multiple of the number of classes.
    """

    load: Callable[[], Features]
    share_of_classes: float = 1.0

    @property
    def measure(self) -> str:
        """What methods are compared by: accuracy, or NMI where no match can be one-to-one."""
        return "accuracy" if self.share_of_classes == 1 else "nmi"

    def n_clusters(self, y: np.ndarray) -> int:
        """Return the number of clusters asked for."""
        return round(self.share_of_classes * len(np.unique(y)))

    def draw(self, n_samples: int | None) -> Features:
        """Load the set, at most `n_samples` of it: always the same random draw."""
        X, y = self.load()
        if n_samples is None or len(y) <= n_samples:
            return X, y
        rows = np.random.RandomState(0).permutation(len(y))[:n_samples]
        return X[rows], y[rows]


def _problems() -> dict[str, Problem]:
    datasets = {**DATASETS, **MORE_DATASETS}
    problems = {name: Problem(load) for name, load in datasets.items()}
    for name in ("STL-10", "CIFAR-10 test", "digits, pixels"):
        problems[f"{name}, twice the clusters"] = Problem(datasets[name], 2.0)
        problems[f"{name}, half the clusters"] = Problem(datasets[name], 0.5)
    return problems


#: Every problem by name.
PROBLEMS: dict[str, Problem] = _problems()
