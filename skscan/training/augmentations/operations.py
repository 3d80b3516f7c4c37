"""The fourteen operations of the strong augmentation, with Pillow's arithmetic, in batches.

Every operation takes pixels (uint8, shape (n, 3, height, width), on any device) and one magnitude
an image (float64, shape (n,), on the CPU) and returns new pixels that equal, bit by bit, what
Pillow gives for each image. All thus have one signature, also those without a strength.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["OPERATIONS", "Operation"]

FIXED_POINT = 1 << 16
"""Pillow walks through the source image in units of 1/65536 pixel."""


@dataclass(frozen=True)
class Operation:
    """One operation and the range that its magnitude is drawn from, uniformly.

    Parameters
    ----------
    function : callable
        ``(pixels, magnitudes) -> pixels``.
    low, high : float, default=0.0
        Ends of the range; both 0 where the operation has no strength.
    """

    function: Callable[[Tensor, Tensor], Tensor]
    low: float = 0.0
    high: float = 0.0


def identity(pixels: Tensor, magnitudes: Tensor) -> Tensor:
    """Return a copy."""
    return pixels.clone()


def autocontrast(pixels: Tensor, magnitudes: Tensor) -> Tensor:
    """Stretch each channel to 0..255, as ``ImageOps.autocontrast``."""
    # The reference cuts off the decimals of a double: a coarser type would give another grey
    # level where the exact result is a whole number. Apple's GPUs have no doubles.
    device = pixels.device if pixels.device.type != "mps" else torch.device("cpu")
    low = pixels.amin(dim=(2, 3)).view(-1, 1).to(device, torch.float64)
    high = pixels.amax(dim=(2, 3)).view(-1, 1).to(device, torch.float64)
    # A channel of one value stays as it is.
    flat = high == low
    low, high = low.masked_fill(flat, 0.0), high.masked_fill(flat, 255.0)
    # A number over a tensor would be taken as the number times a rounded reciprocal.
    scale = torch.full_like(low, 255.0).div_(high - low)
    values = torch.arange(256, dtype=torch.float64, device=device)
    tables = (values * scale).add_(-low * scale).clamp_(0.0, 255.0).byte()
    return _look_up(tables.to(pixels.device), _flat_values(pixels)).view_as(pixels)


def equalize(pixels: Tensor, magnitudes: Tensor) -> Tensor:
    """Even out the histogram of each channel, as ``ImageOps.equalize``."""
    n, channels, height, width = pixels.shape
    values = _flat_values(pixels)
    histogram = torch.zeros(n * channels, 256, dtype=torch.int64, device=pixels.device)
    histogram.scatter_add_(1, values, torch.ones_like(values))
    brightest = histogram.gather(1, values.amax(dim=1, keepdim=True))
    step = (height * width - brightest) // 255
    below = histogram.cumsum(dim=1) - histogram
    table = (below + step // 2) // step.clamp(min=1)
    # Channels of one value, or of too few pixels for one step, stay as they are.
    unchanged = torch.arange(256, device=pixels.device)
    table = torch.where(step == 0, unchanged, table.clamp_(max=255)).byte()
    return _look_up(table, values).view_as(pixels)


def rotate(pixels: Tensor, degrees: Tensor) -> Tensor:
    """Rotate counter-clockwise about the centre, as ``Image.rotate``; black outside."""
    height, width = pixels.shape[2:]
    radians = -(degrees.remainder(360.0) * (math.pi / 180.0))
    cosines = radians.cos().round(decimals=15)
    sines = radians.sin().round(decimals=15)
    center_x, center_y = width / 2, height / 2
    return _affine(
        pixels,
        (cosines, sines, cosines * -center_x + sines * -center_y + center_x),
        (-sines, cosines, -sines * -center_x + cosines * -center_y + center_y),
    )


def shear_x(pixels: Tensor, factors: Tensor) -> Tensor:
    """Shift each row by `factors` times its number, to the left; black outside."""
    zeros, ones = torch.zeros_like(factors), torch.ones_like(factors)
    return _affine(pixels, (ones, factors, zeros), (zeros, ones, zeros))


def shear_y(pixels: Tensor, factors: Tensor) -> Tensor:
    """Shift each column by `factors` times its number, upwards; black outside."""
    zeros, ones = torch.zeros_like(factors), torch.ones_like(factors)
    return _affine(pixels, (ones, zeros, zeros), (factors, ones, zeros))


def translate_x(pixels: Tensor, parts: Tensor) -> Tensor:
    """Move to the left by `parts` of the width; black outside."""
    width = pixels.shape[3]
    return _sample(pixels, None, _moved(parts * width, width).unsqueeze(1))


def translate_y(pixels: Tensor, parts: Tensor) -> Tensor:
    """Move upwards by `parts` of the height; black outside."""
    height = pixels.shape[2]
    return _sample(pixels, _moved(parts * height, height).unsqueeze(2), None)


def solarize(pixels: Tensor, thresholds: Tensor) -> Tensor:
    """Invert the values from the threshold on, as ``ImageOps.solarize``."""
    # int16 because the threshold 256, which inverts nothing, is no uint8.
    inverted = pixels.short() >= _column(thresholds.ceil().to(torch.int16), pixels)
    return inverted.byte().mul_(255).bitwise_xor_(pixels)


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper bits, as ``ImageOps.posterize``; `bits` are cut to whole numbers."""
    masks = 256 - torch.pow(2.0, 8.0 - bits.trunc())
    return pixels & _column(masks.to(torch.uint8), pixels)


