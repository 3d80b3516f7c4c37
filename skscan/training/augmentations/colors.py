"""Colour changes of float images, in batches, with the formulas of torchvision.

All functions take images as float32 of shape (n, 3, height, width) with values in 0..1 and a
parameter for each image, and return new images of the same shape.
"""

from __future__ import annotations

import torch
from torch import Tensor

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
    return (images * _column(factors)).clamp_(0.0, 1.0)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the mean luma: 0 is plain grey, 1 changes nothing. `factors` has shape (n,)."""
    means = grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    factors = _column(factors)
    return (images * factors).add_(means * (1.0 - factors)).clamp_(0.0, 1.0)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """Blend with the luma: 0 is grey, 1 changes nothing. `factors` has shape (n,)."""
    factors = _column(factors)
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
    low, high = torch.aminmax(images, dim=1)
    chroma = high - low
    # Grey pixels have no hue: with chroma 0, any hue gives the same grey back.
    divisor = torch.where(chroma == 0, 1.0, chroma)
    sector = torch.where(
        high == red,
        (green - blue) / divisor,
        torch.where(high == green, (blue - red) / divisor + 2.0, (red - green) / divisor + 4.0),
    )
    sector += shifts.view(-1, 1, 1) * 6.0
    result = torch.empty_like(images)
    # Channel value = V - C max(0, min(k, 4 - k, 1)) with k = (n + sector) mod 6 and n = 5, 3, 1
    # for red, green, blue.
    for channel, offset in enumerate((5.0, 3.0, 1.0)):
        k = (sector + offset).remainder_(6.0)
        k = torch.minimum(k, 4.0 - k).clamp_(0.0, 1.0)
        torch.sub(high, k.mul_(chroma), out=result[:, channel])
    return result


JITTER = (adjust_brightness, adjust_contrast, adjust_saturation, adjust_hue)
"""The four parts of the colour jitter; column i of its factors belongs to part i."""


def color_jitter(images: Tensor, order: Tensor, factors: Tensor) -> Tensor:
    """Change brightness, contrast, saturation and hue, in an order of its own for each image.

    Parameters
    ----------
    images : Tensor of shape (n, 3, height, width), float32
    order : Tensor of shape (n, 4), int64
        On the CPU: row i holds the numbers of the parts (0 brightness, 1 contrast, 2 saturation,
        3 hue) in the order in which image i goes through them.
    factors : Tensor of shape (n, 4), float32
        Column i belongs to part i, whatever the order.

    Returns
    -------
    Tensor of shape (n, 3, height, width), float32
    """
    images = images.clone()
    moved = factors.to(images.device)
    for step in order.unbind(1):
        for part, function in enumerate(JITTER):
            rows = (step == part).nonzero().squeeze(1).to(images.device)
            if len(rows):
                images[rows] = function(images[rows], moved[rows, part])
    return images


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


def _column(factors: Tensor) -> Tensor:
    return factors.view(-1, 1, 1, 1)
