"""The strong augmentation of SCAN's clustering and self-labelling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from skscan.training.augmentations.base import Augmentation, Draws
from skscan.training.augmentations.geometry import draw_crop_boxes, flipped_crop
from skscan.training.augmentations.groups import run_sequences
from skscan.training.augmentations.operations import OPERATIONS

__all__ = ["StrongAugmentation"]


class StrongAugmentation(Augmentation):
    """Flip, crop, random operations on the pixels, and a hole.

    In this order: flip with probability 1/2; a crop without padding, anywhere; `n_ops` operations
    drawn with replacement, each of a strength uniform in its range (`operations.OPERATIONS`);
    normalisation; a square hole filled with zeros, the mean colour. The side of the hole is drawn
    uniformly from 1 to `cutout` and rounded down to an even number, its centre is any pixel, and
    what lies outside the image is cut off.

    Parameters
    ----------
    size : int
        Side of the square output in pixels.
    mean, std : sequence of 3 floats
        Statistics of the channels, of pixels in 0..1.
    n_ops : int, default=4
        Operations on each image.
    cutout : int, default=16
        Largest side of the hole in pixels. SCAN takes 16 for images of 32 pixels, 32 for 96 and 75
        for 224. 1 or 0 makes none.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020. Cubuk et
    al., "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", 2020.

    Examples
    --------
    >>> import torch
    >>> from skscan.training.augmentations import StrongAugmentation
    >>> augment = StrongAugmentation(32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    >>> pixels = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8)
    >>> draws = augment.draw(8, 32, 32, torch.Generator().manual_seed(0))
    >>> augment(pixels, draws).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        size: int,
        mean: Sequence[float],
        std: Sequence[float],
        n_ops: int = 4,
        cutout: int = 16,
    ) -> None:
        super().__init__(size, mean, std)
        for name, value in (("n_ops", n_ops), ("cutout", cutout)):
            if not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(f"{name} must be a whole number from 0 on, got {value!r}")
        self.n_ops = int(n_ops)
        self.cutout = int(cutout)

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Draw the rows of each image.

        ``flip`` (n,), ``corner`` (n, 2) of the crop, ``operation`` (n, n_ops) numbers in the order
        of `OPERATIONS`, ``magnitude`` (n, n_ops), ``hole`` (n, 3) row and column of the centre
        and side. See `Augmentation.draw`.
        """
        self._check_size(height, width)
        shape = (n, self.n_ops)
        low = torch.tensor([o.low for o in OPERATIONS.values()], dtype=torch.float64)
        high = torch.tensor([o.high for o in OPERATIONS.values()], dtype=torch.float64)
        flip = torch.rand(n, generator=generator) < 0.5
        corner = draw_crop_boxes(n, height, width, self.size, generator)
        operation = torch.randint(len(OPERATIONS), shape, generator=generator)
        level = torch.rand(shape, generator=generator, dtype=torch.float64)
        center = torch.randint(self.size, (n, 2), generator=generator)
        side = torch.randint(1, max(self.cutout, 1) + 1, (n, 1), generator=generator)
        return {
            "flip": flip,
            "corner": corner,
            "operation": operation,
            "magnitude": low[operation] + (high - low)[operation] * level,
            "hole": torch.cat([center, side], dim=1),
        }

    def __call__(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Make one strongly augmented view of each image; see `Augmentation.__call__`."""
        self._check_pixels(pixels)
        pixels = flipped_crop(pixels, draws["corner"], draws["flip"], self.size)
        functions = [operation.function for operation in OPERATIONS.values()]
        pixels = run_sequences(pixels, draws["operation"], draws["magnitude"], functions)
        images = self._normalise_(pixels.float().div_(255.0))
        return self._cut_out_(images, draws["hole"])

    def _cut_out_(self, images: Tensor, holes: Tensor) -> Tensor:
        """Fill the hole of each normalised image with zeros, in place."""
        row, column, side = holes.to(images.device).view(-1, 3, 1).unbind(1)
        half = side // 2
        at = torch.arange(self.size, device=images.device)
        rows = (at >= row - half) & (at < row + half)
        columns = (at >= column - half) & (at < column + half)
        kept = ~(rows.unsqueeze(2) & columns.unsqueeze(1))
        return images.mul_(kept.unsqueeze(1).float())
