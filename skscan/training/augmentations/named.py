"""Augmentations by the names that estimators take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from skscan.training.augmentations.base import Augmentation

__all__ = ["AUGMENTATIONS", "default_cutout", "make_augmentation"]

#: Names that estimators take.
AUGMENTATIONS = ("simclr", "moco", "standard", "strong")

_LARGEST_SMALL_IMAGE = 48


def make_augmentation(
    augmentation: str | Callable[..., Augmentation],
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    cutout: int | None = None,
) -> Augmentation:
    """Make the augmentation of a name.

    Parameters
    ----------
    augmentation : {"simclr", "moco", "standard", "strong"} or callable
        A callable is called with (size, mean, std).
    size : int
        Side of the square views in pixels.
    mean, std : sequence of 3 floats
        Normalisation for pixels in 0..1.
    cutout : int or None, default=None
        Largest side of the hole of ``"strong"``; None is `default_cutout`.

    Returns
    -------
    augmentation : Augmentation

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    from skscan.training.augmentations.views import SimCLRAugmentation, StandardAugmentation

    if callable(augmentation):
        return augmentation(size, mean, std)
    if augmentation == "strong":
        from skscan.training.augmentations.strong import StrongAugmentation

        return StrongAugmentation(size, mean, std, cutout=cutout or default_cutout(size))
    if augmentation in ("simclr", "moco"):
        return SimCLRAugmentation(size, mean, std, blur=augmentation == "moco")
    if augmentation == "standard":
        return StandardAugmentation(size, mean, std)
    raise ValueError(
        f"augmentation={augmentation!r} must be a callable or one of "
        f"{', '.join(map(repr, AUGMENTATIONS))}."
    )


def default_cutout(size: int) -> int:
    """Return the largest side of the hole that SCAN cuts: 16 of 32, 32 of 96, 75 of 224 pixels."""
    return max(round(size / 2 if size <= _LARGEST_SMALL_IMAGE else size / 3), 1)
