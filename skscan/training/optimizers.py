"""Optimisers and learning rates of the stages."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn

__all__ = ["cosine", "make_optimizer"]


def cosine(
    learning_rate: float, n_epochs: int, final_share: float = 1e-3
) -> Callable[[int], float]:
    """Return the learning rate of each epoch along half a cosine.

    Parameters
    ----------
    learning_rate : float
        Of the first epoch.
    n_epochs : int
    final_share : float, default=0.001
        What would be left of it after the last epoch; SCAN's pretext task takes 0.1 cubed.

    Returns
    -------
    callable
    """
    final = learning_rate * final_share

    def of_epoch(epoch: int) -> float:
        return final + (learning_rate - final) * (1 + math.cos(math.pi * epoch / n_epochs)) / 2

    return of_epoch


def make_optimizer(
    name: str, network: nn.Module, weight_decay: float, momentum: float = 0.9
) -> torch.optim.Optimizer:
    """Return an optimiser of the parameters that are trained; the loop sets the learning rate.

    Parameters
    ----------
    name : {"sgd", "adam"}
        ``"adam"`` has the L2 penalty in its gradient, as in the paper, not decoupled.
    network : Module
    weight_decay : float
        On all parameters, those of normalisation included.
    momentum : float, default=0.9
        Of SGD.

    Returns
    -------
    torch.optim.Optimizer

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if name == "sgd":
        return torch.optim.SGD(trained, lr=0.0, momentum=momentum, weight_decay=weight_decay)
    if name == "adam":
        return torch.optim.Adam(trained, lr=0.0, weight_decay=weight_decay)
    raise ValueError(f"optimizer={name!r} must be 'sgd' or 'adam'.")
