"""Thumbnails beside a page, in files that outlast it: the next page of the same images uses them.

A file is named by what its image is known by, ``3f/3fa94c0d52e8b716.jpeg``, so that what is there
needs neither be read nor made nor written again when a report is made anew, or images are added.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b

from skscan.images.collection import FileImages
from skscan.report.remembering import RememberingImages
from skscan.report.thumbnail_store import thumbnail_keys
from skscan.report.thumbnails import IMAGE_TYPE, iter_thumbnails

__all__ = ["NAME_BYTES", "ThumbnailFolder", "ThumbnailSource", "thumbnails_of"]

NAME_BYTES = 8
_NO_NAME = bytes(NAME_BYTES)


@dataclass(frozen=True)
class ThumbnailSource:
    """The thumbnails of the images on a page.

    Parameters
    ----------
    names : sequence of bytes
        `NAME_BYTES` for the thumbnail of each image: those of equal names are equal. Zeros stand
        for images that cannot be read.
    get : callable
        From numbers of images to an iterator over their thumbnails: an image file, or None where
        the image cannot be read.
    """

    names: Sequence[bytes]
    get: Callable[[list[int]], Iterator[bytes | None]]


def thumbnails_of(images: FileImages, n_jobs: int | None) -> ThumbnailSource:
    """Return the thumbnails of image files, from the store of those that remember them.

    Parameters
    ----------
    images : FileImages
    n_jobs : int or None
        Threads that make thumbnails; None is one for each core.

    Returns
    -------
    source : ThumbnailSource
    """
    names = [
        blake2b(key, digest_size=NAME_BYTES).digest() if key else _NO_NAME
        for key in thumbnail_keys(images)
    ]
    if isinstance(images, RememberingImages):
        return ThumbnailSource(names, lambda rows: images.thumbnails(rows, n_jobs))
    return ThumbnailSource(names, lambda rows: iter_thumbnails(images, rows, n_jobs))


class ThumbnailFolder:
    """A folder of thumbnails.

    Parameters
    ----------
    folder : str
        Made, with its parents, when something is written.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def complete(self, source: ThumbnailSource, order: Sequence[int]) -> list[int]:
        """Write the thumbnails that are not there yet.

        Parameters
        ----------
        source : ThumbnailSource
        order : sequence of int
            Numbers of all images, in the order in which they are written.

        Returns
        -------
        missing : list of int
            Numbers of the images that cannot be read.

        Raises
        ------
        OSError
            If writing fails; what was written before stays, for the next time.
        """
        there = {file for _, file, size in self._files() if size}
        files = [_file_name(name) for name in source.names]
        wanted = {
            files[number]: number
            for number in order
            if source.names[number] != _NO_NAME and files[number] not in there
        }
        unreadable = {_file_name(_NO_NAME)}
        made: set[str] = set()
        thumbnails = source.get(list(wanted.values()))
        for file, thumbnail in zip(wanted, thumbnails, strict=True):
            if thumbnail is None:
                unreadable.add(file)
                continue
            place = os.path.join(self._folder, file[:2])
            if place not in made:
                os.makedirs(place, exist_ok=True)
                made.add(place)
            _write(os.path.join(place, file), thumbnail)
        return [number for number, file in enumerate(files) if file in unreadable]

    def remove_others(self, source: ThumbnailSource) -> None:
        """Remove the files that are of none of the images."""
        kept = {_file_name(name) for name in source.names}
        emptied = set()
        for folder, file, _ in self._files():
            if file not in kept or folder != file[:2]:
                with suppress(OSError):
                    os.unlink(os.path.join(self._folder, folder, file))
                emptied.add(folder)
        for folder in emptied:
            with suppress(OSError):  # it is not empty
                os.rmdir(os.path.join(self._folder, folder))

    def _files(self) -> list[tuple[str, str, int]]:
        """Return the folder, the name and the size of each file."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self._folder) as folders:
            for folder in folders:
                if folder.is_dir(follow_symlinks=False):
                    with os.scandir(folder.path) as files:
                        found += [
                            (folder.name, file.name, file.stat(follow_symlinks=False).st_size)
                            for file in files
                        ]
        return found


def _file_name(name: bytes) -> str:
    return f"{name.hex()}.{IMAGE_TYPE}"


def _write(path: str, thumbnail: bytes) -> None:
    """Write a file; what a full disk cuts short goes, and what a kill cuts short is empty."""
    try:
        with open(path, "wb", buffering=0) as file:
            if file.write(thumbnail) != len(thumbnail):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        raise
