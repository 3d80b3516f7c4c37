"""What is said of images that could not be read."""

from __future__ import annotations

import warnings

from skscan.exceptions import ImageReadError, SkippedImagesWarning
from skscan.images import SkippedImage, printable

__all__ = ["summary", "tell_of_skipped"]

_SKIPPED_SHOWN = 3


def tell_of_skipped(
    skipped: list[SkippedImage], n_images: int, errors: str, consequence: str
) -> None:
    """Warn of images that could not be read, or raise.

    Parameters
    ----------
    skipped : list of SkippedImage
        At least one.
    n_images : int
        How many images there are in all.
    errors : {"skip", "raise"}
    consequence : str
        What becomes of them.

    Raises
    ------
    ImageReadError
        With ``errors="raise"``.
    """
    if errors == "raise":
        raise _as_error(skipped[0])
    warnings.warn(
        f"{len(skipped)} of {n_images} images could not be read; {consequence}. "
        f'{summary(skipped)} Mend or remove them, or stop at the first with errors="raise".',
        SkippedImagesWarning,
        stacklevel=3,
    )


def _as_error(image: SkippedImage) -> ImageReadError:
    return ImageReadError(image.reason, printable(image.name))


def summary(skipped: list[SkippedImage]) -> str:
    """Return the reasons for the first of some images, and how many more there are."""
    shown = "; ".join(str(_as_error(image)) for image in skipped[:_SKIPPED_SHOWN])
    more = len(skipped) - _SKIPPED_SHOWN
    return f"{shown}{f'; and {more} more' if more > 0 else ''}."
