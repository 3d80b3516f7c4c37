"""Features that are the pixels themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import StrOptions

from skscan.extractors.base import ImageFeatureExtractor

__all__ = ["LUMA", "PixelFeatureExtractor"]

_CHANNELS = {"grey": 1, "rgb": 3}

#: Luma of ITU-R BT.601, as in Pillow's conversion to grey.
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class PixelFeatureExtractor(ImageFeatureExtractor):
    """Turn images into the pixels of a small version of each.

    Fit for small, centred, simple images such as scanned digits, where it is better and much
    faster than a network trained on photographs; photographs are sorted by colour and layout
    at most. Nothing is learned from the images, so `transform` works without `fit`.

    Parameters
    ----------
    image_size : int, default=16
        Side of the small version in pixels. The shorter side of an image is resized to it and the
        centre cut out.

    channels : {"grey", "rgb"}, default="grey"
        Whether the features are brightness or colours.

    batch_size : int, default=256
        Images that are loaded at once. It does not change the features.

    errors : {"skip", "raise"}, default="skip"
        What to do with images that cannot be read: give them rows of NaN with a warning, or stop at
        the first.

    n_jobs : int or None, default=None
        Workers that decode images; see `TimmFeatureExtractor`.

    verbose : int, default=0
        1 shows a progress bar on stderr.

    See Also
    --------
    TimmFeatureExtractor : The features of a network.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import PixelFeatureExtractor
    >>> images = load_digits().images / 16
    >>> PixelFeatureExtractor(image_size=8).fit_transform(images).shape
    (1797, 64)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageFeatureExtractor._parameter_constraints,
        "channels": [StrOptions(set(_CHANNELS))],
    }

    def __init__(
        self,
        image_size: int = 16,
        *,
        channels: str = "grey",
        batch_size: int = 256,
        errors: str = "skip",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.image_size = image_size
        self.channels = channels
        self.batch_size = batch_size
        self.errors = errors
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _compute(self) -> Callable[[np.ndarray], np.ndarray]:
        return _to_grey if self.channels == "grey" else _to_colours

    @property
    def _n_features_out(self) -> int:
        return self.image_size**2 * _CHANNELS[self.channels]


def _to_grey(pixels: np.ndarray) -> np.ndarray:
    return (pixels @ LUMA / 255).reshape(len(pixels), -1)


def _to_colours(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1).astype(np.float32) / 255
