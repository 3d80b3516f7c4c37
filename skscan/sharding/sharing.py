"""Something large that all workers read, in a file that each maps into memory."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib

from skscan._files import TEMPORARY_PREFIX

__all__ = ["load_shared", "shared"]

# In a worker: what it read last, so that it is read, and made ready, once for all of its shards.
_loaded: dict[str, Any] = {}


@contextmanager
def shared(what: Any, memory: str | os.PathLike | None) -> Iterator[str]:
    """Write something to a file, for as long as workers need it.

    Parameters
    ----------
    what : object
    memory : path or None
        A folder that all workers see; None is that of temporary files.

    Yields
    ------
    path : str
        What `load_shared` takes.
    """
    if memory is not None:
        try:
            Path(memory).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"memory={os.fspath(memory)!r} cannot be used ({error.strerror}); it takes a "
                "folder that can be written to and that all workers see."
            ) from error
    place = None if memory is None else os.path.abspath(memory)
    # A folder of its own, which nobody else may read or write: unpickling is as good as running.
    with tempfile.TemporaryDirectory(
        prefix=f"{TEMPORARY_PREFIX}shards-", dir=place, ignore_cleanup_errors=True
    ) as folder:
        path = os.path.join(folder, "shared.joblib")
        joblib.dump(what, path)
        try:
            yield path
        finally:
            _loaded.pop(path, None)


def load_shared(path: str) -> Any:
    """Return what was written, its arrays mapped from the file.

    Parameters
    ----------
    path : str
        Of `shared`.

    Returns
    -------
    what : object
        The same one for each call in this process.

    Raises
    ------
    FileNotFoundError
        If this worker does not see the file.
    """
    if path not in _loaded:
        _loaded.clear()
        try:
            _loaded[path] = joblib.load(path, mmap_mode="r")
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"a worker does not see {os.path.dirname(path)!r}; memory must be a folder that "
                "all machines have under this path"
            ) from error
    return _loaded[path]
