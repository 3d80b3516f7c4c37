"""Pickles of plain data and integer arrays, read without running anything that they ask for.

A pickle is a program: it names functions, and unpickling calls them. The files of CIFAR name no
others than those by which numpy rebuilds an array. Here even these are not called: stand-ins take
their place, which record shape, type and bytes, and the array is made from the record.
"""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from skscan.images import printable

__all__ = ["UnsafePickleError", "read_plain_pickle"]

_MAX_BYTES = 2**30
_MAX_VALUES = 1_000_000
_INTEGER_TYPE = re.compile(r"[<>|=]?[iu][1248]")
_NUMPY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMPY_BUFFER_MODULES = ("numpy.core.numeric", "numpy._core.numeric")


class UnsafePickleError(ValueError):
    """A pickle asks for something that plain data does not need."""


def read_plain_pickle(path: str | Path) -> Any:
    """Read a pickle that holds nothing but plain data and arrays of integers.

    Parameters
    ----------
    path : str or Path
        The file. Pickles of Python 2 are taken as well.

    Returns
    -------
    data : object
        Dictionaries, lists, tuples, numbers, str, bytes (the strings of Python 2) and ndarrays.

    Raises
    ------
    UnsafePickleError
        If the pickle asks for any function or class but those of integer arrays; its name is in
        the message, and it is neither imported nor called.

    ValueError
        If the file is no pickle, cut short or larger than 1 GiB.

    OSError
        If the file cannot be read.
    """
    path = Path(path)
    n_bytes = path.stat().st_size
    if n_bytes > _MAX_BYTES:
        raise ValueError(
            f"{printable(str(path))}: {n_bytes:,} bytes; taken are pickles of at most "
            f"{_MAX_BYTES:,}"
        )
    try:
        return _to_plain(_PlainUnpickler(path.read_bytes()).load(), count())
    except UnsafePickleError as error:
        raise UnsafePickleError(f"{printable(str(path))}: refused, {error}") from None
    except Exception as error:  # damaged pickles raise nearly anything
        reason = str(error) or type(error).__name__
        raise ValueError(
            f"{printable(str(path))}: no pickle, or damaged or cut short ({reason})"
        ) from None


# The one in C makes room for as many remembered objects as the file cares to claim.
class _PlainUnpickler(pickle._Unpickler):
    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="bytes")
        encode, rebuild, from_buffer = _Encode(), _Rebuild(), _FromBuffer()
        # made anew for each file: a pickle may try to write to whatever it is given
        self._stand_ins: dict[tuple[str, str], object] = {
            ("_codecs", "encode"): encode,
            ("numpy", "ndarray"): _ArrayMarker(),
            ("numpy", "dtype"): _MakeType(),
            **{(module, "_reconstruct"): rebuild for module in _NUMPY_MODULES},
            **{(module, "_frombuffer"): from_buffer for module in _NUMPY_BUFFER_MODULES},
        }

    def find_class(self, module_name: str, global_name: str) -> Any:
        """Give the stand-in for a name, and nothing else."""
        try:
            return self._stand_ins[module_name, global_name]
        except KeyError:
            raise UnsafePickleError(
                f"it asks for {printable(f'{module_name}.{global_name}')}; plain data and arrays "
                "of integers need no such thing"
            ) from None

    def persistent_load(self, pid: Any) -> NoReturn:
        """Refuse references to things outside the file."""
        raise UnsafePickleError(f"it asks for the outside object {printable(repr(pid)[:80])}")


class _ArrayMarker:
    """Stands for ``numpy.ndarray``, as an argument only."""

    __slots__ = ()


class _Encode:
    """Stands for ``_codecs.encode``: how Python 3 writes bytes in old protocols."""

    __slots__ = ("_n_bytes",)

    def __init__(self) -> None:
        self._n_bytes = 0

    def __call__(self, text: str, encoding: str | bytes) -> bytes:
        if encoding not in ("latin1", "latin-1", b"latin1"):
            raise UnsafePickleError(f"it asks for the encoding {printable(repr(encoding)[:40])}")
        self._n_bytes += len(text)
        if self._n_bytes > _MAX_BYTES:
            raise UnsafePickleError("it unpacks to far more than its size")
        return text.encode("latin1")


class _Type:
    """Stands for a dtype."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not _INTEGER_TYPE.fullmatch(name):
            raise UnsafePickleError(
                f"it holds an array of type {printable(name[:40])!r}; taken are integers"
            )
        self.name = name

    def __setstate__(self, state: tuple) -> None:
        byte_order = _as_text(state[1])
        if byte_order not in ("<", ">", "|", "="):
            raise ValueError(f"byte order {byte_order!r}")
        self.name = byte_order + self.name.lstrip("<>|=")


class _MakeType:
    """Stands for ``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, name: str | bytes, align: Any = False, copy: Any = False) -> _Type:
        return _Type(_as_text(name))


class _Array:
    """Records what an array is made of."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, kind, fortran, data = state
        self.array = _to_array(data, kind, shape, "F" if fortran else "C")


class _Rebuild:
    """Stands for numpy's ``_reconstruct``."""

    __slots__ = ()

    def __call__(self, marker: _ArrayMarker, shape: tuple, kind: Any) -> _Array:
        if not isinstance(marker, _ArrayMarker):
            raise UnsafePickleError("it rebuilds an array of another class than numpy's")
        return _Array()


class _FromBuffer:
    """Stands for numpy's ``_frombuffer``: arrays in protocol 5."""

    __slots__ = ()

    def __call__(self, data: Any, kind: _Type, shape: tuple, order: str) -> _Array:
        result = _Array()
        result.array = _to_array(data, kind, shape, order)
        return result


def _to_array(data: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    if not isinstance(kind, _Type):
        raise ValueError("an array without a type")
    if not isinstance(data, bytes | bytearray):
        raise ValueError(f"the pixels of an array are a {type(data).__name__}")
    if order not in ("C", "F"):
        raise ValueError(f"memory order {order!r}")
    # reshape checks that there are as many bytes as the shape says
    return np.frombuffer(data, dtype=np.dtype(kind.name)).reshape(shape, order=order)


def _as_text(value: str | bytes) -> str:
    return value.decode("ascii") if isinstance(value, bytes) else str(value)


def _to_plain(value: Any, visited: Iterator[int]) -> Any:
    """Replace records by their arrays; whatever is left of the stand-ins is an error."""
    if next(visited) > _MAX_VALUES:  # a few bytes can name one list a billion times over
        raise UnsafePickleError("it unpacks to far more than its size")
    if isinstance(value, _Array):
        if value.array is None:
            raise ValueError("an array without content")
        return value.array
    if isinstance(value, dict):
        return {_to_plain(k, visited): _to_plain(v, visited) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_to_plain(item, visited) for item in value)
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise UnsafePickleError("it holds something else than plain data and whole arrays")
