"""Files of network weights: read without running code, and checked key by key."""

from __future__ import annotations

import os
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

from skscan.exceptions import ModelFileError

if TYPE_CHECKING:
    import torch

__all__ = ["load_in_order", "load_strictly", "read_state_dict"]

# Where training scripts put the weights between other things.
_USUAL_WRAPPERS = ("state_dict", "model", "model_state_dict")

_KEYS_SHOWN = 3


def read_state_dict(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read the weights in a safetensors or torch file.

    Parameters
    ----------
    path : str or path-like
        Files that end in ``.safetensors`` are read as such, others as torch files, with
        ``weights_only=True``: whatever a file holds, none of it is run.

    Returns
    -------
    dict from str to torch.Tensor
        On the CPU. A surrounding ``{"state_dict": ...}`` or ``{"model": ...}`` and the prefix
        ``module.`` of data-parallel training are taken off.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or holds anything but tensors.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ModelFileError(f"there is no file of weights {path!r}")
    try:
        if path.endswith(".safetensors"):
            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelFileError(
            f"{path!r} was refused: it holds more than tensors, or is damaged. Save only the "
            "state_dict, best as safetensors"
        ) from error
    except (
        SafetensorError,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise ModelFileError(f"{path!r} is no readable file of weights: {_line(error)}") from error
    return _unwrap(content, path)


def load_strictly(
    network: torch.nn.Module, weights: dict[str, torch.Tensor], ignored_prefixes: tuple[str, ...]
) -> None:
    """Load weights into a network whose names and shapes they must match.

    Parameters
    ----------
    network : torch.nn.Module
        Loaded in place.

    weights : dict from str to torch.Tensor
        The weights.

    ignored_prefixes : tuple of str
        Names that begin so may be there without use: the classifier.

    Raises
    ------
    ModelFileError
        If names are missing or unexpected, or shapes differ; it says which.
    """
    weights = {
        name: tensor for name, tensor in weights.items() if not name.startswith(ignored_prefixes)
    }
    expected = network.state_dict()
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    differing = [
        f"{name} ({tuple(weights[name].shape)} instead of {tuple(tensor.shape)})"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": differing}
    if any(problems.values()):
        report = "; ".join(f"{_some(names)} {what}" for what, names in problems.items() if names)
        raise ModelFileError(f"the weights were made for another network: {report}")
    network.load_state_dict(weights, strict=True)


def load_in_order(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights that have other names but the same order and shapes as the network's.

    Parameters
    ----------
    network : torch.nn.Module
        Loaded in place.

    weights : dict from str to torch.Tensor
        As many tensors as the network has, in its order.

    Raises
    ------
    ModelFileError
        If their number or a shape differs.
    """
    expected = network.state_dict()
    if len(weights) != len(expected):
        raise ModelFileError(f"{len(weights)} tensors for a network that has {len(expected)}")
    renamed = dict(zip(expected, weights.values(), strict=True))
    load_strictly(network, renamed, ())


def _unwrap(content: Any, path: str) -> dict[str, torch.Tensor]:
    import torch

    for key in _USUAL_WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in content.items()
    ):
        raise ModelFileError(f"{path!r} holds no state_dict (names and tensors)")
    return {name.removeprefix("module."): value for name, value in content.items()}


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_KEYS_SHOWN])
    return shown if len(names) <= _KEYS_SHOWN else f"{shown} and {len(names) - _KEYS_SHOWN} more"


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
