"""Contrastive pretext tasks: views of one image are to be nearer than those of other images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skscan.networks.modules import ContrastiveNetwork
from skscan.training.augmentations import Augmentation
from skscan.training.loop import Draws, Pass, Task
from skscan.training.losses import simclr_loss
from skscan.training.pixels import PixelStore

__all__ = ["SimCLRTask", "TwoViewTask"]


class TwoViewTask(Task):
    """A task whose step takes two views of each image, side by side, in one pass.

    Parameters
    ----------
    network : Module
    pixels : PixelStore
    augmentation : Augmentation
        Of which both views are drawn independently.
    temperature : float
    """

    def __init__(
        self,
        network: nn.Module,
        pixels: PixelStore,
        augmentation: Augmentation,
        temperature: float,
    ) -> None:
        self.network = network
        self.n_samples = len(pixels)
        self._pixels = pixels
        self._augmentation = augmentation
        self._temperature = temperature

    def draw(self, rows: Tensor, generator: torch.Generator) -> Draws:
        """Draw two views of each row."""
        side = self._pixels.side
        draws = self._augmentation.draw(2 * len(rows), side, side, generator)
        return {name: values.unflatten(0, (len(rows), 2)) for name, values in draws.items()}

    def passes(self, rows: Tensor, draws: Draws) -> list[Pass]:
        """Both views in one pass."""
        device = next(self.network.parameters()).device
        pixels = self._pixels.take(rows, device).repeat_interleave(2, dim=0)
        views = {name: values.flatten(0, 1) for name, values in draws.items()}
        return [Pass(self._augmentation(pixels, views))]


class SimCLRTask(TwoViewTask):
    """SimCLR with the first views as anchors (SCAN, section 2.1 and supplementary material).

    Both views go through the network together, so that they share the statistics of batch
    normalisation. Parameters are those of `TwoViewTask`; the network is a `ContrastiveNetwork`.
    """

    name = "simclr"
    network: ContrastiveNetwork

    def loss(self, outputs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Contrast the views of each image with those of the others."""
        return simclr_loss(outputs[0].unflatten(0, (-1, 2)), self._temperature), {}