def color(pixels: Tensor, factors: Tensor) -> Tensor:
    """Blend with the luma, as ``ImageEnhance.Color``."""
    images = pixels.float()
    return _blend(_luma(images), images, factors)


def contrast(pixels: Tensor, factors: Tensor) -> Tensor:
    """Blend with the mean luma, as ``ImageEnhance.Contrast``."""
    images = pixels.float()
    count = images.shape[2] * images.shape[3]
    total = _luma(images).to(torch.int32).sum(dim=(1, 2, 3), keepdim=True)
    means = (2 * total + count) // (2 * count)
    return _blend(means.float(), images, factors)


def brightness(pixels: Tensor, factors: Tensor) -> Tensor:
    """Blend with black, as ``ImageEnhance.Brightness``."""
    return (pixels * _column(factors.float(), pixels)).byte()


def sharpness(pixels: Tensor, factors: Tensor) -> Tensor:
    """Blend with the smoothed image, as ``ImageEnhance.Sharpness``; the border is kept."""
    height, width = pixels.shape[2:]
    result = pixels.clone()
    if min(height, width) < 3:
        return result
    # All images in one row: long rows are what processors add fast. What runs over the edge of an
    # image ends up in its border, which is not used.
    values = pixels.reshape(-1).float()
    across = values[:-2] + values[1:-1]
    across += values[2:]
    total = across[: -2 * width] + across[width:-width]
    total += across[2 * width :]
    # The kernel is 1 everywhere, 5 in the middle, over 13. Sums are whole numbers, and none lies
    # on the edge between two grey levels, so the factor's rounding cannot show.
    total.add_(values[width + 1 : -width - 1], alpha=4.0)
    smooth = values.clone()
    smooth[width + 1 : -width - 1] = total.mul_(1.0 / 13.0).add_(0.5).floor_()
    blended = _blend(smooth.view_as(pixels), values.view_as(pixels), factors)
    result[:, :, 1:-1, 1:-1] = blended[:, :, 1:-1, 1:-1]
    return result


OPERATIONS = {
    "identity": Operation(identity),
    "autocontrast": Operation(autocontrast),
    "equalize": Operation(equalize),
    "rotate": Operation(rotate, -30.0, 30.0),
    "solarize": Operation(solarize, 0.0, 256.0),
    "color": Operation(color, 0.05, 0.95),
    "contrast": Operation(contrast, 0.05, 0.95),
    "brightness": Operation(brightness, 0.05, 0.95),
    "sharpness": Operation(sharpness, 0.05, 0.95),
    "shear_x": Operation(shear_x, -0.1, 0.1),
    "translate_x": Operation(translate_x, -0.1, 0.1),
    "translate_y": Operation(translate_y, -0.1, 0.1),
    "posterize": Operation(posterize, 4.0, 8.0),
    "shear_y": Operation(shear_y, -0.1, 0.1),
}
"""The operations of SCAN's strong augmentation with their ranges."""


