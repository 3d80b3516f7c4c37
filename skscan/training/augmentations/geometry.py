"""Crops: drawing the boxes and resampling each image's own box to one size."""

from __future__ import annotations

import math

import torch
from torch import Tensor

__all__ = [
    "center_crop",
    "draw_crop_boxes",
    "draw_resized_crop_boxes",
    "flipped_crop",
    "resized_crop",
]

TRIES = 10
"""Boxes tried before the middle of the image is taken."""


def draw_resized_crop_boxes(
    n: int,
    height: int,
    width: int,
    generator: torch.Generator,
    scale: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Draw boxes of random area, shape and place, distributed as by torchvision.

    The area is uniform within `scale` times that of the image, the ratio of width to height
    log-uniform within `ratio`. Where none of ten tries fits into the image, the largest box in the
    middle whose ratio is allowed is taken.

    Parameters
    ----------
    n, height, width : int
        Number and size of the images.
    generator : torch.Generator
        On the CPU.
    scale, ratio : tuple of two floats

    Returns
    -------
    Tensor of shape (n, 4), int64
        Top, left, height and width of each box, in pixels.
    """
    area = height * width * _uniform((n, TRIES), *scale, generator)
    aspect = _uniform((n, TRIES), math.log(ratio[0]), math.log(ratio[1]), generator).exp_()
    # Tensor.round goes to the even neighbour at one half, as Python's round does.
    widths = (area * aspect).sqrt_().round_().long()
    heights = (area / aspect).sqrt_().round_().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.byte().argmax(dim=1, keepdim=True)
    box_width = widths.gather(1, first).squeeze(1)
    box_height = heights.gather(1, first).squeeze(1)
    place = torch.rand((n, 2), generator=generator, dtype=torch.float64)
    top = (place[:, 0] * (height - box_height + 1)).long()
    left = (place[:, 1] * (width - box_width + 1)).long()
    boxes = torch.stack([top, left, box_height, box_width], dim=1)

    middle_height, middle_width = height, width
    if width / height < ratio[0]:
        middle_height = round(width / ratio[0])
    elif width / height > ratio[1]:
        middle_width = round(height * ratio[1])
    middle = torch.tensor(
        [
            (height - middle_height) // 2,
            (width - middle_width) // 2,
            middle_height,
            middle_width,
        ]
    )
    return torch.where(fits.any(dim=1, keepdim=True), boxes, middle)


def draw_crop_boxes(
    n: int, height: int, width: int, size: int, generator: torch.Generator
) -> Tensor:
    """Draw the upper left corners of square crops, uniform over all that fit.

    Returns
    -------
    Tensor of shape (n, 2), int64
        Top and left.
    """
    tops = torch.randint(height - size + 1, (n, 1), generator=generator)
    lefts = torch.randint(width - size + 1, (n, 1), generator=generator)
    return torch.cat([tops, lefts], dim=1)


def resized_crop(pixels: Tensor, boxes: Tensor, flips: Tensor, size: int) -> Tensor:
    """Cut out each image's box, resize it to a square and flip it.

    Bilinear with antialiasing, as Pillow resizes: the triangle filter widens where the box is
    larger than the output. Pillow rounds to whole grey levels after each direction, here nothing
    is rounded, so the two differ by less than one grey level.

    Parameters
    ----------
    pixels : Tensor of shape (n, 3, height, width), uint8
    boxes : Tensor of shape (n, 4), int64
        Top, left, height and width.
    flips : Tensor of shape (n,), bool
        Which images to mirror left to right.
    size : int

    Returns
    -------
    Tensor of shape (n, 3, size, size), float32
        Values in 0..1.
    """
    n, channels, height, width = pixels.shape
    # Both directions are products with one small matrix an image: batched matrix products are
    # the fastest kernel that every device has for "another filter for each image". Laid out so
    # that one product takes all channels and no operand is transposed, they take a third of the
    # time on a CPU.
    boxes = boxes.to(pixels.device, torch.float32)
    flips = flips.to(pixels.device)
    vertical = _resampling_weights(boxes[:, 0], boxes[:, 2], height, size) / 255.0
    horizontal = _resampling_weights(boxes[:, 1], boxes[:, 3], width, size, flips)
    horizontal = horizontal.transpose(1, 2).contiguous()
    columns = pixels.transpose(1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    low = torch.bmm(vertical, columns.view(n, height, channels * width))
    rows = low.view(n, size, channels, width).transpose(1, 2).reshape(n, channels * size, width)
    return torch.bmm(rows, horizontal).view(n, channels, size, size)


def center_crop(pixels: Tensor, size: int) -> Tensor:
    """Return a view of the middle square, placed as torchvision's CenterCrop places it."""
    top = round((pixels.shape[2] - size) / 2)
    left = round((pixels.shape[3] - size) / 2)
    return pixels[:, :, top : top + size, left : left + size]


def flipped_crop(pixels: Tensor, corners: Tensor, flips: Tensor, size: int) -> Tensor:
    """Mirror some images left to right, then cut a square out of each.

    Parameters
    ----------
    pixels : Tensor of shape (n, 3, height, width)
    corners : Tensor of shape (n, 2), int64
        Top and left of the square in the mirrored image.
    flips : Tensor of shape (n,), bool
    size : int

    Returns
    -------
    Tensor of shape (n, 3, size, size)
        A copy.
    """
    n, _, height, width = pixels.shape
    # Whole images are copied much faster than single ones are put back among the others.
    both = torch.cat([pixels, pixels.flip(3)])
    images = both.index_select(0, (torch.arange(n) + n * flips.long()).to(pixels.device))
    if (height, width) == (size, size):
        return images
    corners = corners.to(pixels.device)
    squares = images.unfold(2, size, 1).unfold(3, size, 1)
    return squares[torch.arange(n, device=pixels.device), :, corners[:, 0], corners[:, 1]]


def _resampling_weights(
    starts: Tensor, lengths: Tensor, n_in: int, n_out: int, flips: Tensor | None = None
) -> Tensor:
    """Return the matrix of each image that resamples its interval of one direction.

    Output position o looks at s + (o + 1/2) l / n_out, for an interval of length l from s on; the
    filter is a triangle of half-width max(l / n_out, 1), cut off at the ends of the interval and
    normalised.

    Parameters
    ----------
    starts, lengths : Tensor of shape (n,), float32
    n_in, n_out : int
    flips : Tensor of shape (n,), bool, or None
        Where the output is to be reversed.

    Returns
    -------
    Tensor of shape (n, n_out, n_in), float32
    """
    starts, lengths = starts.unsqueeze(1), lengths.unsqueeze(1)
    device = starts.device
    scales = lengths / n_out
    outputs = torch.arange(n_out, device=device, dtype=torch.float32) + 0.5
    if flips is not None:
        outputs = torch.where(flips.unsqueeze(1), n_out - outputs, outputs)
    centers = starts + outputs * scales
    inputs = torch.arange(n_in, device=device, dtype=torch.float32) + 0.5
    inside = (inputs > starts) & (inputs < starts + lengths)
    weights = inputs - centers.unsqueeze(2)
    weights.abs_().div_(-scales.clamp(min=1.0).unsqueeze(2)).add_(1.0).clamp_(min=0.0)
    weights.mul_(inside.unsqueeze(1))
    return weights.div_(weights.sum(dim=2, keepdim=True))


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64).mul_(high - low).add_(low)
