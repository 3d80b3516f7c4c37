"""Views of the same image as a network may just as well see it: mirrored, and closer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["MAX_VIEWS", "VIEWS", "View", "closer_box", "make_view"]

_CLOSER = 0.85
"""Side of a closer look, as a share of the image's."""


class View(NamedTuple):
    """Where a view looks, and whether it is mirrored."""

    top: float
    """Place of a closer look between the upper edge (0) and the lower (1)."""
    left: float
    side: float
    mirrored: bool


# Nothing is drawn: a view depends on the image alone, not on those beside it, so that an image has
# the same features in every call. Each further pair of views adds one of either handedness.
VIEWS = (
    View(0, 0, 1, mirrored=False),
    View(0, 0, 1, mirrored=True),
    View(0, 0, _CLOSER, mirrored=False),
    View(1, 1, _CLOSER, mirrored=True),
    View(0, 1, _CLOSER, mirrored=False),
    View(1, 0, _CLOSER, mirrored=True),
    View(0.5, 0.5, _CLOSER, mirrored=False),
    View(0.5, 0.5, _CLOSER, mirrored=True),
)

MAX_VIEWS = len(VIEWS)
"""How many different views there are."""


def make_view(pixels: np.ndarray, number: int) -> np.ndarray:
    """Give one view of each image.

    Parameters
    ----------
    pixels : ndarray of shape (n_images, side, side, 3), dtype uint8
    number : int
        From 0, the images themselves, up to ``MAX_VIEWS - 1``: 1 is their mirror image, the others
        look closer, at four corners and the middle, and every second is mirrored.

    Returns
    -------
    view : ndarray of shape (n_images, side, side, 3), dtype uint8
    """
    view = VIEWS[number]
    if view.side < 1:
        pixels = _closer(pixels, view)
    return np.ascontiguousarray(pixels[:, :, ::-1]) if view.mirrored else pixels


def closer_box(view: View, side: int) -> tuple[int, int, int]:
    """Tell where a view looks: the first row, the first column, and the side, in pixels."""
    cut = max(round(side * view.side), 1)
    top, left = (round(place * (side - cut)) for place in (view.top, view.left))
    return top, left, cut


def _closer(pixels: np.ndarray, view: View) -> np.ndarray:
    import torch

    side = pixels.shape[1]
    top, left, cut = closer_box(view, side)
    box = torch.from_numpy(pixels[:, top : top + cut, left : left + cut]).permute(0, 3, 1, 2)
    # Bytes with antialias are filtered as Pillow does, a tenth of the time that floats take.
    enlarged = torch.nn.functional.interpolate(
        box, size=(side, side), mode="bicubic", antialias=True
    )
    return enlarged.permute(0, 2, 3, 1).contiguous().numpy()
