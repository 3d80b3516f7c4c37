"""From the bytes of an image file to upright 8-bit RGB pixels.

All formats come out the same: turned as EXIF says, 16-bit grey scaled to 8 bits, palettes and CMYK
converted, transparency laid on white, the first frame of an animation. Colour profiles are ignored.
Every failure is an `ImageReadError` whose reason a user can act on.
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from skscan.exceptions import ImageReadError

__all__ = ["FORMATS", "MAX_PIXELS", "decode", "has_image_extension", "read_file", "to_rgb"]

# Formats that need no outside program (EPS starts Ghostscript) and hold photographs or drawings.
# HEIF counts where a plugin such as pillow-heif has registered it.
FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF"),
    *("ICO", "PCX", "QOI", "SGI", "SUN", "TGA"),
)

# Pillow's own line for a possible decompression bomb: 2**30 bytes at 12 bytes a pixel.
MAX_PIXELS = 2**30 // 12

# 16-bit pixels are scaled by their full range, whatever part of it an image uses.
_MAX_UINT16 = 65535

_BACKGROUND = "white"

# EXIF's number for an image that stands as it was taken.
_UPRIGHT = 1

_EXTRA_EXTENSIONS = frozenset({".heic", ".heif", ".avif", ".webp"})


def has_image_extension(name: str) -> bool:
    """Tell whether a file name ends as those of images do."""
    extension = os.path.splitext(name)[1].lower()
    if extension in _EXTRA_EXTENSIONS:
        return True
    return Image.registered_extensions().get(extension) in FORMATS


def read_file(path: str, min_side: int | None = None) -> Image.Image:
    """Read an image file.

    Parameters
    ----------
    path : str
        Path of the file; undecodable bytes as surrogates, as `os.fsdecode` gives them.

    min_side : int or None, default=None
        See `decode`.

    Returns
    -------
    PIL.Image.Image
        The upright image, mode RGB.

    Raises
    ------
    ImageReadError
        If the file cannot be opened or holds no whole image.
    """
    try:
        # A pipe or device would block or never end, so it is not even opened.
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageReadError("a folder, whose images cannot be listed")
        if not stat.S_ISREG(mode):
            raise ImageReadError("not a regular file")
        with open(path, "rb") as stream:
            return decode(stream, min_side, path)
    except FileNotFoundError:
        broken_link = os.path.islink(path)
        raise ImageReadError("broken link" if broken_link else "file not found") from None
    except PermissionError:
        raise ImageReadError("permission denied") from None
    except (OSError, ValueError) as error:
        if isinstance(error, ImageReadError):
            raise
        raise ImageReadError(f"cannot be opened ({_message(error)})") from error


def decode(stream: IO[bytes], min_side: int | None = None, name: str = "") -> Image.Image:
    """Decode the image in a seekable binary stream.

    Parameters
    ----------
    stream : binary file
        Read from its start.

    min_side : int or None, default=None
        The image will be shown with about this many pixels on its shorter side. A large JPEG is
        then decoded straight to a smaller size (never below `min_side`), which is many times faster
        and lets even a 40,000 x 40,000 one through.

    name : str, default=""
        The name of the file; only its extension is used, to tell a damaged image from another file.

    Returns
    -------
    PIL.Image.Image
        The upright image, mode RGB.

    Raises
    ------
    ImageReadError
        If the stream holds no whole image, or one of more than `MAX_PIXELS` pixels.
    """
    header = stream.read(16)
    if not header:
        raise ImageReadError("empty file (0 bytes)")
    # Damaged files make Pillow's decoders raise nearly anything (struct.error, SyntaxError,
    # KeyError, zlib.error ...); whatever it is, this image is unreadable and others are not.
    try:
        image = _open(stream, header)
    except ImageReadError:
        raise
    except Exception as error:
        if not has_image_extension(name):  # a text file may begin like a picture
            raise ImageReadError(_why_unidentified(header, name)) from error
        raise ImageReadError(f"damaged ({_message(error)})") from error
    if image is None:
        raise ImageReadError(_why_unidentified(header, name))
    with image:
        try:
            if min_side is not None:
                image.draft(None, (min_side, min_side))
            _refuse_too_many_pixels(image)
            image.load()
            return _upright_rgb(image)
        except ImageReadError:
            raise
        except MemoryError as error:
            raise ImageReadError(f"out of memory at {_dimensions(image)}") from error
        except Exception as error:
            raise ImageReadError(f"damaged ({_message(error)})") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Turn an image upright and convert it to 8-bit RGB; the given image is left as it is.

    Parameters
    ----------
    image : PIL.Image.Image
        Of any mode.

    Returns
    -------
    PIL.Image.Image
        Mode RGB; transparent parts on white.

    Raises
    ------
    ImageReadError
        If the pixels have no known range (32-bit integers over 65535, floats outside 0..1).
    """
    upright = _upright_rgb(image)
    return image.copy() if upright is image else upright


