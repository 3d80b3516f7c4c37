"""From a picture of any size to the square that a network takes."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

__all__ = ["to_square"]


def to_square(image: Image.Image, size: int) -> np.ndarray:
    """Resize the shorter side to `size` and cut out the centre (SCAN, evaluation transform).

    Small images are enlarged. Filtering is bicubic, with antialiasing when shrinking. On
    photographs that are not square, this keeps neighbours of one class better together than
    squeezing the whole image into the square does.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB.

    size : int
        Side of the square in pixels.

    Returns
    -------
    ndarray of shape (size, size, 3), dtype uint8
    """
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC))
