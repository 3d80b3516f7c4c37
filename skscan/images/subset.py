"""Some images of a collection."""

from __future__ import annotations

import joblib
import numpy as np
from PIL import Image

from skscan.images.collection import ArrayImages, FileImages, ImageCollection, ItemImages

__all__ = ["subset"]


def subset(images: ImageCollection, rows: np.ndarray) -> ImageCollection:
    """Return a collection of some images of another one.

    Parameters
    ----------
    images : ImageCollection
    rows : ndarray of int
        Their numbers, in the order wanted.

    Returns
    -------
    images : ImageCollection
        The same one where `rows` are all of them, in order. No pixels are copied, and what is
        pickled holds those of `rows` alone, but for a data set and for scattered rows of an array.
    """
    if len(rows) == len(images) and np.array_equal(rows, np.arange(len(rows))):
        return images
    if isinstance(images, FileImages):
        return images.take(rows)
    part: ImageCollection
    if isinstance(images, ArrayImages) and len(rows) and (np.diff(rows) == 1).all():
        part = ArrayImages(images.array[rows[0] : rows[-1] + 1])
    elif isinstance(images, ItemImages):
        part = ItemImages([images.items[row] for row in rows])
    else:
        return _Subset(images, rows)
    part.names = [images.names[row] for row in rows]
    return part


class _Subset(ImageCollection):
    def __init__(self, images: ImageCollection, rows: np.ndarray) -> None:
        self.reading = images.reading
        self.names = [images.names[row] for row in rows]
        self._images, self._rows = images, rows

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Read one of them; see `ImageCollection.read`."""
        return self._images.read(int(self._rows[i]), min_side)

    def fingerprint(self) -> str:
        """Hash those of the whole collection and the rows; see `ImageCollection.fingerprint`."""
        return joblib.hash((self._images.fingerprint(), self._rows))
