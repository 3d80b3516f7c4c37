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
    is rounded, so the two differ by one grey level at most.

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
    boxes = boxes.to(pixels.device, torch.float32)
    down = _filter_taps(boxes[:, 0], boxes[:, 2], pixels.shape[2], size)
    flips = flips.to(pixels.device)
    across = _filter_taps(boxes[:, 1], boxes[:, 3], pixels.shape[3], size, flips)
    columns = pixels.transpose(2, 3).to(torch.float32, memory_format=torch.contiguous_format)
    rows = _weighted_rows(columns, *across).transpose(2, 3).contiguous()
    return _weighted_rows(rows, *down).div_(255.0)


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


def _filter_taps(
    starts: Tensor, lengths: Tensor, n_in: int, n_out: int, flips: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Return which inputs each output is made of when an interval of each image is resampled.

    Output o looks at s + (o + 1/2) l / n_out, for an interval of length l from s on; the filter is
    a triangle of half-width max(l / n_out, 1), cut off at the ends of the interval and normalised.

    Parameters
    ----------
    starts, lengths : Tensor of shape (n,), float32
    n_in, n_out : int
    flips : Tensor of shape (n,), bool, or None
        Where the output is to be reversed.

    Returns
    -------
    positions : Tensor of shape (n, n_out, n_taps), int64
    weights : Tensor of shape (n, n_out, n_taps), float32
        They add up to 1 for each output.
    """
    starts, lengths = starts.unsqueeze(1), lengths.unsqueeze(1)
    device = starts.device
    scales = lengths / n_out
    outputs = torch.arange(n_out, device=device) + 0.5
    if flips is not None:
        outputs = torch.where(flips.unsqueeze(1), n_out - outputs, outputs)
    centers = starts + outputs * scales
    half_widths = scales.clamp(min=1.0).unsqueeze(2)
    # As many as the widest filter of any interval can cover.
    taps = torch.arange(math.ceil(2 * max(n_in / n_out, 1.0)), device=device)
    positions = (centers.unsqueeze(2) - half_widths + 0.5).floor_() + taps
    weights = positions + 0.5 - centers.unsqueeze(2)
    weights.abs_().div_(-half_widths).add_(1.0).clamp_(min=0.0)
    starts, lengths = starts.unsqueeze(2), lengths.unsqueeze(2)
    weights.mul_((positions >= starts) & (positions < starts + lengths))
    weights.div_(weights.sum(dim=2, keepdim=True))
    return positions.clamp_(0, n_in - 1).long(), weights


def _weighted_rows(images: Tensor, positions: Tensor, weights: Tensor) -> Tensor:
    """Add up weighted rows of each image.

    Parameters
    ----------
    images : Tensor of shape (n, channels, height, width), float32
    positions, weights : Tensor of shape (n, n_out, n_taps)
        Row i of output image b is the sum over t of ``weights[b, i, t]`` times row
        ``positions[b, i, t]``, in all channels.

    Returns
    -------
    Tensor of shape (n, channels, n_out, width), float32
    """
    n, channels, height, width = images.shape
    n_out, n_taps = positions.shape[1:]
    channel_starts = torch.arange(n * channels, device=images.device).view(n, channels, 1, 1)
    rows = channel_starts * height + positions.unsqueeze(1)
    # The sum of looked-up vectors, made for bags of words, is just this sum of rows. On CPUs it
    # beats products with banded matrices, and autocasting leaves it in float32.
    sums = torch.nn.functional.embedding_bag(
        rows.view(-1, n_taps),
        images.view(-1, width),
        mode="sum",
        per_sample_weights=weights.unsqueeze(1).expand_as(rows).reshape(-1, n_taps),
    )
    return sums.view(n, channels, n_out, width)


def _uniform(shape: tuple[int, ...], low: float, high: float, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64).mul_(high - low).add_(low)
