"""The one place that knows devices."""

from __future__ import annotations

import ctypes
import re
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path


def resolve_device(device: str) -> str:
    """Give the torch device that a `device` parameter stands for.

    Parameters
    ----------
    device : str
        ``"auto"`` (an accelerator when there is one, otherwise the CPU) or a torch device.

    Returns
    -------
    device : str
        A device that torch knows and this machine has.

    Raises
    ------
    ValueError
        If torch knows no such device or the machine has none.
    """
    if device == "auto" and "torch" not in sys.modules and _has_only_a_cpu():
        return "cpu"  # without torch, whose import takes a second
    import torch

    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device={device!r} cannot be used here ({reason}); "
            "give 'auto', 'cpu', or a device that torch sees."
        ) from error
    return device


@cache
def _has_only_a_cpu() -> bool:
    """Tell whether torch would find no accelerator; False also where only torch can know."""
    driver = {"linux": "libcuda.so.1", "win32": "nvcuda.dll"}.get(sys.platform)
    torch = find_spec("torch")
    if driver is None or torch is None or torch.origin is None:
        return False
    try:
        built_for = (Path(torch.origin).parent / "version.py").read_text()
    except OSError:
        return False
    if re.search(r"^hip\b.*= None$", built_for, re.MULTILINE) is None:
        return False
    if re.search(r"^cuda\b.*= None$", built_for, re.MULTILINE):
        return True
    try:
        ctypes.CDLL(driver)  # which torch needs for CUDA
    except OSError:
        return True
    return False
