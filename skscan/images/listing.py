"""Which images a folder or a zip holds, in an order that never changes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from skscan.exceptions import ImageReadError, ImagesNotFoundError, SkscanWarning
from skscan.images.archives import ImageArchive
from skscan.images.decoding import has_image_extension, read_file
from skscan.images.names import is_visible, printable

__all__ = ["list_images"]


def list_images(folder_or_zip: str | Path) -> list[str]:
    """List the images of a folder or zip, sub-folders included.

    Every file that is not hidden counts: what is not an image turns out when it is read, and is
    then skipped with a reason instead of vanishing. Hidden names (``.*``), ``__MACOSX``,
    ``Thumbs.db`` and ``desktop.ini`` are left out. Links are followed; a folder that is reached
    twice counts once.

    Parameters
    ----------
    folder_or_zip : str or Path
        A folder, or a zip file, which is read in place and never unpacked.

    Returns
    -------
    list of str
        Sorted paths that begin with `folder_or_zip`, also for a zip (``"photos.zip/cats/1.jpg"``);
        the estimators take them all. Bytes that are no UTF-8 appear as `os.fsdecode` shows them.

    Raises
    ------
    ImagesNotFoundError
        If there is no such folder or file. It is a `FileNotFoundError` and a `ValueError`.

    ValueError
        If there is no image in it, or the file is no zip.

    Warns
    -----
    SkscanWarning
        If a sub-folder cannot be read; its images are left out.

    Examples
    --------
    >>> from sklearn.model_selection import train_test_split
    >>> from skscan.images import list_images
    >>> train, test = train_test_split(list_images("photos"))  # doctest: +SKIP
    """
    root = os.fsdecode(folder_or_zip)
    if os.path.isdir(root):
        paths = sorted(_walk(root))
        if not _any_image(paths, lambda path: read_file(path, min_side=1)):
            raise ValueError(_no_image(f"folder {printable(root)!r}", paths))
        return paths
    if not os.path.exists(root):
        raise ImagesNotFoundError(f"there is no folder or zip {printable(root)!r}")
    archive = ImageArchive(root)
    if not _any_image(archive.entries, lambda entry: archive.read(entry, min_side=1)):
        raise ValueError(_no_image(f"zip {printable(root)!r}", archive.entries))
    return [f"{root}/{entry}" for entry in archive.entries]


def _walk(root: str) -> Iterator[str]:
    """Yield the paths of all visible regular files under a folder."""
    # Folders by identity, so that a link back to a parent ends the walk instead of looping.
    seen: set[tuple[int, int]] = set()
    folders = [root]
    while folders:
        folder = folders.pop()
        try:
            status = os.stat(folder)
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as scan:
                entries = sorted(
                    (entry for entry in scan if is_visible(entry.name)), key=lambda e: e.name
                )
        except OSError as error:
            if folder == root:
                raise ValueError(
                    f"cannot read folder {printable(root)!r}: {error.strerror}"
                ) from error
            warnings.warn(
                f"Cannot read folder {printable(folder)!r} ({error.strerror}); its images are left "
                "out. Allow this user to read it, or move it elsewhere.",
                SkscanWarning,
                stacklevel=3,
            )
            yield folder  # stands for its images, and is skipped with a reason as they would be
            continue
        yield from (entry.path for entry in entries if _is_file_or_broken_link(entry))
        # Links come off the stack last: a folder that is also linked to keeps its own name.
        subfolders = [entry for entry in entries if os.path.isdir(entry.path)]
        linked = [e.path for e in subfolders if e.is_symlink()]
        own = [e.path for e in subfolders if not e.is_symlink()]
        folders = [*reversed(linked), *folders, *reversed(own)]


def _is_file_or_broken_link(entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():
        return os.path.isfile(entry.path) or not os.path.exists(entry.path)
    return entry.is_file()


def _any_image(names: list[str], read: Callable[[str], object]) -> bool:
    """Tell whether there is an image: by extensions at first, by content if need be."""
    if any(map(has_image_extension, names)):
        return True
    return any(_is_readable(name, read) for name in names)


def _is_readable(name: str, read: Callable[[str], object]) -> bool:
    try:
        read(name)
    except ImageReadError:
        return False
    return True


def _no_image(place: str, names: Iterable[str]) -> str:
    others = list(names)
    if not others:
        return f"{place} is empty: it holds no visible file"
    return (
        f"no image in {place}; its {len(others)} files are others, such as {printable(others[0])!r}"
    )
