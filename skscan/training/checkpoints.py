"""Checkpoints: where a training run goes on after it was cut off, and never another run's."""

from __future__ import annotations

import io
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from skscan._files import TEMPORARY_PREFIX, compare_check_sums, write_atomically
from skscan._source import code_version
from skscan.exceptions import CheckpointError, CheckpointMismatchError, SkscanWarning
from skscan.training.identity import differences, flatten, hash_arrays

__all__ = ["CHECKPOINT_SECONDS", "Checkpoint", "hash_arrays"]

CHECKPOINT_SECONDS = 30.0
"""At most so much work is lost to a kill, on top of one step."""


class Checkpoint:
    """The state of one stage of training in a folder, replaced in one step at each save.

    Parameters
    ----------
    folder : path
        Made when missing.

    stage : str
        Name of the stage; the file is ``<stage>.checkpoint``.

    identity : dict of str to plain data
        What makes the run what it is: data, parameters, seed. The version of skscan, with a hash
        of its sources, is added. A file with another identity is refused.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike, stage: str, identity: dict[str, Any]) -> None:
        self.path = Path(folder) / f"{stage}.checkpoint"
        self._identity = {**flatten(identity), "skscan version": code_version()}
        self._saved_at = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)

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

        OSError
            If the file cannot be read.
        """
        # Only where this stage saves: other stages may be saving into the same folder right now.
        for leftover in self.path.parent.glob(f"{TEMPORARY_PREFIX}{self.path.name}-*.tmp"):
            leftover.unlink(missing_ok=True)  # of a run that was killed while it saved
        if not self.path.exists():
            return None
        content = self.path.read_bytes()
        try:
            identity, state = _read(content)
        except Exception as error:  # torch raises errors of many kinds for damaged files
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise CheckpointError(
                f"{self.path} is damaged or no checkpoint ({reason}); "
                "remove it to start the stage anew."
            ) from error
        self._check(identity)
        return state

    def _check(self, found: dict[str, Any]) -> None:
        different = differences(found, self._identity)
        if different:
            raise CheckpointMismatchError(
                f"{self.path} belongs to another run ({different}). Give the same "
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
            Tensors and plain data, nested in dicts, lists and tuples. numpy's scalars are saved as
            Python's.

        Raises
        ------
        TypeError
            If there is anything else in it, which could not be read back safely.

        Warns
        -----
        SkscanWarning
            If the file cannot be written, for instance on a full disk.
        """
        import torch

        buffer = io.BytesIO()
        torch.save({"identity": self._identity, "state": _to_plain(state, "state")}, buffer)
        try:
            write_atomically(self.path, buffer.getbuffer())
        except OSError as error:
            warnings.warn(
                f"{self.path} could not be written ({error.strerror or error}); training goes on, "
                "and what was saved before is intact. Make room there: until then a crash loses "
                "the work since the last save.",
                SkscanWarning,
                stacklevel=2,
            )
        self._saved_at = time.monotonic()  # after it, so that a slow disk leaves time to train


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read identity and state; nothing but tensors and plain data, so no code runs from a file."""
    import torch

    compare_check_sums(io.BytesIO(content))
    document = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    identity, state = document["identity"], document["state"]
    if not isinstance(identity, dict) or not isinstance(state, dict):
        raise ValueError("it does not say what it belongs to")
    return identity, state


def _to_plain(value: Any, name: str) -> Any:
    """Return what can be read back without running code."""
    import torch

    if isinstance(value, dict):
        return {_to_plain(key, name): _to_plain(v, f"{name} {key}") for key, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)([_to_plain(v, f"{name} {i}") for i, v in enumerate(value)])
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str | torch.Tensor):
        return value
    raise TypeError(f"a checkpoint cannot hold {name}, which is a {type(value).__name__}")
