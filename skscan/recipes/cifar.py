"""CIFAR-10 and CIFAR-100, from the Python pickles and from the binary files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skscan.images import printable
from skscan.recipes.data import RecipeData, Split
from skscan.recipes.safe_pickle import read_plain_pickle

__all__ = ["CifarFolder", "find_cifar", "read_cifar"]

_SIDE = 32
_PIXEL_BYTES = 3 * _SIDE * _SIDE


class CifarFolder(NamedTuple):
    """Where the files lie and which kind they are."""

    path: Path
    binary: bool


class _Files(NamedTuple):
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]


_FILES = {
    (10, False): _Files(
        "cifar-10-batches-py", tuple(f"data_batch_{i}" for i in range(1, 6)), ("test_batch",)
    ),
    (10, True): _Files(
        "cifar-10-batches-bin",
        tuple(f"data_batch_{i}.bin" for i in range(1, 6)),
        ("test_batch.bin",),
    ),
    (100, False): _Files("cifar-100-python", ("train",), ("test",)),
    (100, True): _Files("cifar-100-binary", ("train.bin",), ("test.bin",)),
}


def find_cifar(source: Path, n_classes: int) -> CifarFolder | None:
    """Find the files of CIFAR-10 or CIFAR-100 in a folder or one below.

    Parameters
    ----------
    source : Path
        Any path.

    n_classes : {10, 100}
        Which of the two.

    Returns
    -------
    found : CifarFolder or None
        None if there is neither the pickles nor the binary files.
    """
    for binary in (False, True):
        files = _FILES[n_classes, binary]
        for folder in (source, source / files.folder):
            # one file is enough: that others are missing is then said by name
            if any((folder / name).is_file() for name in (*files.train, *files.test)):
                return CifarFolder(folder, binary)
    return None


def read_cifar(found: CifarFolder, n_classes: int, coarse: bool = False) -> RecipeData:
    """Read CIFAR-10 or CIFAR-100.

    Parameters
    ----------
    found : CifarFolder
        What `find_cifar` returned.

    n_classes : {10, 100}
        Which of the two.

    coarse : bool, default=False
        Take the 20 super-classes of CIFAR-100 as classes.

    Returns
    -------
    data : RecipeData
        Images are uint8 arrays of shape (n, 32, 32, 3).

    Raises
    ------
    ValueError
        If a file is missing, cut short, unsafe or holds something else; the message names it.
    """
    files = _FILES[n_classes, found.binary]
    for name in (*files.train, *files.test):
        if not (found.path / name).is_file():
            raise ValueError(
                f"{printable(str(found.path))!r} is incomplete: {name} is missing of "
                f"{', '.join((*files.train, *files.test))}"
            )
    read = _read_binary if found.binary else _read_pickle
    n_names = 20 if coarse else n_classes

    def split(names: tuple[str, ...]) -> Split:
        parts = [read(found.path / name, n_classes, coarse) for name in names]
        images = np.concatenate([pixels for pixels, _ in parts])
        labels = np.concatenate([labels for _, labels in parts])
        if labels.min() < 0 or labels.max() >= n_names:
            raise ValueError(
                f"{printable(str(found.path / names[0]))}: labels go from {labels.min()} to "
                f"{labels.max()}; taken are 0 to {n_names - 1}"
            )
        return Split(images, labels)

    kind = "binary files" if found.binary else "Python pickles"
    title = "CIFAR-100-20" if coarse else f"CIFAR-{n_classes}"
    names_of_classes, notes = _class_names(found, n_classes, coarse)
    return RecipeData(
        f"{title} as {kind}", split(files.train), split(files.test), names_of_classes, notes=notes
    )


def _read_pickle(
    path: Path, n_classes: int, coarse: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batch = _with_text_keys(read_plain_pickle(path), path)
    key = "labels" if n_classes == 10 else "coarse_labels" if coarse else "fine_labels"
    for name in ("data", key):
        if name not in batch:
            raise ValueError(
                f"{printable(str(path))}: no {name!r} in it, only {sorted(batch)}; it is no batch "
                f"of CIFAR-{n_classes}"
            )
    pixels = batch["data"]
    if (
        not isinstance(pixels, np.ndarray)
        or pixels.dtype != np.uint8
        or pixels.ndim != 2
        or pixels.shape[1] != _PIXEL_BYTES
    ):
        got = (
            f"{pixels.dtype} of shape {pixels.shape}"
            if isinstance(pixels, np.ndarray)
            else type(pixels).__name__
        )
        raise ValueError(
            f"{printable(str(path))}: 'data' is {got}; taken is uint8 of shape (n, {_PIXEL_BYTES})"
        )
    try:
        labels = np.asarray(batch[key], dtype=np.int64)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"{printable(str(path))}: {key!r} is no list of whole numbers") from None
    if labels.shape != (len(pixels),) or len(pixels) == 0:
        raise ValueError(
            f"{printable(str(path))}: {len(pixels)} images and {labels.size} labels; both should "
            "be as many, and at least one"
        )
    return _to_images(pixels), labels


def _with_text_keys(batch: Any, path: Path) -> dict[str, Any]:
    if not isinstance(batch, dict):
        raise ValueError(f"{printable(str(path))}: holds a {type(batch).__name__}, no dictionary")
    return {
        key.decode("latin1") if isinstance(key, bytes) else str(key): value
        for key, value in batch.items()
    }


def _read_binary(
    path: Path, n_classes: int, coarse: bool
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    n_labels = 1 if n_classes == 10 else 2
    size = n_labels + _PIXEL_BYTES
    content = np.fromfile(path, dtype=np.uint8)
    if len(content) == 0 or len(content) % size:
        raise ValueError(
            f"{printable(str(path))}: {len(content):,} bytes are not a whole number of images of "
            f"{size:,} bytes; the file is cut short or no binary file of CIFAR-{n_classes}"
        )
    records = content.reshape(-1, size)
    # CIFAR-100 gives the super-class before the class
    labels = records[:, 0 if coarse else n_labels - 1].astype(np.int64)
    return _to_images(records[:, n_labels:]), labels


def _to_images(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    planes = pixels.reshape(-1, 3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _class_names(
    found: CifarFolder, n_classes: int, coarse: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    n_names = 20 if coarse else n_classes
    try:
        names = (_names_of_binary if found.binary else _names_of_pickle)(
            found.path, n_classes, coarse
        )
    except FileNotFoundError as error:
        missing = Path(error.filename).name
        return tuple(map(str, range(n_names))), (f"{missing} is missing: classes go by number",)
    if len(names) != n_names:
        raise ValueError(
            f"{printable(str(found.path))!r} names {len(names)} classes instead of {n_names}"
        )
    return names, ()


def _names_of_pickle(folder: Path, n_classes: int, coarse: bool) -> tuple[str, ...]:
    path = folder / ("batches.meta" if n_classes == 10 else "meta")
    key = "label_names" if n_classes == 10 else f"{'coarse' if coarse else 'fine'}_label_names"
    names = _with_text_keys(read_plain_pickle(path), path).get(key)
    if not isinstance(names, list):
        raise ValueError(f"{printable(str(path))}: no {key!r} in it")
    return tuple(name.decode("latin1") if isinstance(name, bytes) else str(name) for name in names)


def _names_of_binary(folder: Path, n_classes: int, coarse: bool) -> tuple[str, ...]:
    kind = "coarse" if coarse else "fine"
    path = folder / ("batches.meta.txt" if n_classes == 10 else f"{kind}_label_names.txt")
    return tuple(path.read_text(encoding="utf-8", errors="replace").split())
