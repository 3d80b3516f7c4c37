"""A batch of images, and how one is loaded in parts."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from PIL import Image

from skscan.exceptions import ImageReadError
from skscan.images.collection import ArrayImages, ImageCollection, SkippedImage
from skscan.images.transforms import to_square

__all__ = ["ImageBatch", "Plan", "Size", "in_order", "load"]

#: Side of the squares in pixels, or several, the largest first.
Size = int | tuple[int, ...]


@dataclass(frozen=True)
class ImageBatch:
    """A few images of a collection.

    Attributes
    ----------
    rows : ndarray of int
        Their numbers in the collection, ascending; those of unreadable images are missing.

    pixels : ndarray of shape (len(rows), size, size, 3), dtype uint8
        The images; not to be written to, since it may be the user's own array.

    skipped : list of SkippedImage
        The unreadable images between them.

    n_images : int
        How many images the batch stands for, skipped ones included.

    seconds_decoding : float
        CPU time that reading, decoding and resizing them took.

    smaller : dict of int to ndarray
        The same images at smaller sides, where several were asked for.
    """

    rows: np.ndarray
    pixels: np.ndarray
    skipped: list[SkippedImage]
    n_images: int
    seconds_decoding: float
    smaller: dict[int, np.ndarray] = field(default_factory=dict)

    def pixels_of(self, side: int) -> np.ndarray:
        """Give the images at one of the sides that were asked for."""
        return self.smaller.get(side, self.pixels)


@dataclass(frozen=True)
class Plan:
    """How the loading of a collection is divided.

    Attributes
    ----------
    n_images : int
        In the collection.

    batch_size : int
        Images in a batch.

    part_size : int
        Images of a batch that are one task of a worker.

    n_ahead : int
        Batches that are under way while one is used.
    """

    n_images: int
    batch_size: int
    part_size: int
    n_ahead: int

    def batches(self) -> Iterator[range]:
        """Give the rows of each batch."""
        return _pieces(range(self.n_images), self.batch_size)

    def parts(self, batch: range) -> Iterator[range]:
        """Give the rows of each part of a batch."""
        return _pieces(batch, self.part_size)


def _pieces(rows: range, size: int) -> Iterator[range]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def in_order(
    plan: Plan, begin: Callable[[range], Any], finish: Callable[[range, Any], ImageBatch]
) -> Iterator[ImageBatch]:
    """Give batches in order, with a bounded number of them under way.

    Parameters
    ----------
    plan : Plan

    begin : callable
        Begins to load rows and returns something to know that by, at once.

    finish : callable
        Takes the rows and that, and waits for them.

    Yields
    ------
    ImageBatch
    """
    under_way: deque[list[tuple[range, Any]]] = deque()
    for batch in plan.batches():
        under_way.append([(part, begin(part)) for part in plan.parts(batch)])
        if len(under_way) > plan.n_ahead:
            yield _joined([finish(*part) for part in under_way.popleft()])
    while under_way:
        yield _joined([finish(*part) for part in under_way.popleft()])


def _joined(parts: list[ImageBatch]) -> ImageBatch:
    if len(parts) == 1:
        return parts[0]
    return ImageBatch(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.pixels for part in parts]),
        [skipped for part in parts for skipped in part.skipped],
        sum(part.n_images for part in parts),
        sum(part.seconds_decoding for part in parts),
        {side: np.concatenate([part.smaller[side] for part in parts]) for side in parts[0].smaller},
    )


def load(
    images: ImageCollection, size: Size, rows: range, stop: threading.Event | None = None
) -> ImageBatch:
    """Load images as squares.

    Parameters
    ----------
    images : ImageCollection

    size : int or tuple of int
        Side of the squares in pixels; see `skscan.images.loading.iter_batches`.

    rows : range
        Which images.

    stop : threading.Event or None, default=None
        When it is set, the rest is left out.

    Returns
    -------
    ImageBatch
    """
    if isinstance(size, tuple):
        return _load_at_several_sides(images, size, rows, stop)
    started = time.thread_time()
    readable, skipped = list(rows), list[SkippedImage]()
    if isinstance(images, ArrayImages) and images.are_squares_of(size):
        pixels = images.squares(rows)
    else:
        pixels, readable, skipped = _load_each(images, size, rows, stop)
    return ImageBatch(
        np.array(readable, dtype=np.intp),
        pixels,
        skipped,
        len(rows),
        time.thread_time() - started,
    )


class _AtSeveralSides(ImageCollection):
    """Images of which squares of smaller sides are made when they are read for the largest."""

    def __init__(self, images: ImageCollection, smaller: tuple[int, ...]) -> None:
        self.reading, self.names = images.reading, images.names
        self._images = images
        self.squares: dict[int, dict[int, np.ndarray]] = {side: {} for side in smaller}

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        image = self._images.read(i, min_side)
        for side, squares in self.squares.items():
            # A JPEG might be decoded at half the size or less, which gives other pixels.
            same = min(image.size) < 2 * side
            squares[i] = to_square(image if same else self._images.read(i, side), side)
        return image

    def fingerprint(self) -> str:
        return self._images.fingerprint()


def _load_at_several_sides(
    images: ImageCollection, sides: tuple[int, ...], rows: range, stop: threading.Event | None
) -> ImageBatch:
    at_sides = _AtSeveralSides(images, sides[1:])
    batch = load(at_sides, sides[0], rows, stop)
    smaller = {}
    for side, squares in at_sides.squares.items():
        smaller[side] = np.empty((len(batch.rows), side, side, 3), dtype=np.uint8)
        for place, row in enumerate(batch.rows):
            smaller[side][place] = squares[row]
    return replace(batch, smaller=smaller)


def _load_each(
    images: ImageCollection, size: int, rows: range, stop: threading.Event | None
) -> tuple[np.ndarray, list[int], list[SkippedImage]]:
    pixels = np.empty((len(rows), size, size, 3), dtype=np.uint8)
    readable: list[int] = []
    skipped: list[SkippedImage] = []
    for row in rows:
        if stop is not None and stop.is_set():
            break
        try:
            pixels[len(readable)] = to_square(images.read(row, min_side=size), size)
            readable.append(row)
        except ImageReadError as error:
            skipped.append(SkippedImage(row, images.names[row], error.reason))
    return pixels[: len(readable)], readable, skipped
