"""Soft labels, and a head with a hidden layer that learns them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from skscan._progress import progress
from skscan.networks.mlp_heads import MLPHeads

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["fit_soft_labels", "sharpened"]

BATCH_SIZE = 256
LEARNING_RATE = 0.003
BOTTLENECK = 64
SHARPNESS = 15
"""Cosines are multiplied by the logarithm of so many times the number of classes, or by 5 if that
is more, so that a head can be as sure among many classes as among few."""


def sharpened(probabilities: NDArray[np.floating], power: float) -> NDArray[np.floating]:
    """Raise probabilities to a power; rows sum to 1 again."""
    largest = probabilities.max(axis=1, keepdims=True)
    sharp = (probabilities / largest) ** float(power)
    return sharp / sharp.sum(axis=1, keepdims=True)


def fit_soft_labels(
    features: NDArray[np.float32],
    targets: NDArray[np.floating],
    *,
    n_hidden: int,
    n_steps: int,
    seed: int,
    device: str = "cpu",
    verbose: int = 0,
) -> tuple[MLPHeads, list[dict[str, Any]]]:
    """Fit a head with a hidden layer to probabilities of classes by cross-entropy, with Adam.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
        Of mean square 1.
    targets : ndarray of shape (n_samples, n_classes)
        Rows sum to 1.
    n_hidden : int
        Width of the hidden layer.
    n_steps : int
        About so many steps, at least one pass over the data.
    seed : int
        Rules the first weights and the order of the samples.
    device : str, default="cpu"
        Torch device.
    verbose : int, default=0
        With 1, a progress bar is shown on stderr.

    Returns
    -------
    head : MLPHeads
        One head.
    history : list of dict
        One entry for each pass: pass, loss.
    """
    import torch

    from skscan.training.batched_heads import Adam
    from skscan.training.trainable_heads import TrainableMLPHeads, gradient_of

    generator = torch.Generator().manual_seed(seed)
    n_samples, n_classes = targets.shape
    inputs = torch.as_tensor(features, device=device)
    wanted = torch.as_tensor(targets.astype(np.float32), device=device)
    temperature = 1 / max(np.log(SHARPNESS * n_classes), 5.0)
    head = TrainableMLPHeads.random(
        1, features.shape[1], (n_hidden, BOTTLENECK), n_classes, temperature, generator, device
    )
    n_batches = max(n_samples // BATCH_SIZE, 1)
    n_passes = max(round(n_steps / n_batches), 1)
    adam = Adam(head.parameters, LEARNING_RATE, n_passes * n_batches)
    history: list[dict[str, Any]] = []
    for pass_ in progress(range(n_passes), desc="labels", unit="pass", verbose=verbose):
        total = torch.zeros((), device=device)
        order = torch.randperm(n_samples, generator=generator).to(device)
        for batch in torch.tensor_split(order, n_batches):

            def loss(batch: Tensor = batch, total: Tensor = total) -> Tensor:
                logits = head.logits(inputs[batch]).squeeze(2)
                value = torch.nn.functional.cross_entropy(logits, wanted[batch])
                total += value.detach()
                return value

            adam.step(gradient_of(loss, head.parameters))
        history.append({"pass": pass_, "loss": float(total) / n_batches})
    return head.to_numpy(), history
