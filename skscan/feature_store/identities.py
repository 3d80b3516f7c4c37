"""What an image is known by: its file, or its content."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np

from skscan.exceptions import ImageReadError
from skscan.images import ImageCollection
from skscan.images.archives import split_archive_path
from skscan.images.collection import ArrayImages, FileImages, ItemImages

__all__ = ["IDENTITY_BYTES", "image_identities"]

IDENTITY_BYTES = 16

_Entries = dict[str, tuple[int, int]]


def image_identities(images: ImageCollection) -> np.ndarray:
    """Return what each image of a collection is known by.

    A file is known by its absolute path, size and time of change; one in a zip by the path of the
    zip and the name, check sum and size of the entry; everything else by its content.

    Parameters
    ----------
    images : ImageCollection

    Returns
    -------
    identities : ndarray of shape (n_images, 2), dtype uint64
        A digest of 16 bytes each; 0 for images that cannot be read, which are known by nothing.
    """
    digests = b"".join(digest or bytes(IDENTITY_BYTES) for digest in _digests(images))
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def _digests(images: ImageCollection) -> Iterator[bytes | None]:
    archives: dict[str, _Entries] = {}
    if isinstance(images, FileImages):
        yield from (_of_file(path, archives) for path in images.names)
    elif isinstance(images, ArrayImages):
        yield from (_of_array(row) for row in images.array)
    else:
        items = images.items if isinstance(images, ItemImages) else [None] * len(images)
        for i, item in enumerate(items):
            yield _of_file(item, archives) if isinstance(item, str) else _of_pixels(images, i)


def _of_file(path: str, archives: dict[str, _Entries]) -> bytes | None:
    inside = split_archive_path(path)
    try:
        if inside is None:
            status = os.stat(path)
            return _digest("file", os.path.abspath(path), status.st_size, status.st_mtime_ns)
        archive, entry = inside
        if archive not in archives:
            archives[archive] = _entries(archive)
        return _digest("zip", os.path.abspath(archive), entry, *archives[archive][entry])
    except (OSError, KeyError):
        return None


def _entries(archive: str) -> _Entries:
    try:
        with zipfile.ZipFile(archive) as file:
            return {info.filename: (info.CRC, info.file_size) for info in file.infolist()}
    except (ValueError, zipfile.BadZipFile, NotImplementedError):
        return {}


def _of_array(array: np.ndarray) -> bytes:
    return _digest("array", array.shape, array.dtype.str, content=np.ascontiguousarray(array))


def _of_pixels(images: ImageCollection, i: int) -> bytes | None:
    try:
        return _of_array(np.asarray(images.read(i)))
    except ImageReadError:
        return None


def _digest(*parts: Any, content: Any = b"") -> bytes:
    digest = blake2b(repr(parts).encode("utf-8", "surrogateescape"), digest_size=IDENTITY_BYTES)
    digest.update(content)
    return digest.digest()
