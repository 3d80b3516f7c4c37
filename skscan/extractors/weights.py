"""Files of network weights: read without running code."""

from __future__ import annotations

import os
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

from skscan.exceptions import ModelFileError

if TYPE_CHECKING:
    import torch

__all__ = ["read_state_dict"]

# Where training scripts put the weights between other things.
_USUAL_WRAPPERS = ("state_dict", "model", "model_state_dict")


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


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
