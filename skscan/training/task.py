"""What the training loop trains: the interface between the loop and the stages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Draws", "Pass", "Task"]

Draws = dict[str, Tensor]
"""All random choices of a step, each a tensor on the CPU with one row for each row of the batch."""


class Pass(NamedTuple):
    """One forward pass of a step."""

    inputs: Tensor
    """Of shape (rows * k, ...): k views of each row, side by side."""

    with_gradient: bool = True


class Task(ABC):
    """What is trained, on what, by which loss.

    Attributes
    ----------
    network : Module
        Called once for each pass; its trained parameters are those that require a gradient.

    name : str
        The stage, as shown and as in errors.

    n_samples : int
        Rows that are drawn from.

    monitor : callable or None
        Called with its number after each epoch; what it returns goes into the history and nowhere
        else.
    """

    network: nn.Module
    name: str
    n_samples: int
    monitor: Callable[[int], dict[str, float]] | None = None

    @abstractmethod
    def draw(self, rows: Tensor, generator: torch.Generator) -> Draws:
        """Make all random choices of a step, for the rows of all processes.

        Parameters
        ----------
        rows : int64 Tensor of shape (batch,)
        generator : torch.Generator
            On the CPU; the only source.

        Returns
        -------
        draws : dict of str to Tensor of shape (batch, ...)
        """

    @abstractmethod
    def passes(self, rows: Tensor, draws: Draws) -> list[Pass]:
        """Make the inputs of the forward passes of some of the rows, in the order of the passes."""

    @abstractmethod
    def loss(self, outputs: list[Tensor]) -> tuple[Tensor | None, dict[str, float]]:
        """Compute the loss of the whole batch from the outputs of each pass, as float32.

        Returns
        -------
        loss : Tensor scalar or None
            None leaves the step out.
        terms : dict of str to float
            What the history keeps the mean of, besides the loss.
        """

    def set_mode(self) -> None:
        """Bring the network into the mode it is trained in."""
        self.network.train()

    def after_step(self) -> None:  # noqa: B027
        """Do what follows a step of the optimiser."""

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Look at the network after an epoch; what is returned goes into the history."""
        return {} if self.monitor is None else self.monitor(epoch)

    def extra_state(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold besides the network and the optimiser."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what `extra_state` gave."""
