"""Images inside a zip, read in place.

Nothing is unpacked to disk. An entry that no honest archive holds (a name that leaves the archive,
a link, a bomb) is refused by itself, with a reason; the rest of the archive stays usable.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from PIL import Image

from skscan.exceptions import ImageReadError
from skscan.images.decoding import decode
from skscan.images.names import is_visible, printable

__all__ = ["ImageArchive", "split_archive_path"]

# A larger entry is no photograph. It also bounds the memory that one entry takes.
_MAX_BYTES = 2**28

# Beyond the second size, an entry that shrank to less than 1/200 is taken for a bomb.
_MAX_RATIO = 200
_RATIO_MATTERS_FROM = 2**25


class ImageArchive:
    """The images in a zip file.

    Copies that are pickled to other processes open the file anew there.

    Parameters
    ----------
    path : str
        Path of the zip file.

    Attributes
    ----------
    entries : list of str
        Sorted names of all visible files in the zip.

    Raises
    ------
    ValueError
        If the file is no readable zip.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        try:
            infos = self._open().infolist()
        except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(
                f"{printable(path)!r} is neither a folder nor a readable zip ({error})"
            ) from error
        names = {info.filename for info in infos if not info.is_dir()}
        self.entries = sorted(_visible(names))

    def read(self, entry: str, min_side: int | None = None) -> Image.Image:
        """Decode one entry.

        Parameters
        ----------
        entry : str
            Its name in the zip.

        min_side : int or None, default=None
            See `skscan.images.decoding.decode`.

        Returns
        -------
        PIL.Image.Image
            Mode RGB.

        Raises
        ------
        ImageReadError
            If there is no such entry, it is refused or it holds no whole image.
        """
        return decode(io.BytesIO(self.read_bytes(entry)), min_side, entry)

    def read_bytes(self, entry: str) -> bytes:
        """Return the file that an entry holds, as it is.

        Raises
        ------
        ImageReadError
            If there is no such entry, it is refused or damaged.
        """
        info = self._info(entry)
        _refuse_unsafe(info)
        try:
            return self._open().read(info)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise ImageReadError(f"damaged in the zip ({error})") from error
        except (NotImplementedError, RuntimeError) as error:
            raise ImageReadError(f"cannot be unpacked ({error})") from error

    def packed_size(self, entry: str) -> int:
        """Return the bytes that an entry takes in the zip."""
        return self._info(entry).compress_size

    def _info(self, entry: str) -> zipfile.ZipInfo:
        try:
            return self._open().getinfo(entry)
        except KeyError:
            raise ImageReadError("not in the zip") from None

    def _open(self) -> zipfile.ZipFile:
        if self._zip is None:
            self._zip = zipfile.ZipFile(self.path)
        return self._zip

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}


def split_archive_path(path: str) -> tuple[str, str] | None:
    """Split ``"photos.zip/cats/1.jpg"`` into the zip and the entry.

    Parameters
    ----------
    path : str
        Any path.

    Returns
    -------
    (str, str) or None
        The path of the zip file and the name of the entry; None if the path leads into no zip.
    """
    # A cheap look at the text first: lists of a million plain files should cost no system calls.
    lowered = path.lower()
    end = lowered.find(".zip/")
    while end >= 0:
        archive = path[: end + 4]
        if os.path.isfile(archive):
            return archive, path[end + 5 :]
        end = lowered.find(".zip/", end + 1)
    return None


def _refuse_unsafe(info: zipfile.ZipInfo) -> None:
    parts = _parts(info.filename)
    if ".." in parts or parts[:1] == ["/"] or PureWindowsPath(info.filename).anchor:
        raise ImageReadError("refused: its name leads out of the zip")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise ImageReadError("refused: a link, which could lead out of the zip")
    if info.flag_bits & 1:
        raise ImageReadError("encrypted; unpack the zip with its password first")
    if info.file_size > _MAX_BYTES:
        raise ImageReadError(
            f"refused: unpacks to {info.file_size >> 20:,} MiB (at most {_MAX_BYTES >> 20} MiB)"
        )
    ratio = info.file_size / max(info.compress_size, 1)
    if info.file_size > _RATIO_MATTERS_FROM and ratio > _MAX_RATIO:
        raise ImageReadError(f"refused: unpacks to {ratio:,.0f} times its size, as zip bombs do")


def _visible(names: Iterable[str]) -> Iterator[str]:
    """Yield the names of which no part is hidden; folders are looked at once each."""
    folders: dict[str, bool] = {}
    for name in names:
        folder, _, last = name.replace("\\", "/").rpartition("/")
        if folder not in folders:
            folders[folder] = all(map(is_visible, _parts(folder)))
        if folders[folder] and is_visible(last):
            yield name


def _parts(entry: str) -> list[str]:
    return list(PurePosixPath(entry.replace("\\", "/")).parts)
