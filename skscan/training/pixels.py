"""Images as the pixels that a network is trained on: decoded once, all of one size."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skscan._files import allocate_array
from skscan._progress import progress
from skscan.exceptions import ImageReadError
from skscan.images import ImageCollection, SkippedImage
from skscan.images.loading import iter_batches
from skscan.training.checkpoints import hash_arrays

__all__ = ["PixelStore", "load_pixels"]

_MAX_BYTES_IN_MEMORY = 2**32
_DECODED_AT_ONCE = 64
_IMAGES_MEASURED = 10_000

Color = tuple[float, float, float]


class PixelStore:
    """Pixels by row.

    Parameters
    ----------
    pixels : ndarray of shape (n, 3, side, side), dtype uint8
        In memory, or mapped from a file.
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def side(self) -> int:
        """Height and width in pixels."""
        return self.pixels.shape[2]

    def take(self, rows: Tensor | np.ndarray, device: Any) -> Tensor:
        """Return the pixels of some rows, uint8 of shape (len(rows), 3, side, side)."""
        chosen = self.pixels[np.asarray(rows)]
        return torch.from_numpy(chosen).to(device, non_blocking=True)

    def features(
        self, compute: Callable[[np.ndarray], np.ndarray], at_once: int
    ) -> NDArray[np.float32]:
        """Return the features of all images, so many at once.

        Parameters
        ----------
        compute : callable
            From pixels of shape (b, side, side, 3) to features of shape (b, n_features).
        at_once : int

        Returns
        -------
        features : ndarray of shape (n, n_features)
        """
        pixels = self.pixels.transpose(0, 2, 3, 1)
        parts = [compute(pixels[start : start + at_once]) for start in range(0, len(self), at_once)]
        return np.concatenate(parts)

    def mean_and_std(self) -> tuple[Color, Color]:
        """Return mean and standard deviation of each color, for pixels in 0..1.

        Of at most 10,000 images, evenly spread. The deviation is at least 1/255, so that images of
        one color can be divided by it.
        """
        sample = self.pixels[:: len(self) // _IMAGES_MEASURED + 1]
        counts = np.zeros((3, 256), dtype=np.int64)
        for image in sample:  # one at a time: numpy would make numbers of 8 bytes of all at once
            for color, values in enumerate(image):
                counts[color] += np.bincount(values.ravel(), minlength=256)
        shares = counts / counts.sum(axis=1, keepdims=True)
        levels = np.arange(256) / 255
        mean = shares @ levels
        std = np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(axis=1))
        red, green, blue = zip(mean.tolist(), np.maximum(std, 1 / 255).tolist(), strict=True)
        return (red[0], green[0], blue[0]), (red[1], green[1], blue[1])

    def fingerprint(self) -> str:
        """Return a hash of all pixels."""
        return hash_arrays(self.pixels)


def load_pixels(
    images: ImageCollection, side: int, n_jobs: int | None = None, verbose: int = 0
) -> tuple[PixelStore, np.ndarray, list[SkippedImage]]:
    """Decode images, bring their shorter side to `side`, and cut out the centre.

    Parameters
    ----------
    images : ImageCollection
    side : int
        In pixels. Smaller images are enlarged.
    n_jobs : int or None
        As `skscan.images.loading.iter_batches`.
    verbose : int

    Returns
    -------
    pixels : PixelStore
        Of the readable images, in their order. More than 4 GiB are mapped from a temporary file in
        ``TMPDIR``, which goes when the store does.
    rows : ndarray of int
        Their numbers in the collection.
    skipped : list of SkippedImage

    Raises
    ------
    ImageReadError
        If no image can be read.
    OSError
        If there is no room for the temporary file.
    """
    shape = (len(images), 3, side, side)
    pixels = allocate_array(shape, np.uint8, "pixels", _MAX_BYTES_IN_MEMORY)
    rows: list[np.ndarray] = []
    skipped: list[SkippedImage] = []
    n_read = 0
    bar = progress(total=len(images), desc="decoding", unit="img", verbose=verbose)
    batches = iter_batches(images, side, _DECODED_AT_ONCE, n_jobs)
    # Closed at once in case of an error, so that no worker outlives the call.
    with bar, contextlib.closing(batches):
        for batch in batches:
            skipped += batch.skipped
            rows.append(batch.rows)
            pixels[n_read : n_read + len(batch.rows)] = batch.pixels.transpose(0, 3, 1, 2)
            n_read += len(batch.rows)
            bar.update(batch.n_images)
    if n_read == 0:
        first = f": {skipped[0].name}: {skipped[0].reason}" if skipped else ""
        raise ImageReadError(f"none of the {len(images)} images could be read{first}")
    return PixelStore(pixels[:n_read]), np.concatenate(rows), skipped
