"""Reading of torch files of the authors and of MoCo: without running code, each entry known."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skscan.exceptions import ModelFileError
from skscan.extractors.weights import check_finite, read_content
from skscan.networks.checkpoint_names import CLUSTER_HEAD, is_momentum_state, our_name

__all__ = ["KeyReport", "RawCheckpoint", "read_checkpoint", "weights_by_our_names"]

# Entries beside the weights, and what they are.
_KNOWN_ENTRIES = {
    "optimizer": "state of the optimiser",
    "epoch": "number of the epoch",
    "best_loss": "best validation loss so far",
    "best_loss_head": "number of the best head",
    "head": "number of the best head",
    "arch": "name of the architecture",
}
_BEST_HEAD = ("head", "best_loss_head")


@dataclass(frozen=True)
class RawCheckpoint:
    """What is in a file.

    Attributes
    ----------
    path : str
        The file, for errors.
    kind : str
        One of `skscan.networks.checkpoint_names.KINDS`.
    weights : dict from str to torch.Tensor
        By the names in the file.
    best_head : int
        0 where the file does not say.
    ignored : dict from str to str
        Names in the file that hold nothing of use, with what they are.
    """

    path: str
    kind: str
    weights: dict[str, torch.Tensor]
    best_head: int
    ignored: dict[str, str]


@dataclass(frozen=True)
class KeyReport:
    """What became of each entry of a file.

    Attributes
    ----------
    loaded : dict from str to str
        Names in the file with ours.
    ignored : dict from str to str
        Names in the file of what is not needed, with what that is.
    missing : tuple of str
        Our names of what the file lacks and a trained network can do without: counts of batches,
        which files of old versions of torch do not have. They are set to 0.
    """

    loaded: dict[str, str]
    ignored: dict[str, str]
    missing: tuple[str, ...]


def read_checkpoint(path: str | os.PathLike) -> RawCheckpoint:
    """Read a checkpoint.

    Parameters
    ----------
    path : str or path-like
        A torch file: a state dict, alone or as ``model`` or ``state_dict`` beside other entries.

    Returns
    -------
    checkpoint : RawCheckpoint

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or unsafe, or an entry in it is not known.
    """
    path = os.fspath(path)
    weights, entries = _split(read_content(path, _STAND_INS), path)
    unknown = [name for name in entries if name not in _KNOWN_ENTRIES]
    unknown += [name for name in weights if not (our_name(name) or is_momentum_state(name))]
    if unknown:
        shown = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        raise ModelFileError(
            f"{path!r} is no checkpoint of SCAN or MoCo-v2: {len(unknown)} of its "
            f"{len(weights) + len(entries)} entries are not known ({shown})"
        )
    check_finite(weights, path)
    ignored = {name: _KNOWN_ENTRIES[name] for name in entries if name not in _BEST_HEAD}
    ignored |= {name: "state of MoCo's training" for name in weights if our_name(name) is None}
    return RawCheckpoint(
        path,
        _kind(weights, entries),
        {name: tensor for name, tensor in weights.items() if name not in ignored},
        _best_head(entries, path),
        ignored,
    )


def weights_by_our_names(raw: RawCheckpoint) -> tuple[dict[str, NDArray], KeyReport]:
    """Rename the weights of a checkpoint.

    Parameters
    ----------
    raw : RawCheckpoint

    Returns
    -------
    arrays : dict from str to ndarray
        By the names of `skscan.networks.trained.TrainedNetwork`, and ``cluster_head.<n>.<name>``.
    report : KeyReport

    Raises
    ------
    ModelFileError
        If a weight is there twice.
    """
    arrays: dict[str, NDArray] = {}
    loaded = {}
    for name, tensor in raw.weights.items():
        ours = our_name(name)
        assert ours is not None  # names were checked when the file was read
        if ours in arrays:
            raise ModelFileError(f"{raw.path!r} holds {name!r} twice, with prefix and without")
        loaded[name] = ours
        arrays[ours] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    norms = [name.removesuffix(".running_mean") for name in arrays if "running_mean" in name]
    counts = [f"{name}.num_batches_tracked" for name in norms]
    missing = tuple(name for name in counts if name not in arrays)
    arrays |= {name: np.zeros((), np.int64) for name in missing}
    return arrays, KeyReport(loaded, raw.ignored, missing)


def _split(content: Any, path: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Part the weights from what stands beside them."""
    entries: dict[str, Any] = {}
    if isinstance(content, dict):
        for wrapper in ("model", "state_dict"):
            if isinstance(content.get(wrapper), dict):
                entries = {name: value for name, value in content.items() if name != wrapper}
                content = content[wrapper]
                break
    if (
        not isinstance(content, dict)
        or not content
        or not all(
            isinstance(name, str) and isinstance(value, torch.Tensor)
            for name, value in content.items()
        )
        or not all(isinstance(name, str) for name in entries)
    ):
        raise ModelFileError(f"{path!r} holds no state_dict (names and tensors)")
    return content, entries


def _kind(weights: dict[str, torch.Tensor], entries: dict[str, Any]) -> str:
    names = [name.removeprefix("module.") for name in weights]
    if any(name.startswith("encoder_q.") for name in names):
        return "moco"
    heads = {name.split(".")[1] for name in names if name.startswith(CLUSTER_HEAD)}
    if not heads:
        return "pretext"
    told = any(name in entries for name in _BEST_HEAD)
    return "scan" if told or len(heads) > 1 else "self-label"


def _best_head(entries: dict[str, Any], path: str) -> int:
    for name in _BEST_HEAD:
        head = entries.get(name)
        if isinstance(head, torch.Tensor) and head.numel() == 1:
            head = head.item()
        if isinstance(head, int | np.integer) and head >= 0:
            return int(head)
        if head is not None:  # a run that was stopped in its first epoch knows none
            raise ModelFileError(f"{path!r}: the best head ({name!r}) is no number of a head")
    return 0


class _NumberType:
    """Stands for ``numpy.dtype``: it takes the plain types of numbers only."""

    def __init__(self, code: str, align: bool = False, copy: bool = True) -> None:
        if code not in _NUMBER_TYPES:
            raise ValueError(f"a number of the type {code!r}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder("<" if state[1] == "|" else state[1])


def _number(number_type: _NumberType, data: bytes) -> Any:
    """Stand for numpy's constructor of scalars."""
    return np.frombuffer(data, number_type.dtype, count=1)[0]


_NUMBER_TYPES = {"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"}

# Numbers of numpy 1 and 2, rebuilt without numpy's own constructors, which take far more.
_STAND_INS: list[tuple[Callable, str]] = [
    (_NumberType, "numpy.dtype"),
    (_number, "numpy.core.multiarray.scalar"),
    (_number, "numpy._core.multiarray.scalar"),
]
