"""What all augmentations share: sizes, normalisation and how randomness is handed over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

__all__ = ["Augmentation", "Draws"]

Draws = dict[str, Tensor]
"""All randomness of a batch: tensors on the CPU with one row for each image."""


class Augmentation(ABC):
    """A random map from a batch of images to the input of a network.

    All randomness is drawn beforehand on the CPU, one row for each image, and each image depends
    on its own row alone. So a batch can be split over processes or devices, or repeated, and the
    views stay the same.

    Parameters
    ----------
    size : int
        Side of the square output in pixels.
    mean, std : sequence of 3 floats
        Statistics of the channels, of pixels in 0..1, by which the output is normalised.
    """

    def __init__(self, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        if not isinstance(size, int | np.integer) or size < 1:
            raise ValueError(f"size must be a positive whole number of pixels, got {size!r}")
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != 3:
                raise ValueError(f"{name} must hold 3 numbers, one a channel, got {values!r}")
        if not all(value > 0 for value in std):
            raise ValueError(f"std must be positive in every channel, got {std!r}")
        self.size = int(size)
        self.mean = tuple(float(value) for value in mean)
        self.std = tuple(float(value) for value in std)

    @abstractmethod
    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Draw the randomness of a batch.

        Parameters
        ----------
        n : int
            Number of images.
        height, width : int
            Size of the images in pixels.
        generator : torch.Generator
            On the CPU; the only source of randomness.

        Returns
        -------
        dict of Tensor
            On the CPU, each with leading dimension `n`: any rows of all of them can be used with
            the same rows of the images.

        Raises
        ------
        ValueError
            If the images are smaller than the output.
        """

    @abstractmethod
    def __call__(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Augment a batch.

        Parameters
        ----------
        pixels : Tensor of shape (n, 3, height, width), uint8
            On any device; they are not changed.
        draws : dict of Tensor
            What `draw` gave for this number and size of images.

        Returns
        -------
        Tensor of shape (n, 3, size, size), float32
            Normalised, on the device of the pixels.

        Raises
        ------
        ValueError
            If the images are smaller than the output, or not uint8 RGB.
        """

    def _check_size(self, height: int, width: int) -> None:
        if height < self.size or width < self.size:
            raise ValueError(
                f"the images are smaller than the crop: {height} x {width} pixels (height x "
                f"width), but size={self.size}. Take a smaller size or enlarge the images first"
            )

    def _check_pixels(self, pixels: Tensor) -> None:
        if pixels.dtype != torch.uint8 or pixels.ndim != 4 or pixels.shape[1] != 3:
            raise ValueError(
                "pixels must be a uint8 tensor of shape (n, 3, height, width), got "
                f"{pixels.dtype} of shape {tuple(pixels.shape)}"
            )
        self._check_size(pixels.shape[2], pixels.shape[3])

    def _normalise_(self, images: Tensor) -> Tensor:
        """Normalise images of 0..1 in place."""
        mean = torch.tensor(self.mean, device=images.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(3, 1, 1)
        return images.sub_(mean).div_(std)
