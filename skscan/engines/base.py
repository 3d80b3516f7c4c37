"""What an engine is, and what it needs to know about a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import nn

__all__ = ["ENGINES", "PRECISIONS", "Engine", "FrozenNetwork", "NetworkSource"]

ENGINES = ("torch", "compile", "onnx", "openvino")
"""Names of the engines."""

PRECISIONS = ("float32", "bfloat16")
"""Numbers that engines compute with; not every engine has all of them."""


class Engine(ABC):
    """A frozen network, ready to turn pixels into features.

    Attributes
    ----------
    name : str
        One of `ENGINES`.
    precision : str
        One of `PRECISIONS`.
    n_features : int
        Number of features of an image.
    """

    name: str
    precision: str
    n_features: int

    @abstractmethod
    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Compute features.

        Parameters
        ----------
        pixels : ndarray of shape (b, side, side, 3), dtype uint8

        Returns
        -------
        features : ndarray of shape (b, n_features), dtype float32
        """


@dataclass(frozen=True, eq=False)
class FrozenNetwork:
    """A network with its weights, and what is done to pixels before it.

    Parameters
    ----------
    module : torch.nn.Module
        From normalised images (b, 3, image_size, image_size), float32, to features (b, d); in
        evaluation mode.
    image_size : int
        Side in pixels of the pictures that the network sees.
    mean, std : tuple of 3 floats
        Its normalisation, for pixels in 0..1.
    side : int
        Side of the pictures that are given, whose centre of `image_size` is cut out.
    """

    module: nn.Module
    image_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side: int


class NetworkSource(ABC):
    """Where a network comes from; telling networks apart takes no torch."""

    @property
    @abstractmethod
    def description(self) -> str:
        """What the network is called in messages."""

    @abstractmethod
    def identity(self) -> str:
        """Return a hash of all that the features depend on: weights, form, size, normalisation."""

    @abstractmethod
    def load(self, device: str) -> FrozenNetwork:
        """Build the network with its weights on a torch device."""
