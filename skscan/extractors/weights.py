"""Files of network weights: read without running code."""

from __future__ import annotations

import os
import pickle
import struct
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skscan._files import compare_check_sums
from skscan.exceptions import ModelFileError

if TYPE_CHECKING:
    import torch

__all__ = ["check_finite", "read_content", "read_state_dict"]

# Where training scripts put the weights between other things.
_USUAL_WRAPPERS = ("state_dict", "model", "model_state_dict")


def read_state_dict(path: str | os.PathLike) -> dict[str, torch.Tensor]:
    """Read the weights in a safetensors or torch file.

    Parameters
    ----------
    path : str or path-like
        See `read_content`.

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
    weights = _unwrap(read_content(path), os.fspath(path))
    check_finite(weights, os.fspath(path))
    return weights


def check_finite(weights: Mapping[str, torch.Tensor], path: str) -> None:
    """Refuse weights that are infinite or no numbers, as a training that diverged leaves them.

    Parameters
    ----------
    weights : mapping of str to Tensor
    path : str
        Of the file that they were read from.

    Raises
    ------
    ModelFileError
        If there are any; the first is named.
    """
    for name, tensor in weights.items():
        if not bool(tensor.isfinite().all()):
            raise ModelFileError(
                f"{path!r}: the weights {name!r} are infinite or no numbers; the training that "
                "wrote them diverged, or the file is damaged"
            )


def read_content(path: str | os.PathLike, stand_ins: Sequence[tuple[Callable, str]] = ()) -> Any:
    """Read a safetensors or torch file as it is.

    Parameters
    ----------
    path : str or path-like
        Files that end in ``.safetensors`` are read as such, others as torch files, with
        ``weights_only=True``: whatever a file holds, none of it is run.

    stand_ins : sequence of (callable, str)
        What to call for names, beyond those that torch takes for harmless, that the file may hold.

    Returns
    -------
    object
        The content, with tensors on the CPU.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, or holds other names.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ModelFileError(f"there is no file of weights {path!r}")
    try:
        if path.endswith(".safetensors"):
            return load_file(path)
        if zipfile.is_zipfile(path):  # torch's old form has no check sums
            compare_check_sums(path)
        with torch.serialization.safe_globals(list(stand_ins)), warnings.catch_warnings():
            # of torch's, about files that it refuses a moment later
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
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
    except (TypeError, LookupError, AttributeError, AssertionError, struct.error) as error:
        # torch takes some texts for the beginning of a file and stumbles over the rest
        raise ModelFileError(f"{path!r} is no file of weights, or is damaged") from error


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
