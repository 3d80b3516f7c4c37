"""What an image collection is: images by number, each with a name, read one at a time."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import joblib
import numpy as np
from PIL import Image

from skscan.exceptions import ImageReadError
from skscan.images.archives import ImageArchive, split_archive_path
from skscan.images.arrays import array_to_rgb, arrays_to_rgb
from skscan.images.decoding import read_file, to_rgb

__all__ = [
    "ArrayImages",
    "DatasetImages",
    "FileImages",
    "ImageCollection",
    "ItemImages",
    "SkippedImage",
]

_SIZES_SAMPLED = 64


@dataclass(frozen=True)
class SkippedImage:
    """An image that could not be read.

    Attributes
    ----------
    index : int
        Its row in the collection.

    name : str
        Its path, or ``"image 17"``.

    reason : str
        What is wrong with it.
    """

    index: int
    name: str
    reason: str


class ImageCollection(ABC):
    """Images that can be counted, named and read one at a time.

    Attributes
    ----------
    names : list of str
        The path of each image, or ``"image 17"``; raw, so that files are found again by it. Use
        `skscan.images.printable` to show one.

    reading : {"files", "memory", "user code"}
        What reading an image means: decoding a file (worth worker processes), converting pixels
        that are in memory (worth a thread), or calling code of the user's (not to be called from
        elsewhere unless asked for).
    """

    reading: Literal["files", "memory", "user code"]
    names: list[str]

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Read one image.

        Parameters
        ----------
        i : int
            Its number.

        min_side : int or None, default=None
            The shorter side that will be shown, in pixels. Large JPEG files are decoded to a
            smaller size, though never below this one.

        Returns
        -------
        PIL.Image.Image
            Upright, mode RGB.

        Raises
        ------
        ImageReadError
            If the image cannot be read; its `reason` says why.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash that changes when the images do, to know cached features by.

        Files are known by path, size and time of change, everything else by its content.
        """


class FileImages(ImageCollection):
    """Images in files, plain or inside a zip.

    Parameters
    ----------
    paths : list of str
        The paths, those into a zip as ``"photos.zip/cats/1.jpg"``.

    Attributes
    ----------
    identities : ndarray of shape (n_images, 2), dtype uint64, or None
        What the files were known by when that was asked for the whole collection; None where it
        was not, and whoever wants to know asks the disk.
    """

    reading = "files"
    identities: np.ndarray | None = None

    def __init__(self, paths: list[str]) -> None:
        self.names = paths
        self._archives: dict[str, ImageArchive] = {}

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Decode image number `i`; see `ImageCollection.read`."""
        return self.read_path(self.names[i], min_side)

    def read_path(self, path: str, min_side: int | None = None) -> Image.Image:
        """Decode the image at a path; see `ImageCollection.read`."""
        inside = split_archive_path(path)
        if inside is None:
            return read_file(path, min_side)
        archive_path, entry = inside
        return self._archive(archive_path).read(entry, min_side)

    def take(self, rows: np.ndarray) -> FileImages:
        """Return the images of some rows, in the order given."""
        return FileImages([self.names[row] for row in rows])

    def estimate_bytes(self) -> int:
        """Estimate the size of all files together, from a few of them."""
        sample = self.names[:: len(self) // _SIZES_SAMPLED + 1]
        sizes = [self._file_size(path) for path in sample]
        return sum(sizes) * len(self) // len(sample)

    def _file_size(self, path: str) -> int:
        inside = split_archive_path(path)
        try:
            if inside is None:
                return os.path.getsize(path)
            return self._archive(inside[0]).packed_size(inside[1])
        except (OSError, ImageReadError):
            return 0

    def _archive(self, path: str) -> ImageArchive:
        if path not in self._archives:
            try:
                self._archives[path] = ImageArchive(path)
            except ValueError as error:
                raise ImageReadError(str(error)) from error
        return self._archives[path]

    def fingerprint(self) -> str:
        """Hash paths, sizes and times of change; see `ImageCollection.fingerprint`."""
        return joblib.hash([_identify_file(path) for path in self.names])


class ArrayImages(ImageCollection):
    """Images of one size in one array.

    Parameters
    ----------
    array : ndarray of shape (n, h, w) or (n, h, w, 1 or 3), uint8, bool or float in 0..1
        Checked already.
    """

    reading = "memory"

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.names = _numbered(len(array))

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Convert image number `i`; see `ImageCollection.read`."""
        return array_to_rgb(self.array[i])

    def are_squares_of(self, size: int) -> bool:
        """Tell whether the images are squares of a side, which `squares` gives as they are."""
        return self.array.shape[1:3] == (size, size)

    def squares(self, rows: range) -> np.ndarray:
        """Give square images as they are, in 8-bit RGB.

        Parameters
        ----------
        rows : range
            Consecutive ones.

        Returns
        -------
        ndarray of shape (len(rows), side, side, 3), dtype uint8
            A view where nothing has to be converted. What lies in a file is read into memory, so
            that whoever uses the images does not wait for the disk.
        """
        squares = arrays_to_rgb(self.array[rows.start : rows.stop])
        in_memory = not isinstance(self.array, np.memmap) and squares.flags.writeable
        return np.ascontiguousarray(squares) if in_memory else np.array(squares)

    def fingerprint(self) -> str:
        """Hash the array; see `ImageCollection.fingerprint`."""
        return joblib.hash(self.array)


