"""STL-10 from its binary files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skscan.images import printable
from skscan.recipes.data import RecipeData, Split

__all__ = ["find_stl10", "read_stl10"]

_SIDE = 96
_IMAGE_BYTES = 3 * _SIDE * _SIDE
_N_CLASSES = 10
_NEEDED = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
_UNLABELED = "unlabeled_X.bin"
_NAMES = "class_names.txt"


def find_stl10(source: Path) -> Path | None:
    """Find the binary files of STL-10 in a folder or in ``stl10_binary`` below it.

    Returns
    -------
    folder : Path or None
    """
    for folder in (source, source / "stl10_binary"):
        if any((folder / name).is_file() for name in _NEEDED):
            return folder
    return None


def read_stl10(folder: Path) -> RecipeData:
    """Read STL-10.

    Parameters
    ----------
    folder : Path
        What `find_stl10` returned.

    Returns
    -------
    data : RecipeData
        Images are uint8 arrays of shape (n, 96, 96, 3), mapped from the files; `further` holds the
        unlabelled images if there are any, and a note says so if not.

    Raises
    ------
    ValueError
        If a file is missing, cut short or holds something else; the message names it.
    """
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise ValueError(
                f"{printable(str(folder))!r} is incomplete: {name} is missing of "
                f"{', '.join(_NEEDED)}"
            )
    train, test = (
        _split(folder / f"{name}_X.bin", folder / f"{name}_y.bin") for name in ("train", "test")
    )
    further, notes = None, []
    if (folder / _UNLABELED).is_file():
        further = _images(folder / _UNLABELED)
    else:
        notes.append(
            f"{_UNLABELED} is missing: the pretext task learns from the {len(train):,} train "
            "images alone"
        )
    if (folder / _NAMES).is_file():
        names = tuple((folder / _NAMES).read_text(encoding="utf-8", errors="replace").split())
        if len(names) != _N_CLASSES:
            raise ValueError(
                f"{printable(str(folder / _NAMES))}: {len(names)} names instead of {_N_CLASSES}"
            )
    else:
        names = tuple(map(str, range(_N_CLASSES)))
        notes.append(f"{_NAMES} is missing: classes go by number")
    return RecipeData("STL-10 as binary files", train, test, names, further, tuple(notes))


def _split(images_path: Path, labels_path: Path) -> Split:
    images = _images(images_path)
    labels = np.fromfile(labels_path, dtype=np.uint8).astype(np.int64)
    if len(labels) != len(images):
        raise ValueError(
            f"{printable(str(labels_path))}: {len(labels):,} labels for the {len(images):,} images "
            f"of {images_path.name}; one of the two is cut short"
        )
    if labels.min() < 1 or labels.max() > _N_CLASSES:
        raise ValueError(
            f"{printable(str(labels_path))}: labels go from {labels.min()} to {labels.max()}; "
            f"taken are 1 to {_N_CLASSES}"
        )
    return Split(images, labels - 1)


def _images(path: Path) -> NDArray[np.uint8]:
    n_bytes = path.stat().st_size
    if n_bytes == 0 or n_bytes % _IMAGE_BYTES:
        raise ValueError(
            f"{printable(str(path))}: {n_bytes:,} bytes are not a whole number of images of "
            f"{_IMAGE_BYTES:,} bytes; the file is cut short or no file of STL-10"
        )
    planes = np.memmap(path, dtype=np.uint8, mode="r").reshape(-1, 3, _SIDE, _SIDE)
    return planes.transpose(0, 3, 2, 1)  # stored column by column
