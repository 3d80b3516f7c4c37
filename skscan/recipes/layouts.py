"""Which data set lies in a folder, and in which of the usual layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from skscan.exceptions import ImagesNotFoundError
from skscan.images import printable
from skscan.recipes.cifar import find_cifar, read_cifar
from skscan.recipes.class_folders import find_class_folders, read_class_folders
from skscan.recipes.data import RecipeData
from skscan.recipes.stl import find_stl10, read_stl10

__all__ = ["LAYOUTS", "read_data"]

Reader = Callable[[Path], RecipeData | None]


def read_data(layout: str, source: str | Path) -> RecipeData:
    """Read a data set from a folder or zip in any of its usual layouts.

    Parameters
    ----------
    layout : {"cifar10", "cifar100", "cifar100-20", "stl10", "imagenet", "imagenet50", \
"imagenet100", "imagenet200"}
        The data set. Each is read from its own files or from folders of classes.

    source : str or Path
        The folder that holds the files, or one above; for folders of classes also a zip.

        ================  =====================================================================
        cifar10           ``cifar-10-batches-py/`` or ``cifar-10-batches-bin/``
        cifar100[-20]     ``cifar-100-python/`` or ``cifar-100-binary/``
        stl10             ``stl10_binary/``
        imagenet[50..]    ``train/<wnid>/*.JPEG`` and ``val/<wnid>/*.JPEG``
        any               ``train/<class>/*`` and ``test/<class>/*`` (or ``val``)
        ================  =====================================================================

    Returns
    -------
    data : RecipeData

    Raises
    ------
    ImagesNotFoundError
        If there is no such folder. It is a `FileNotFoundError` and a `ValueError`.

    ValueError
        If the folder holds none of the layouts, or a file is missing, cut short or of another
        size; the message names it.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {sorted(LAYOUTS)}, got {layout!r}.")
    source = Path(source)
    if not source.exists():
        raise ImagesNotFoundError(f"there is no folder or zip {printable(str(source))!r}")
    readers, wanted = LAYOUTS[layout]
    for read in readers:
        data = read(source)
        if data is not None:
            return data
    raise ValueError(f"{printable(str(source))!r} holds no {layout} data: {wanted}{_hint(source)}")


def _cifar(n_classes: int, coarse: bool = False) -> Reader:
    def read(source: Path) -> RecipeData | None:
        found = find_cifar(source, n_classes)
        return None if found is None else read_cifar(found, n_classes, coarse)

    return read


def _stl10(source: Path) -> RecipeData | None:
    found = find_stl10(source)
    return None if found is None else read_stl10(found)


def _folders(tests: tuple[str, ...], subset: int | None = None) -> Reader:
    def read(source: Path) -> RecipeData | None:
        found = find_class_folders(source, tests)
        return None if found is None else read_class_folders(found, subset)

    return read


def _hint(source: Path) -> str:
    if source.is_dir():
        packed = sorted(source.glob("*.tar.gz")) + sorted(source.glob("*.tar"))
        if packed:
            return f". Unpack {printable(packed[0].name)} first"
    return ""


_TEST_FIRST, _VAL_FIRST = ("test", "val"), ("val", "test")
_FOLDERS = "train/<class>/ and test/<class>/"

#: For each data set, readers that are tried in turn, and what the folder may hold.
LAYOUTS: dict[str, tuple[tuple[Reader, ...], str]] = {
    "cifar10": (
        (_cifar(10), _folders(_TEST_FIRST)),
        f"no cifar-10-batches-py, cifar-10-batches-bin or {_FOLDERS}",
    ),
    "cifar100": (
        (_cifar(100), _folders(_TEST_FIRST)),
        f"no cifar-100-python, cifar-100-binary or {_FOLDERS}",
    ),
    "cifar100-20": (
        (_cifar(100, coarse=True), _folders(_TEST_FIRST)),
        f"no cifar-100-python, cifar-100-binary or {_FOLDERS} of the 20 super-classes",
    ),
    "stl10": ((_stl10, _folders(_TEST_FIRST)), f"no stl10_binary or {_FOLDERS}"),
    "imagenet": ((_folders(_VAL_FIRST),), "no train/<wnid>/ and val/<wnid>/"),
    **{
        f"imagenet{size}": ((_folders(_VAL_FIRST, size),), "no train/<wnid>/ and val/<wnid>/")
        for size in (50, 100, 200)
    },
}