def _upright_rgb(image: Image.Image) -> Image.Image:
    """Do the work of `to_rgb`; return the image itself where there is none."""
    # Broken EXIF data say nothing about the pixels: such an image stays as it lies in the file.
    with contextlib.suppress(Exception):
        # Asked first, because Pillow copies images that stand upright.
        if image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT) != _UPRIGHT:
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_uint8(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        backdrop = Image.new("RGBA", image.size, _BACKGROUND)
        image = Image.alpha_composite(backdrop, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_uint8(image: Image.Image) -> np.ndarray:
    """Scale the pixels of a 16-bit, 32-bit or float grey image to 0..255."""
    pixels = np.asarray(image)
    low, high = pixels.min(), pixels.max()
    top = 1 if image.mode == "F" else _MAX_UINT16
    if not (low >= 0 and high <= top):
        raise ImageReadError(
            f"grey values from {low:g} to {high:g} in mode {image.mode}; "
            f"only 0 to {top} can be scaled to 8 bits"
        )
    return np.rint(pixels * (255 / top)).astype(np.uint8)


def _open(stream: IO[bytes], header: bytes) -> Any:
    """Open the image with the first of `FORMATS` that takes it; None if none does.

    `PIL.Image.open` would judge the size before `draft` can lower it, by a process-wide limit and
    by warnings that are not safe to catch in threads.
    """
    Image.init()
    for name in FORMATS:
        if name not in Image.OPEN:
            continue
        factory, accepts = Image.OPEN[name]
        # Some plugins answer with a string that says why they can't; only True means yes.
        if accepts is not None and accepts(header) is not True:
            continue
        stream.seek(0)
        try:
            return factory(stream, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue  # How plugins say "not mine" after a closer look.
    return None


def _refuse_too_many_pixels(image: Image.Image) -> None:
    width, height = image.size
    # A progressive JPEG is held whole before it is scaled down, so there `draft` saves no memory.
    scale = getattr(image, "decoderconfig", None)
    if image.info.get("progressive") and scale:
        width, height = width * scale[0], height * scale[0]
    if width * height > MAX_PIXELS:
        raise ImageReadError(
            f"too large ({width} x {height} pixels; at most {MAX_PIXELS // 10**6} megapixels)"
        )


def _why_unidentified(header: bytes, name: str) -> str:
    extension = os.path.splitext(name)[1]
    if header[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"):
        return "HEIC image, which needs a Pillow plugin such as pillow-heif"
    if has_image_extension(name):
        return f"damaged, or not an image in spite of its name (*{extension})"
    return f"not an image (*{extension})" if extension else "not an image"


def _dimensions(image: Image.Image) -> str:
    return f"{image.width} x {image.height} pixels"


def _message(error: Exception) -> str:
    text = (getattr(error, "strerror", None) or str(error)).strip()
    return text or type(error).__name__
