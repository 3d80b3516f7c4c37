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
    zip and the name, check sum and size of the entry; everything else by its content. Collections
    that hold their `identities` are not asked again.

    Parameters
    ----------
    images : ImageCollection

    Returns
    -------
    identities : ndarray of shape (n_images, 2), dtype uint64
        A digest of 16 bytes each; 0 for images that cannot be read, which are known by nothing.
    """
    if isinstance(images, FileImages) and images.identities is not None:
        return images.identities
    digests = b"".join(digest or bytes(IDENTITY_BYTES) for digest in _digests(images))
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def _digests(images: ImageCollection) -> Iterator[bytes | None]:
    files = _Files()
    if isinstance(images, FileImages):
        yield from map(files.digest, images.names)
    elif isinstance(images, ArrayImages):
        yield from (_of_array(row) for row in images.array)
    else:
        items = images.items if isinstance(images, ItemImages) else [None] * len(images)
        for i, item in enumerate(items):
            yield files.digest(item) if isinstance(item, str) else _of_pixels(images, i)


class _Files:
    """Digests of files; what is the same for all files of a folder or zip is found once."""

    def __init__(self) -> None:
        self._archives: dict[str, _Entries] = {}
        self._folders: dict[str, str] = {}

    def digest(self, path: str) -> bytes | None:
        inside = split_archive_path(path)
        try:
            if inside is None:
                status = os.stat(path)
                return _digest("file", self._absolute(path), status.st_size, status.st_mtime_ns)
            archive, entry = inside
            if archive not in self._archives:
                self._archives[archive] = _entries(archive)
            return _digest("zip", self._absolute(archive), entry, *self._archives[archive][entry])
        except (OSError, KeyError):
            return None

    def _absolute(self, path: str) -> str:
        """Return `os.path.abspath` of a path, which takes longer than the rest of the work."""
        folder, name = os.path.split(path)
        if not name or name in (os.curdir, os.pardir):
            return os.path.abspath(path)
        if folder not in self._folders:
            self._folders[folder] = os.path.join(os.path.abspath(folder), "")
        return self._folders[folder] + name


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
