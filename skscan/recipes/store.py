"""The folder of a reproduction: what is finished, so that no kill loses it.

::

    OUT/
      results.json            what is run, and the scores of every finished cell
      cells/<stage>[-seed-n]/ what later stages need of a cell: network and heads, without pickle
      checkpoints/            the state of what is being trained; removed when its cell is finished
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from skscan._files import write_atomically
from skscan._source import code_version
from skscan.exceptions import ImageReadError, ModelFileError
from skscan.images import printable
from skscan.images.collection import FileImages
from skscan.persistence import load, save
from skscan.recipes.data import Images, RecipeData
from skscan.training.identity import differences, hash_array

__all__ = ["RESULTS", "OutputMismatchError", "Store", "cell_name", "fingerprint"]

RESULTS = "results.json"
_FORMAT = "skscan reproduction"
_LOCK = ".skscan-lock"
_FILES_OPENED = 2000
_BYTES_READ = 2**16


class OutputMismatchError(ValueError):
    """A folder holds the results of something else."""


def cell_name(stage: str, seed: int | None = None) -> str:
    """Return the name of a cell: a stage, and a seed where there is one."""
    return stage if seed is None else f"{stage}-seed-{seed}"


class Store:
    """Keeps the cells of a reproduction; entered, it belongs to one process.

    Parameters
    ----------
    folder : path
        Made when missing.

    identity : dict of str to plain data
        All that the results depend on, except the seeds. The version of skscan, with a hash of its
        sources, is added. A folder with another identity is refused.

    Raises
    ------
    OutputMismatchError
        On entering, if the folder holds other results or other files, or another process is using
        it. The message names what differs.
    """

    def __init__(self, folder: str | os.PathLike, identity: dict[str, Any]) -> None:
        self.folder = Path(folder)
        self._document: dict[str, Any] = {
            "format": _FORMAT,
            "format_version": 1,
            "identity": _flatten({**identity, "skscan version": code_version()}),
            "cells": {},
        }
        self._lock: Any = None

    def __enter__(self) -> Self:
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputMismatchError(f"{printable(str(self.folder))} is a file, no folder")
        self._check_content()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._take_lock()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is not None:
            self._lock.close()

    @property
    def cells(self) -> dict[str, Any]:
        """Scores and history of every finished cell, by name."""
        return self._document["cells"]

    def checkpoint_dir(self, name: str) -> Path:
        """Return where the training of a cell keeps its state."""
        return self.folder / "checkpoints" / name

    def load_model(self, name: str) -> Any:
        """Return the fitted model of a finished cell, None if there is none."""
        if name not in self.cells:
            return None
        try:
            return load(self.folder / "cells" / name)
        except (ModelFileError, FileNotFoundError) as error:
            raise OutputMismatchError(
                f"the cell {name!r} is finished, but its files are damaged or gone ({error}); "
                f"remove {printable(str(self.folder))} to begin anew"
            ) from error

    def finish(self, name: str, result: dict[str, Any], model: Any) -> None:
        """Write a finished cell: first what later stages need, then the results.

        Parameters
        ----------
        name : str
        result : dict
            Plain data: scores, history.
        model : estimator or None
            What `skscan.save` takes; None if no stage needs anything.
        """
        if model is not None:
            save(model, self.folder / "cells" / name)
        self.cells[name] = _plain(result)
        self.write()
        shutil.rmtree(self.checkpoint_dir(name), ignore_errors=True)

    def write(self, **more: Any) -> None:
        """Replace the results file in one step.

        Parameters
        ----------
        **more : plain data
            What else belongs into the file.
        """
        self._document.update(_plain(more))
        text = json.dumps(self._document, indent=1, allow_nan=False)
        write_atomically(self.folder / RESULTS, text.encode())

    def _check_content(self) -> None:
        path = self.folder / RESULTS
        where = printable(str(self.folder))
        if not path.exists():
            found = [p.name for p in self.folder.iterdir()] if self.folder.exists() else []
            foreign = sorted(set(found) - {"cells", "checkpoints", _LOCK})
            if foreign:
                raise OutputMismatchError(
                    f"{where} is not empty and holds no results of a reproduction "
                    f"({printable(foreign[0])!r} is in it); give another folder"
                )
            return
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != _FORMAT:
                raise KeyError("format")
            found_identity, cells = dict(document["identity"]), dict(document["cells"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OutputMismatchError(
                f"{printable(str(path))} is damaged or no results file of a reproduction "
                f"({error!r}); give another folder"
            ) from None
        wanted = self._document["identity"]
        different = differences(found_identity, wanted)
        if different:
            raise OutputMismatchError(
                f"{where} holds the results of another run ({different}); give the "
                "same data and parameters to go on with it, or another folder"
            )
        self._document["cells"] = cells

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # no such locks there: nobody is kept out
            return
        self._lock = open(self.folder / _LOCK, "w")  # noqa: SIM115 - held until the end
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise OutputMismatchError(
                f"another process is writing to {printable(str(self.folder))}; wait for it, or "
                "give another folder"
            ) from None
        except OSError:  # a file system without locks
            return


def fingerprint(data: RecipeData) -> str:
    """Hash images and classes: pixels of arrays; names, sizes and the beginnings of files.

    A data set that is moved to another folder keeps its fingerprint. Only some of very many files
    are opened.

    Parameters
    ----------
    data : RecipeData

    Returns
    -------
    hash : str
    """
    digest = hashlib.blake2b(digest_size=16)
    for split in (data.train, data.test):
        _update(digest, split.images)
        digest.update(np.ascontiguousarray(split.labels).data)
    if data.further is not None:
        _update(digest, data.further)
    return digest.hexdigest()


def _update(digest: Any, images: Images) -> None:
    if not isinstance(images, list):
        hash_array(digest, images)
        return
    for path in images:
        name = "/".join(Path(path).parts[-3:])
        size = os.path.getsize(path) if os.path.exists(path) else -1  # a file inside a zip
        digest.update(f"{name}\0{size}\0".encode("utf-8", "surrogateescape"))
    files = FileImages(images)
    for i in range(0, len(images), len(images) // _FILES_OPENED + 1):
        if os.path.exists(images[i]):
            with open(images[i], "rb") as file:
                digest.update(file.read(_BYTES_READ))
            continue
        try:
            digest.update(files.read(i).tobytes()[:_BYTES_READ])
        except ImageReadError as error:
            digest.update(error.reason.encode("utf-8", "surrogateescape"))


def _flatten(identity: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Plain values under one name each, so that a difference can be named."""
    flat: dict[str, Any] = {}
    for name, value in identity.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{name} "))
        else:
            flat[f"{prefix}{name}"] = _plain(value)
    return flat


def _plain(value: Any) -> Any:
    """Turn numpy's values into Python's, and what JSON cannot hold (NaN) into None."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
