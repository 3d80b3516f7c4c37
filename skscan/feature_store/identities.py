"""What an image is known by: its file, or its content."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np

from skscan.exceptions import ImageReadError
from skscan.images import ImageCollection
from skscan.images.archives import split_archive_path
from skscan.images.collection import ArrayImages, FileImages, ItemImages

__all__ = ["IDENTITY_BYTES", "file_states", "identities_of_files", "image_identities", "version_of"]

IDENTITY_BYTES = 16

FileState = tuple[str | int, ...]
"""What a file is known by: its kind, its place, and two numbers that tell its versions apart."""

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
    if isinstance(images, FileImages):
        if images.identities is not None:
            return images.identities
        return identities_of_files(file_states(images.names))
    return _as_identities(_digests(images))


def file_states(paths: Sequence[str]) -> list[FileState | None]:
    """Ask the disk about image files, each once.

    Parameters
    ----------
    paths : sequence of str
        As for `FileImages`.

    Returns
    -------
    states : list of tuple or None
        None for a file that is not there.
    """
    files = _Files()
    return [files.state(path) for path in paths]


def identities_of_files(states: Iterable[FileState | None]) -> np.ndarray:
    """Return what files of some states are known by, see `image_identities`."""
    return _as_identities(None if state is None else _digest(*state) for state in states)


def version_of(state: FileState | None) -> str:
    """Return what tells the versions of one file apart, wherever it lies.

    Size and time of change of a file, check sum and size of an entry in a zip; empty for a file
    that is not there.
    """
    return "" if state is None else "-".join(map(str, state[-2:]))


def _as_identities(digests: Iterable[bytes | None]) -> np.ndarray:
    raw = b"".join(digest or bytes(IDENTITY_BYTES) for digest in digests)
    return np.frombuffer(raw, dtype="<u8").reshape(-1, 2)


def _digests(images: ImageCollection) -> Iterator[bytes | None]:
    if isinstance(images, ArrayImages):
        yield from (_of_array(row) for row in images.array)
        return
    files = _Files()
    items = images.items if isinstance(images, ItemImages) else [None] * len(images)
    for i, item in enumerate(items):
        if isinstance(item, str):
            state = files.state(item)
            yield None if state is None else _digest(*state)
        else:
            yield _of_pixels(images, i)


class _Files:
    """States of files; what is the same for all files of a folder or zip is found once."""

    def __init__(self) -> None:
        self._archives: dict[str, _Entries] = {}
        self._folders: dict[str, str] = {}

    def state(self, path: str) -> FileState | None:
        inside = split_archive_path(path)
        try:
            if inside is None:
                status = os.stat(path)
                return "file", self._absolute(path), status.st_size, status.st_mtime_ns
            archive, entry = inside
            if archive not in self._archives:
                self._archives[archive] = _entries(archive)
            return "zip", self._absolute(archive), entry, *self._archives[archive][entry]
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
