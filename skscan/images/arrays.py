"""Images as arrays: which ones are taken, and how they become pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image

from skscan.exceptions import ImageReadError

__all__ = ["array_to_rgb", "arrays_to_rgb", "check_image_array"]

# What resampling in floating point may leave over 1 or under 0.
_TOLERANCE = 1e-4

_BLOCK_BYTES = 2**24


def check_image_array(array: np.ndarray, argument: str) -> None:
    """Check an array of images.

    Parameters
    ----------
    array : ndarray
        Should be (n, h, w) or (n, h, w, 1 or 3), uint8, bool or float in 0..1.

    argument : str
        The name of the argument, for messages.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    if array.ndim not in (3, 4):
        raise ValueError(
            f"{argument} has shape {array.shape}, which is no array of images; {_SHAPES}"
        )
    # One RGB image is far likelier than many grey ones that are three pixels wide.
    if array.ndim == 3 and array.shape[2] == 3 and array.shape[1] > 3:
        raise ValueError(
            f"{argument} has shape {array.shape}, as one RGB image has; {_SHAPES}. "
            f"Give a single image as {argument}[None]"
        )
    if 0 in array.shape:
        raise ValueError(f"{argument} has shape {array.shape}: there is no image or no pixel in it")
    try:
        _check_layout(array[0])
        # Whole arrays at once would need a copy as large as themselves.
        step = max(1, _BLOCK_BYTES // array[0].nbytes)
        for start in range(0, len(array), step):
            _check_range(array[start : start + step])
    except ImageReadError as error:
        raise ValueError(f"{argument}: {error.reason}") from None


def array_to_rgb(array: np.ndarray) -> Image.Image:
    """Turn the array of one image into a picture.

    Parameters
    ----------
    array : ndarray of shape (h, w) or (h, w, 1 or 3), uint8, bool or float in 0..1

    Returns
    -------
    PIL.Image.Image
        Mode RGB; floats are rounded to 8 bits.

    Raises
    ------
    ImageReadError
        If it is anything else.
    """
    _check_layout(array)
    array = _to_uint8(array)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    return Image.fromarray(np.ascontiguousarray(array)).convert("RGB")


def arrays_to_rgb(images: np.ndarray) -> np.ndarray:
    """Convert an array of images to 8-bit RGB.

    Parameters
    ----------
    images : ndarray of shape (n, h, w) or (n, h, w, 1 or 3), uint8, bool or float in 0..1

    Returns
    -------
    ndarray of shape (n, h, w, 3), dtype uint8
        A view of `images` if these are that already; as `array_to_rgb` gives them one by one.

    Raises
    ------
    ImageReadError
        If floats are outside 0..1.
    """
    images = _to_uint8(images)
    if images.ndim == 3:
        images = images[..., None]
    return images if images.shape[3] == 3 else np.repeat(images, 3, axis=3)


def _to_uint8(array: np.ndarray) -> np.ndarray:
    _check_range(array)
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    return np.rint(np.clip(array, 0, 1) * np.float32(255)).astype(np.uint8)


_SHAPES = "taken are (n, h, w) and (n, h, w, 1 or 3)"


def _check_layout(image: np.ndarray) -> None:
    """Check the shape and dtype of one image."""
    if image.ndim not in (2, 3) or 0 in image.shape:
        raise ImageReadError(f"an array of shape {image.shape} is no image; taken are {_ONE_SHAPE}")
    if image.ndim == 3 and image.shape[2] not in (1, 3):
        hint = ""
        if image.shape[0] in (1, 3):
            hint = "; move the channels to the end with np.moveaxis(images, 1, -1)"
        elif image.shape[2] == 4:
            hint = "; leave out the alpha channel, or give PIL images"
        raise ImageReadError(
            f"an image of shape {image.shape} has {image.shape[2]} channels; "
            f"taken are {_ONE_SHAPE}{hint}"
        )
    if image.dtype not in (np.uint8, np.bool_) and image.dtype.kind != "f":
        raise ImageReadError(
            f"pixels are {image.dtype}; taken are uint8 (0..255) and float (0..1). "
            "Convert with images.astype(np.uint8) if they are 0..255"
        )


_ONE_SHAPE = "(h, w) and (h, w, 1 or 3)"


def _check_range(pixels: np.ndarray) -> None:
    """Check that float pixels are finite and lie in 0..1."""
    if pixels.dtype.kind != "f":
        return
    low, high = pixels.min(), pixels.max()
    if not np.isfinite(low) or not np.isfinite(high):
        raise ImageReadError("float pixels hold NaN or infinity; taken are finite ones in 0..1")
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        raise ImageReadError(
            f"float pixels go from {low:g} to {high:g}; taken are 0..1. "
            f"Scale them first, for instance {_advice(low, high)}"
        )


def _advice(low: float, high: float) -> str:
    """Suggest a scaling that would be the same for every batch of images."""
    if low >= 0 and high <= 255:
        return "images / 255, or give them as uint8"
    if low >= -1 and high <= 1:
        return "(images + 1) / 2"
    return "by the range that the images were made with"
