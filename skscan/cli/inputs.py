"""The images of a folder or zip that a command is to work on, and their classes by folder name."""

import os
from collections.abc import Sequence
from pathlib import Path, PurePath

from skscan.cli.errors import WrongUse
from skscan.cli.results import is_results_folder
from skscan.cli.terminal import escaped, note


def find_images(source: Path, *, results: Path | None = None) -> list[str]:
    """Return the paths of the images in `source`, without what skscan itself has written.

    Parameters
    ----------
    source : Path
        A folder, searched with all its sub-folders, or a zip.
    results : Path, optional
        The folder that results go to; files in it are left out, and a remark says so.

    Returns
    -------
    list of str
        Sorted; each is `source` as it was given, followed by the path within it.

    Raises
    ------
    WrongUse
        If `source` does not exist, is neither a folder nor a zip, or holds no image.
    """
    if not source.exists():
        raise WrongUse(f"no such folder or zip: {source}")
    if results is not None and source.is_dir():
        _check_apart(source, results)
    from skscan.images import list_images

    try:
        found = list_images(source)
    except ValueError as error:
        raise WrongUse(str(error)) from error
    own = _ResultsFolders(results)
    images = [path for path in found if not own.hold(os.path.dirname(path))]
    if len(images) < len(found):
        note(
            f"note: {len(found) - len(images)} files in {escaped(str(source))} are left out: they "
            "are results of skscan"
        )
    if not images:
        raise WrongUse(f"no image in {source}")
    return images


def _check_apart(source: Path, results: Path) -> None:
    """Refuse a results folder that is, or holds, the images."""
    if source.resolve().is_relative_to(results.resolve()):
        raise WrongUse(
            f"OUT {escaped(str(results))} must not be, or contain, the folder of images "
            f"{escaped(str(source))}"
        )


class _ResultsFolders:
    """Tells what skscan has written, in this and earlier runs, from the user's images."""

    def __init__(self, current: Path | None) -> None:
        self._names: dict[str, bool] = {}  # thousands of images lie in one folder
        self._known: dict[Path, bool] = {}
        if current is not None:
            self._known[current.resolve()] = True

    def hold(self, folder: str) -> bool:
        if folder not in self._names:
            self._names[folder] = self._hold(Path(folder).resolve())
        return self._names[folder]

    def _hold(self, folder: Path) -> bool:
        if folder not in self._known:
            self._known[folder] = is_results_folder(folder) or (
                folder.parent != folder and self._hold(folder.parent)
            )
        return self._known[folder]


def classes_from_folders(paths: Sequence[str]) -> list[str]:
    """Return the name of the folder that each image lies in: its class.

    Raises
    ------
    WrongUse
        If all of them lie in folders of one name.
    """
    classes = [PurePath(path).parent.name for path in paths]
    if len(set(classes)) < 2:
        raise WrongUse(
            "the classes are read from folder names, but all images lie in one folder, "
            f"{escaped(classes[0])!r}; put each class into a folder of its own, or give the "
            "classes with `skscan evaluate OUT --labels CSV`"
        )
    return classes