class ItemImages(ImageCollection):
    """Images of any sizes in a list: PIL images, arrays and paths.

    Parameters
    ----------
    items : list of (PIL.Image.Image, ndarray or str)
        Paths as str.
    """

    reading = "memory"

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        numbered = _numbered(len(items))
        self.names = [
            item if isinstance(item, str) else name
            for item, name in zip(items, numbered, strict=True)
        ]
        self._files = FileImages([])

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Convert or decode image number `i`; see `ImageCollection.read`."""
        return read_item(self.items[i], min_side, self._files)

    def fingerprint(self) -> str:
        """Hash pixels, and files by their paths; see `ImageCollection.fingerprint`."""
        return joblib.hash(
            [
                _identify_file(item) if isinstance(item, str) else _hash_pixels(self, i)
                for i, item in enumerate(self.items)
            ]
        )


class DatasetImages(ImageCollection):
    """The images of a torch `Dataset`; labels and whatever else it gives are ignored.

    Parameters
    ----------
    dataset : torch.utils.data.Dataset
        Gives images, or tuples that begin with an image.
    """

    reading = "user code"

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self.names = _numbered(len(dataset))
        self._files = FileImages([])

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Ask the data set for image number `i`; see `ImageCollection.read`."""
        try:
            item = self.dataset[i]
        except Exception as error:
            raise ImageReadError(f"the data set raised {type(error).__name__}: {error}") from error
        if isinstance(item, tuple | list) and item:
            item = item[0]
        return read_item(item, min_side, self._files)

    def fingerprint(self) -> str:
        """Hash the pixels of every image; see `ImageCollection.fingerprint`."""
        return joblib.hash([_hash_pixels(self, i) for i in range(len(self))])


def read_item(item: Any, min_side: int | None, files: FileImages) -> Image.Image:
    """Read an image given as PIL image, array, tensor (channels first, as in torch) or path."""
    if isinstance(item, str):
        return files.read_path(item, min_side)
    if isinstance(item, Image.Image):
        try:
            return to_rgb(item)
        except ImageReadError:
            raise
        except Exception as error:  # Pillow raises nearly anything for closed and damaged files.
            reason = str(error) or type(error).__name__
            raise ImageReadError(f"the PIL image is closed or damaged ({reason})") from error
    if hasattr(item, "detach"):
        item = item.detach().cpu().numpy()
        if item.ndim == 3 and item.shape[0] in (1, 3):
            item = np.moveaxis(item, 0, -1)
    if isinstance(item, np.ndarray):
        return array_to_rgb(item)
    raise ImageReadError(f"a {type(item).__name__} is neither an image, an array nor a path")


def _numbered(n: int) -> list[str]:
    return [f"image {i}" for i in range(n)]


def _identify_file(path: str) -> tuple[str, int, int]:
    inside = split_archive_path(path)
    try:
        status = os.stat(path if inside is None else inside[0])
    except OSError:
        return path, -1, -1
    return path, status.st_size, status.st_mtime_ns


def _hash_pixels(images: ImageCollection, i: int) -> str:
    try:
        return joblib.hash(np.asarray(images.read(i)))
    except ImageReadError as error:
        return error.reason
