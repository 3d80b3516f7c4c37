"""What makes a training run what it is, as plain values that can be compared."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import types
from typing import Any

import numpy as np

__all__ = ["differences", "flatten", "hash_array", "hash_arrays"]

_CHUNK_BYTES = 2**26


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
        hash_array(digest, array)
    return digest.hexdigest()


def hash_array(digest: hashlib.blake2b, array: np.ndarray) -> None:
    """Add type, shape and content of an array to a hash, a part of it in memory at a time.

    Parameters
    ----------
    digest : hashlib.blake2b
    array : ndarray
    """
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    array = np.atleast_1d(array)
    rows = max(_CHUNK_BYTES // max(array[:1].nbytes, 1), 1)
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).data)


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Name what differs between the identity of an earlier run and this one's.

    Parameters
    ----------
    found, wanted : dict of str to plain data
        As `flatten` gives them.

    Returns
    -------
    differences : str
        Empty if there are none.
    """
    missing = "nothing"
    pairs = {
        name: (found.get(name, missing), wanted.get(name, missing)) for name in {*found, *wanted}
    }
    different = [name for name, (there, now) in pairs.items() if there != now]
    # A hash only says that something is another one: what can be read comes first.
    order = sorted(different, key=lambda name: (any(map(_is_hash, pairs[name])), name))
    return "; ".join(f"{name}: {pairs[name][0]!r} there, {pairs[name][1]!r} now" for name in order)


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


def flatten(identity: dict[str, Any]) -> dict[str, Any]:
    """Return plain values under one name each, so that a difference can be named.

    Parameters
    ----------
    identity : dict
        Nested; arrays, functions and objects are described by what they hold, so that they are the
        same in another process.

    Returns
    -------
    flat : dict of str to bool, int, float, str or None
    """
    flat: dict[str, Any] = {}
    for name, value in identity.items():
        if isinstance(value, dict):
            flat.update(flatten({f"{name} {key}": inner for key, inner in value.items()}))
        else:
            flat[name] = _description(value)
    return flat


def _description(value: Any) -> Any:
    """Return what tells values apart, and is the same in another process."""
    import torch

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        return f"array of shape {value.shape}, hash {hash_arrays(value)}"
    if isinstance(value, torch.Tensor):
        return _description(value.detach().cpu().numpy())
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return f"({', '.join(repr(_description(inner)) for inner in value)})"
    if isinstance(value, set | frozenset):
        return f"set{sorted(repr(_description(inner)) for inner in value)}"
    if isinstance(value, dict):
        return repr({str(key): _description(inner) for key, inner in value.items()})
    return _description_of_object(value)


def _description_of_object(value: Any) -> str:
    """Describe functions, classes and objects, without the addresses that their repr shows."""
    name = f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')}"
    if isinstance(value, type):
        return name
    if isinstance(value, functools.partial):
        return f"partial{_description((value.func, value.args, value.keywords))}"
    if isinstance(value, types.MethodType):
        return f"method{_description((value.__func__, value.__self__))}"
    if isinstance(value, types.FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        inner = (_instructions(value.__code__), cells, value.__defaults__, value.__kwdefaults__)
        digest = hashlib.blake2b(repr(_description(inner)).encode(), digest_size=8)
        return f"{name}, hash {digest.hexdigest()}"
    if hasattr(value, "__dict__"):
        kind = type(value)
        return f"{kind.__module__}.{kind.__qualname__}({_description(vars(value))})"
    return repr(value)


def _instructions(code: types.CodeType) -> list[Any]:
    """Return what a function does, without the lines it stands in."""
    constants = [
        _instructions(inner) if isinstance(inner, types.CodeType) else _description(inner)
        for inner in code.co_consts
    ]
    return [code.co_code.hex(), constants, list(code.co_names)]
