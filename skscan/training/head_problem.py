"""What heads on frozen features are trained on, and what their training gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skscan.networks.heads import Heads
from skscan.training.starts import StartMaker
from skscan.training.steps import KeptSteps

__all__ = ["FittedHeads", "HeadProblem"]


@dataclass(frozen=True)
class HeadProblem:
    """What heads are trained on.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
        With a mean square of 1.
    table : int ndarray of shape (n_samples, width)
        Neighbors, nearest first.
    n_clusters : int
        At least 2.
    spaces : tuple of int
        Widths of the feature spaces that stand side by side in the columns.
    maker : StartMaker
        Makes starts from these features.
    random_state : RandomState
    device : str
    verbose : int
    steps : KeptSteps
        Keeps what takes long.
    """

    features: NDArray[np.float32]
    table: NDArray[np.integer]
    n_clusters: int
    spaces: tuple[int, ...]
    maker: StartMaker
    random_state: np.random.RandomState
    device: str = "cpu"
    verbose: int = 0
    steps: KeptSteps = field(default_factory=KeptSteps)


class FittedHeads(NamedTuple):
    """What the training of heads gives."""

    heads: Heads
    plan: list[tuple[str, str]]
    """Start and prior of each head."""
    history: list[dict[str, Any]]
    """One entry for each head and pass: head, start, prior, pass, loss and parts of the loss."""
    n_epochs: int
