"""The augmentations of self-supervised learning and of evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from skscan.training.augmentations.base import Augmentation, Draws
from skscan.training.augmentations.colors import color_jitter, gaussian_blur, grayscale
from skscan.training.augmentations.geometry import (
    center_crop,
    draw_resized_crop_boxes,
    resized_crop,
)

__all__ = ["CenterCrop", "SimCLRAugmentation", "StandardAugmentation"]

JITTER_PROBABILITY = 0.8
JITTER_STRENGTH = (0.4, 0.4, 0.4)
"""Factors of brightness, contrast and saturation are uniform within 1 -/+ these."""
HUE_STRENGTH = 0.1
"""Turns of the hue are uniform within -/+ this part of the circle."""
GRAY_PROBABILITY = 0.2
BLUR_PROBABILITY = 0.5
BLUR_SIGMAS = (0.1, 2.0)
CACHED_VALUES = 1 << 19
"""Numbers that are worked on at a time on CPUs: what stays in the cache is changed faster."""


class CenterCrop(Augmentation):
    """The middle of each image, normalised: the transform of evaluation. Nothing is random.

    Parameters
    ----------
    size : int
        Side of the square output in pixels.
    mean, std : sequence of 3 floats
        Statistics of the channels, of pixels in 0..1.
    """

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Return an empty dict; see `Augmentation.draw`."""
        self._check_size(height, width)
        return {}

    def __call__(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Cut out the middle; see `Augmentation.__call__`."""
        self._check_pixels(pixels)
        images = center_crop(pixels, self.size).to(torch.float32, copy=True)
        return self._normalise_(images.contiguous().div_(255.0))


class StandardAugmentation(Augmentation):
    """Random resized crop and flip.

    Parameters
    ----------
    size : int
        Side of the square output in pixels.
    mean, std : sequence of 3 floats
        Statistics of the channels, of pixels in 0..1.
    """

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Draw ``box`` (n, 4) and ``flip`` (n,); see `Augmentation.draw`."""
        self._check_size(height, width)
        return {
            "box": draw_resized_crop_boxes(n, height, width, generator),
            "flip": torch.rand(n, generator=generator) < 0.5,
        }

    def __call__(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Make one view of each image; see `Augmentation.__call__`."""
        self._check_pixels(pixels)
        if pixels.device.type != "cpu":
            return self._normalise_(self._view(pixels, draws))
        views = torch.empty(len(pixels), 3, self.size, self.size)
        step = max(1, CACHED_VALUES // (3 * pixels.shape[2] * pixels.shape[3]))
        for start in range(0, len(pixels), step):
            part = slice(start, start + step)
            rows = {name: values[part] for name, values in draws.items()}
            views[part] = self._view(pixels[part], rows)
        return self._normalise_(views)

    def _view(self, pixels: Tensor, draws: Draws) -> Tensor:
        """Return views with values in 0..1, not yet normalised."""
        return resized_crop(pixels, draws["box"], draws["flip"], self.size)


class SimCLRAugmentation(StandardAugmentation):
    """The augmentation of SimCLR: resized crop, flip, colour jitter, grey, and blur on demand.

    In this order: crop of 0.2 to 1 times the area and ratio 3/4 to 4/3; flip with probability 1/2;
    colour jitter (0.4, 0.4, 0.4, 0.1) with probability 0.8; grey with probability 0.2; with
    `blur`, a Gaussian blur with probability 1/2.

    Parameters
    ----------
    size : int
        Side of the square output in pixels.
    mean, std : sequence of 3 floats
        Statistics of the channels, of pixels in 0..1.
    blur : bool, default=False
        Add the blur of MoCo v2: standard deviation uniform in 0.1 to 2 pixels, kernel as wide as
        a tenth of the size, at least 3. SCAN's own pretext task on small images has none.

    References
    ----------
    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML
    2020. Chen et al., "Improved Baselines with Momentum Contrastive Learning", arXiv 2003.04297.

    Examples
    --------
    >>> import torch
    >>> from skscan.training.augmentations import SimCLRAugmentation
    >>> augment = SimCLRAugmentation(32, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
    >>> pixels = torch.randint(256, (8, 3, 40, 48), dtype=torch.uint8)
    >>> draws = augment.draw(8, 40, 48, torch.Generator().manual_seed(0))
    >>> augment(pixels, draws).shape
    torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self, size: int, mean: Sequence[float], std: Sequence[float], blur: bool = False
    ) -> None:
        super().__init__(size, mean, std)
        self.blur = blur

    def draw(self, n: int, height: int, width: int, generator: torch.Generator) -> Draws:
        """Draw the rows of each image.

        Besides those of `StandardAugmentation`: ``jitter`` (n,), ``jitter_order`` (n, 4) and
        ``jitter_factors`` (n, 4) as in `color_jitter`, ``gray`` (n,), and with `blur` also ``blur``
        (n,) and ``blur_sigma`` (n,). See `Augmentation.draw`.
        """
        draws = super().draw(n, height, width, generator)
        spread = torch.tensor([*JITTER_STRENGTH, HUE_STRENGTH])
        middle = torch.tensor([1.0] * len(JITTER_STRENGTH) + [0.0])
        draws["jitter"] = torch.rand(n, generator=generator) < JITTER_PROBABILITY
        draws["jitter_order"] = torch.rand((n, 4), generator=generator).argsort(dim=1)
        factors = torch.rand((n, 4), generator=generator).mul_(2.0).sub_(1.0)
        draws["jitter_factors"] = factors * spread + middle
        draws["gray"] = torch.rand(n, generator=generator) < GRAY_PROBABILITY
        if self.blur:
            low, high = BLUR_SIGMAS
            draws["blur"] = torch.rand(n, generator=generator) < BLUR_PROBABILITY
            draws["blur_sigma"] = torch.rand(n, generator=generator) * (high - low) + low
        return draws

    def _view(self, pixels: Tensor, draws: Draws) -> Tensor:
        images = super()._view(pixels, draws)
        images = color_jitter(
            images, draws["jitter"], draws["jitter_order"], draws["jitter_factors"]
        )
        rows = draws["gray"].nonzero().squeeze(1).to(images.device)
        images[rows] = grayscale(images[rows]).expand(-1, 3, -1, -1)
        if self.blur:
            chosen = draws["blur"].nonzero().squeeze(1)
            rows = chosen.to(images.device)
            images[rows] = gaussian_blur(
                images[rows], draws["blur_sigma"][chosen], self._kernel_size
            )
        return images

    @property
    def _kernel_size(self) -> int:
        return max(3, self.size // 10 // 2 * 2 + 1)