def _luma(images: Tensor) -> Tensor:
    """Return Pillow's luma, whole numbers as float32 of shape (n, 1, height, width)."""
    # 16-bit weights and rounding. Every intermediate value is a whole number below 2^24 (the
    # weights add up to 2^16), so float32 holds all of them exactly.
    red, green, blue = images.unbind(1)
    weighted = (red * 19595.0).add_(green, alpha=38470.0).add_(blue, alpha=7471.0)
    return weighted.add_(32768.0).mul_(1.0 / 65536.0).floor_().unsqueeze(1)


def _blend(start: Tensor, images: Tensor, factors: Tensor) -> Tensor:
    """Return ``start + factor (images - start)`` without its decimals, as uint8.

    Product and sum are rounded to float32 one after the other, as in Pillow: a fused operation
    would cut some values off differently.
    """
    return (images - start).mul_(_column(factors.float(), images)).add_(start).byte()


def _affine(
    pixels: Tensor, x: tuple[Tensor, Tensor, Tensor], y: tuple[Tensor, Tensor, Tensor]
) -> Tensor:
    """Take output pixel (u, v) from (x0 u + x1 v + x2, y0 u + y1 v + y2), the nearest pixel.

    Parameters
    ----------
    pixels : Tensor of shape (n, 3, height, width), uint8
    x, y : three Tensors each, of shape (n,), float64
        Coordinates are those of the centres of pixels: the first pixel is at 1/2.
    """
    height, width = pixels.shape[2:]
    u = torch.arange(width, dtype=torch.int32, device=pixels.device)
    v = torch.arange(height, dtype=torch.int32, device=pixels.device).unsqueeze(1)
    sources = []
    for by_u, by_v, offset in (y, x):
        exact = torch.stack([by_u, by_v, offset + by_u * 0.5 + by_v * 0.5])
        fixed = (exact * FIXED_POINT + 0.5).floor().to(torch.int32).to(pixels.device)
        by_u, by_v, offset = fixed.view(3, -1, 1, 1)
        sources.append((by_u * u + (by_v * v + offset)) >> 16)
    return _sample(pixels, *sources)


def _moved(distances: Tensor, length: int) -> Tensor:
    """Return the source position of each output position, shape (n, length), int32.

    Pillow adds 1 to the first position again and again, which is what a cumulative sum in
    float64 does.
    """
    steps = torch.ones(len(distances), length, dtype=torch.float64)
    steps[:, 0] = distances + 0.5
    return steps.cumsum(dim=1).floor().to(torch.int32)


def _sample(pixels: Tensor, rows: Tensor | None, columns: Tensor | None) -> Tensor:
    """Take pixels from given rows and columns; black outside.

    Parameters
    ----------
    pixels : Tensor of shape (n, 3, height, width), uint8
    rows, columns : Tensor that broadcasts to (n, height, width), int32, or None
        Source of every output pixel; None leaves them in place.
    """
    n, channels, height, width = pixels.shape
    device = pixels.device
    if rows is None:
        rows = torch.arange(height, dtype=torch.int32, device=device).unsqueeze(1)
    if columns is None:
        columns = torch.arange(width, dtype=torch.int32, device=device)
    rows, columns = rows.to(device), columns.to(device)
    # A black frame of one pixel stands for all that lies outside.
    framed = torch.nn.functional.pad(pixels, (1, 1, 1, 1)).view(n, channels, -1)
    rows = rows.clamp(-1, height) + 1
    columns = columns.clamp(-1, width) + 1
    source = (rows * (width + 2) + columns).long().expand(n, height, width)
    source = source.reshape(n, 1, -1).expand(-1, channels, -1)
    return framed.gather(2, source).view_as(pixels)


def _flat_values(pixels: Tensor) -> Tensor:
    """Return the values of each channel as a row of indices, shape (3 n, height width), int64."""
    return pixels.reshape(pixels.shape[0] * pixels.shape[1], -1).long()


def _look_up(tables: Tensor, values: Tensor) -> Tensor:
    """Replace values by the entries of tables of shape (3 n, 256)."""
    return tables.gather(1, values)


def _column(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images.device).view(-1, 1, 1, 1)
