"""Colour changes of float images, in batches, with the formulas of torchvision.

All functions take images as float32 of shape (n, 3, height, width) with values in 0..1 and a
parameter for each image, and return new images of the same shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

from skscan.training.augmentations.groups import run_sequences

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "color_jitter",
    "gaussian_blur",
    "grayscale",
]


def grayscale(images: Tensor) -> Tensor:
    """Return the luma (ITU-R 601), shape (n, 1, height, width)."""
    red, green, blue = images.unbind(1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114).unsqueeze(1)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with black: 0 is black, 1 changes nothing. `factors` has shape (n,)."""
    return (images * _column(factors, images)).clamp_(0.0, 1.0)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the mean luma: 0 is plain grey, 1 changes nothing. `factors` has shape (n,)."""
    means = grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    factors = _column(factors, images)
    return (images * factors).add_(means * (1.0 - factors)).clamp_(0.0, 1.0)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the luma: 0 is grey, 1 changes nothing. `factors` has shape (n,)."""
    factors = _column(factors, images)
    gray = grayscale(images).mul_(1.0 - factors)
    return (images * factors).add_(gray).clamp_(0.0, 1.0)


def adjust_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Turn the hue; saturation and value (HSV) stay as they are.

    Parameters
    ----------
    images : Tensor of shape (n, 3, height, width), float32
    shifts : Tensor of shape (n,)
        Part of a whole turn, from -0.5 to 0.5.
    """
    red, green, blue = images.unbind(1)
    high = torch.maximum(torch.maximum(red, green), blue)
    chroma = high - torch.minimum(torch.minimum(red, green), blue)
    # Grey pixels have no hue: with chroma 0, any hue gives the same grey back.
    divisor = chroma.clamp(min=1e-20)
    # The hue in sixths of the circle, by which channel is the largest (the first one of equals).
    # Choosing by 0 and 1 as weights is several times faster on CPUs than torch.where.
    largest_red = (green - blue).div_(divisor)
    largest_green = (blue - red).div_(divisor).add_(2.0)
    largest_blue = (red - green).div_(divisor).add_(4.0)
    not_green = (high - green).sign_()
    not_red = (high - red).sign_()
    sector = largest_green.lerp_(largest_blue, not_green)
    turns = _column(shifts, images).squeeze(1) * 6.0
    sector = largest_red.lerp_(sector, not_red).add_(turns)
    # A channel that is d sixths away from its own hue, around the circle, has the value
    # V - C max(0, min(d - 1, 1)). The sector lies in -4..8, so two folds give d.
    result = torch.empty_like(images)
    for channel, hue in enumerate((0.0, 2.0, 4.0)):
        distance = (sector - hue).abs_()
        other_way = (6.0 - distance).abs_()
        part = torch.minimum(distance, other_way).sub_(1.0).clamp_(0.0, 1.0)
        torch.sub(high, part.mul_(chroma), out=result[:, channel])
    return result


JITTER = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
"""The four parts of the colour jitter; column i of its factors belongs to part i."""


def color_jitter(images: Tensor, chosen: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue, in an order of its own for each image.

    Parameters
    ----------
    images : Tensor of shape (n, 3, height, width), float32
    chosen : Tensor of shape (n,), bool
        On the CPU: the images to be changed.
    order : Tensor of shape (n, 4), int64
        On the CPU: row i holds the numbers of the parts (0 brightness, 1 contrast, 2 saturation,
        3 hue) in the order in which image i goes through them.
    factors : Tensor of shape (n, 4), float32
        On the CPU. Column i belongs to part i, whatever the order.

    Returns
    -------
    Tensor of shape (n, 3, height, width), float32
    """
    parts = order.masked_fill(~chosen.unsqueeze(1), len(JITTER))
    return run_sequences(images, parts, factors.gather(1, order), (*JITTER, _unchanged))


def gaussian_blur(images: Tensor, sigmas: Tensor, kernel_size: int) -> Tensor:
    """Blur each image with a Gaussian of its own width; the images are mirrored at the border.

    Parameters
    ----------
    images : Tensor of shape (n, 3, height, width), float32
    sigmas : Tensor of shape (n,), float32
        Standard deviations in pixels.
    kernel_size : int
        Odd; the Gaussian is cut off beyond ``kernel_size // 2`` pixels.

    Returns
    -------
    Tensor of shape (n, 3, height, width), float32
    """
    n, channels, height, width = images.shape
    sigmas = sigmas.to(images.device)
    rows = images.reshape(n, channels * height, width)
    across = torch.bmm(rows, _blur_matrices(sigmas, width, kernel_size).transpose(1, 2))
    down = _blur_matrices(sigmas, height, kernel_size).unsqueeze(1)
    return torch.matmul(down, across.view(n, channels, height, width))


def _blur_matrices(sigmas: Tensor, length: int, kernel_size: int) -> Tensor:
    """Return the matrix of each blur in one direction, shape (n, length, length)."""
    half = kernel_size // 2
    offsets = torch.arange(-half, half + 1, device=sigmas.device)
    kernels = torch.exp(-0.5 * (offsets / sigmas.unsqueeze(1)) ** 2)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    positions = torch.arange(length, device=sigmas.device)
    matrices = torch.zeros(len(sigmas), length, length, device=sigmas.device)
    for column, offset in enumerate(range(-half, half + 1)):
        # Mirrored without repeating the border: -1 -> 1 and length -> length - 2.
        source = (positions + offset).abs()
        source = (length - 1) - ((length - 1) - source).abs()
        matrices[:, positions, source] += kernels[:, column : column + 1]
    return matrices


def _unchanged(images: Tensor, factors: Tensor) -> Tensor:
    return images


def _column(factors: Tensor, images: Tensor) -> Tensor:
    return factors.to(images.device).view(-1, 1, 1, 1)
