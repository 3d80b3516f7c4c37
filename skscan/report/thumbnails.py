"""Small copies of images, for a page that shows thousands of them."""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import joblib
from PIL import Image

from skscan.exceptions import ImageReadError
from skscan.images import ImageCollection

__all__ = ["IMAGE_TYPE", "SIDE", "encode_thumbnail", "iter_thumbnails", "make_thumbnail"]

SIDE = 128
"""Longer side in pixels; smaller images are left as they are."""

IMAGE_TYPE = "jpeg"
"""Their format, as in a MIME type: WebP takes a third less room and seven times the time."""

_QUALITY = 78
_SMALL = 48  # images up to this side are shown enlarged
_QUALITY_OF_SMALL = 97  # a grey level off on average, at full resolution of colours
_MAX_WORKERS = 8
_AHEAD = 64


def iter_thumbnails(
    images: ImageCollection, rows: Sequence[int], n_jobs: int | None = None
) -> Iterator[bytes | None]:
    """Give the thumbnail of each image, in the order of `rows`.

    Parameters
    ----------
    images : ImageCollection
    rows : sequence of int
    n_jobs : int or None, default=None
        Threads; None is one for each core, up to 8.

    Yields
    ------
    bytes or None
        An image file; None where the image can no longer be read.
    """
    n_workers = min(joblib.cpu_count(), _MAX_WORKERS) if n_jobs is None else n_jobs
    if n_workers < 0:
        n_workers = os.cpu_count() or 1
    with ThreadPoolExecutor(n_workers) as executor:
        under_way: deque[Future[bytes | None]] = deque()
        try:
            for row in rows:
                under_way.append(executor.submit(make_thumbnail, images, int(row)))
                if len(under_way) > _AHEAD:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def make_thumbnail(images: ImageCollection, row: int) -> bytes | None:
    """Return a small copy of an image as a file; None if the image cannot be read."""
    try:
        return encode_thumbnail(images.read(row, min_side=SIDE))
    except ImageReadError:
        return None


def encode_thumbnail(image: Image.Image) -> bytes:
    """Return a small copy of an image as a file; the image is left as it is.

    Parameters
    ----------
    image : PIL.Image.Image
        Mode RGB, no side of it shorter than the thumbnail's unless the whole image is.

    Returns
    -------
    bytes
    """
    if max(image.size) > SIDE:
        image = image.copy()
        image.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    if max(image.size) <= _SMALL:
        image.save(file, "JPEG", quality=_QUALITY_OF_SMALL, subsampling=0)
    else:
        image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
