"""Checkpoints: where a training run goes on after it was cut off, and never another run's."""

from __future__ import annotations

import hashlib
import io
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from skscan import __version__
from skscan._files import TEMPORARY_PREFIX, write_atomically
from skscan.exceptions import CheckpointError, CheckpointMismatchError, SkscanWarning

__all__ = ["CHECKPOINT_SECONDS", "Checkpoint", "hash_arrays"]

CHECKPOINT_SECONDS = 30.0
"""At most so much work is lost to a kill, on top of one step."""

_CHUNK_BYTES = 2**26


class Checkpoint:
    """The state of one stage of training in a folder, replaced in one step at each save.

    Parameters
    ----------
    folder : path
        Made when missing.

    stage : str
        Name of the stage; the file is ``<stage>.checkpoint``.

    identity : dict of str to plain data
        What makes the run what it is: data, parameters, seed. The version of skscan is added. A
        file with another identity is refused.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike, stage: str, identity: dict[str, Any]) -> None:
        self.path = Path(folder) / f"{stage}.checkpoint"
        self._identity = {**_flatten(identity), "skscan version": __version__}
        self._saved_at = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for leftover in self.path.parent.glob(f"{TEMPORARY_PREFIX}*.tmp"):
            leftover.unlink(missing_ok=True)  # of a run that was killed while it saved

    def load(self) -> dict[str, Any] | None:
        """Read the state that was saved last.

        Returns
        -------
        state : dict or None
            None if there is no file yet.

        Raises
        ------
        CheckpointMismatchError
            If the file belongs to a run with another identity; the differences are named.

        CheckpointError
            If the file is damaged.
        """
        import torch

        if not self.path.exists():
            return None
        try:
            # Nothing but tensors and plain data is read: no code runs from the file.
            document = torch.load(self.path, map_location="cpu", weights_only=True)
            identity, state = document["identity"], document["state"]
        except Exception as error:  # torch raises errors of many kinds for damaged files
            reason = str(error).splitlines()[0]
            raise CheckpointError(
                f"{self.path} is damaged or no checkpoint ({reason}); "
                "remove it to start the stage anew."
            ) from error
        self._check(identity)
        return state

    def _check(self, found: dict[str, Any]) -> None:
        names = sorted({*found, *self._identity})
        missing = "nothing"
        differences = [
            f"{name}: {found.get(name, missing)!r} there, {self._identity.get(name, missing)!r} now"
            for name in names
            if found.get(name, missing) != self._identity.get(name, missing)
        ]
        if differences:
            raise CheckpointMismatchError(
                f"{self.path} belongs to another run ({'; '.join(differences)}). Give the same "
                "data and parameters to go on with it, another checkpoint_dir to keep it, or "
                "remove the file to start anew."
            )

    def is_due(self) -> bool:
        """Tell whether the last save is so long ago that the next is worth its time."""
        return time.monotonic() - self._saved_at >= CHECKPOINT_SECONDS

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file; when that fails, warn and leave the last one as it was.

        Parameters
        ----------
        state : dict
            Tensors and plain data.

        Warns
        -----
        SkscanWarning
            If the file cannot be written, for instance on a full disk.
        """
        import torch

        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": state}, buffer)
        self._saved_at = time.monotonic()
        try:
            write_atomically(self.path, buffer.getbuffer())
        except OSError as error:
            warnings.warn(
                f"{self.path} could not be written ({error.strerror}); training goes on, and what "
                "was saved before is intact. Make room there: until then a crash loses the work "
                "since the last save.",
                SkscanWarning,
                stacklevel=2,
            )


def hash_arrays(*arrays: np.ndarray) -> str:
    """Hash the content of arrays, also of those that are mapped from files and larger than memory.

    Parameters
    ----------
    *arrays : ndarray

    Returns
    -------
    hash : str
    """
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        rows = max(_CHUNK_BYTES // max(array[:1].nbytes, 1), 1)
        for start in range(0, len(array), rows):
            digest.update(np.ascontiguousarray(array[start : start + rows]).data)
    return digest.hexdigest()


def _flatten(identity: dict[str, Any]) -> dict[str, Any]:
    """Plain values under one name each, so that a difference can be named."""
    flat: dict[str, Any] = {}
    for name, value in identity.items():
        if isinstance(value, dict):
            flat.update(_flatten({f"{name} {key}": inner for key, inner in value.items()}))
        elif value is None or isinstance(value, bool | int | float | str):
            flat[name] = value
        else:
            flat[name] = repr(value)
    return flat
