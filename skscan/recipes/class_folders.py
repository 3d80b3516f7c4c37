"""Images sorted into folders of classes, as ImageNet is; also inside a zip."""

from __future__ import annotations

from importlib import resources
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from skscan.images import list_images, printable
from skscan.images.decoding import has_image_extension
from skscan.recipes.data import RecipeData, Split

__all__ = ["ClassFolders", "find_class_folders", "imagenet_subset", "read_class_folders"]

_TRAIN = "train"
_SHOWN = 3


class ClassFolders(NamedTuple):
    """Paths of images by split and class."""

    source: Path
    train: dict[str, list[str]]
    test: dict[str, list[str]]


def imagenet_subset(n_classes: int) -> list[str]:
    """Give the WordNet ids of a subset of ImageNet.

    Parameters
    ----------
    n_classes : {50, 100, 200}
        Which of the paper's subsets; each holds the smaller ones.

    Returns
    -------
    wnids : list of str
        Sorted; the place in the list is the label.
    """
    name = f"imagenet_{n_classes}.txt"
    text = resources.files("skscan.recipes").joinpath("imagenet_subsets", name).read_text("ascii")
    return text.split()


def find_class_folders(source: Path, test_names: tuple[str, ...]) -> ClassFolders | None:
    """Find ``train/<class>/`` and a test split in a folder or zip, or one level below.

    Parameters
    ----------
    source : Path
        A folder or a zip.

    test_names : tuple of str
        Names that the folder of the test split may have, the preferred one first.

    Returns
    -------
    found : ClassFolders or None
        None if there is no folder ``train``.

    Raises
    ------
    ValueError
        If there is no test split, or images lie in a split itself instead of in classes.
    """
    by_split = _splits_of_folder(source) if source.is_dir() else _splits_of_zip(source)
    if not by_split.get(_TRAIN):
        return None
    test = next((name for name in test_names if by_split.get(name)), None)
    if test is None:
        raise ValueError(
            f"{printable(str(source))!r} has a folder {_TRAIN!r} but none for the test images; "
            f"taken is {' or '.join(map(repr, test_names))} beside it"
        )
    for split in (_TRAIN, test):
        loose = by_split[split].get("")
        if loose:
            raise ValueError(
                f"{printable(loose[0])!r} lies in {split!r} itself; sort the images into "
                f"{split}/<class>/"
            )
    return ClassFolders(source, by_split[_TRAIN], by_split[test])


def read_class_folders(found: ClassFolders, subset: int | None = None) -> RecipeData:
    """Read images that are sorted into folders of classes.

    Parameters
    ----------
    found : ClassFolders
        What `find_class_folders` returned.

    subset : {50, 100, 200} or None, default=None
        Take only the classes of this subset of ImageNet; the train images of the others become
        `RecipeData.further`.

    Returns
    -------
    data : RecipeData
        Images are paths; a class's label is its place among the sorted names.

    Raises
    ------
    ValueError
        If the splits have other classes, or a class of the subset is missing.
    """
    where = printable(str(found.source))
    if subset is None:
        classes = sorted(found.train)
        if sorted(found.test) != classes:
            odd = sorted(set(found.test) ^ set(classes))
            raise ValueError(
                f"{where!r}: the splits have other classes, {len(classes)} for training and "
                f"{len(found.test)} for the test; {_listed(odd)} are in one of them only"
            )
        if len(classes) < 2:
            raise ValueError(f"{where!r} has one class only; at least two are needed")
    else:
        classes = imagenet_subset(subset)
        for split, folders in ((_TRAIN, found.train), ("val", found.test)):
            missing = [name for name in classes if name not in folders]
            if missing:
                raise ValueError(
                    f"{where!r}: {len(missing)} of the {subset} classes of ImageNet-{subset} have "
                    f"no images in {split!r}, such as {_listed(missing)}"
                )
    others = sorted(set(found.train) - set(classes))
    further = [path for name in others for path in found.train[name]]
    layout = "folders of classes" if subset is None else f"ImageNet-{subset} as folders of classes"
    return RecipeData(
        layout,
        _split(found.train, classes),
        _split(found.test, classes),
        tuple(classes),
        further or None,
    )


def _split(folders: dict[str, list[str]], classes: list[str]) -> Split:
    images = [path for name in classes for path in folders[name]]
    counts = [len(folders[name]) for name in classes]
    return Split(images, np.repeat(np.arange(len(classes), dtype=np.int64), counts))


def _splits_of_folder(source: Path) -> dict[str, dict[str, list[str]]]:
    roots = [source] if (source / _TRAIN).is_dir() else []
    if not roots:
        roots = sorted(path.parent for path in source.glob(f"*/{_TRAIN}") if path.is_dir())
    if not roots:
        return {}
    if len(roots) > 1:
        raise ValueError(
            f"{printable(str(source))!r} holds several data sets, "
            f"{_listed([path.name for path in roots])}; give the folder of one"
        )
    splits: dict[str, dict[str, list[str]]] = {}
    for name in (_TRAIN, "test", "val"):
        folder = roots[0] / name
        if folder.is_dir():
            splits[name] = _by_class(list_images(folder), len(folder.parts))
    return splits


def _splits_of_zip(source: Path) -> dict[str, dict[str, list[str]]]:
    paths = list_images(source)
    n_root = len(PurePosixPath(str(source)).parts)
    for depth in (n_root, n_root + 1):
        splits: dict[str, list[str]] = {}
        for path in paths:
            parts = PurePosixPath(path).parts
            if len(parts) > depth + 1:
                splits.setdefault(parts[depth], []).append(path)
        if _TRAIN in splits:
            return {name: _by_class(found, depth + 1) for name, found in splits.items()}
    return {}


def _by_class(paths: list[str], depth: int) -> dict[str, list[str]]:
    """Group paths by their part number `depth`; under "" those that have no folder there."""
    classes: dict[str, list[str]] = {}
    for path in filter(has_image_extension, paths):
        parts = PurePosixPath(path).parts
        name = parts[depth] if len(parts) > depth + 1 else ""
        classes.setdefault(name, []).append(path)
    return classes


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(printable, names[:_SHOWN]))
    return shown + (", ..." if len(names) > _SHOWN else "")
