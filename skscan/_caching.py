"""Results of functions that joblib keeps; a cache that fails costs no more than itself."""

from __future__ import annotations

import functools
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Memory
from joblib.memory import MemorizedFunc
from sklearn.utils.validation import check_memory

from skscan._files import NO_ROOM
from skscan.exceptions import SkscanWarning

__all__ = ["call_cached", "checked_memory", "memory_folder"]

_MAKE_ROOM = "nothing else is lost. Make room there, or choose another place."
_NOT_WRITTEN = "Unable to cache to disk"


def checked_memory(memory: Any) -> Any:
    """Make a joblib memory of the parameter `memory`, and see that its folder can be written to.

    Parameters
    ----------
    memory : None, str, path-like or object with the joblib.Memory interface

    Returns
    -------
    memory : object with the joblib.Memory interface
        One that keeps nothing where the disk has no room for a folder.

    Raises
    ------
    ValueError
        If `memory` is no folder, or one that cannot be written to.

    Warns
    -----
    SkscanWarning
        If the disk is full.
    """
    if isinstance(memory, os.PathLike):
        memory = os.fspath(memory)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Unable to write .*gitignore")  # told of below
            place = check_memory(memory)
        folder = memory_folder(place)
        if folder is not None and isinstance(place, Memory) and place.backend == "local":
            tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno in NO_ROOM:
            _warn(f"Results cannot be kept in memory={_shown(memory)} ({reason}); {_MAKE_ROOM}")
            return Memory(None)
        raise ValueError(
            f"memory={_shown(memory)} cannot be used ({reason}); memory takes a folder that can be "
            "written to, and is made where there is none, or None to keep nothing."
        ) from error
    return place


def _shown(memory: Any) -> str:
    return repr(memory_folder(memory) if hasattr(memory, "location") else memory)


def memory_folder(memory: Any) -> str | None:
    """Return the folder of a memory, None where it has none."""
    location = getattr(memory, "location", None)
    return None if location is None else os.fspath(location)


def call_cached(
    memory: Any,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    *,
    ignore: Sequence[str] = (),
    mmap_mode: str | None = None,
) -> Any:
    """Call a function through a cache.

    Parameters
    ----------
    memory : object with the joblib.Memory interface
        The cache.
    function : callable
        Of a module, so that it has a name in the cache.
    arguments : tuple
        What it is called with.
    ignore : sequence of str, default=()
        Names of arguments that do not decide the result.
    mmap_mode : str or None, default=None
        With ``"r"``, arrays are mapped from the cache instead of read.

    Returns
    -------
    result : object
        What the function gives: from the cache, or as it is where the cache fails.

    Warns
    -----
    SkscanWarning
        If the cache is damaged, or the result could not be kept there.
    """
    if memory_folder(memory) is None and isinstance(memory, Memory):
        return function(*arguments)
    results: list[Any] = []
    raised: list[BaseException] = []

    @functools.wraps(function)
    def remembering(*given: Any) -> Any:
        try:
            results.append(function(*given))
        except BaseException as error:
            raised.append(error)
            raise
        return results[0]

    if mmap_mode:
        memory = _mapping(memory, mmap_mode)
    with _translated_messages(memory) as (failures, damaged, hear):
        cached = None
        try:
            cached = memory.cache(remembering, ignore=list(ignore))
            hear(cached)
            results[:] = [cached(*arguments)]  # mapped from the disk, or as it was computed
        except Exception as error:
            # joblib carries on where a result cannot be written, but neither where the note of a
            # function cannot or is no text, nor where a result was to be mapped that is not there.
            if raised or not (results or isinstance(error, OSError | UnicodeDecodeError)):
                raise
            if isinstance(error, UnicodeDecodeError) and isinstance(cached, MemorizedFunc):
                damaged.append(str(error))
                cached.clear(warn=False)
            else:
                failures.append(getattr(error, "strerror", None) or str(error))
    # nothing stays in the list: `cached` and what listens to it hold each other, and the list
    return results.pop() if results else function(*arguments)


def _mapping(memory: Any, mmap_mode: str) -> Any:
    """Return the same memory, whose results are mapped where they are not compressed.

    The parameter of `Memory.cache` does not reach what loads a result: it is read as a whole.
    """
    if not isinstance(memory, Memory) or memory.compress:
        return memory
    return Memory(
        memory.location,
        backend=memory.backend,
        mmap_mode=mmap_mode,
        verbose=memory._verbose,
        backend_options=memory.backend_options,
    )


@contextmanager
def _translated_messages(
    memory: Any,
) -> Iterator[tuple[list[str], list[str], Callable[[Any], None]]]:
    """Put what joblib says of a failing cache into the user's words.

    Gives reasons why a result was not kept, and what is damaged, both to add to, and a function
    that listens to a cached function.
    """
    failures: list[str] = []
    damaged: list[str] = []

    def hear(cached: Any) -> None:
        def warn(message: str) -> None:
            if "Exception while loading results" in message:  # and a traceback
                damaged.append(message)
            else:
                MemorizedFunc.warn(cached, message)

        if isinstance(cached, MemorizedFunc):
            cached.warn = warn

    with warnings.catch_warnings():
        warnings.filterwarnings("always", _NOT_WRITTEN)
        show_others = warnings.showwarning

        def show(message: Warning | str, *details: Any, **more: Any) -> None:
            if str(message).startswith(_NOT_WRITTEN):
                failures.append(str(message).split("Exception: ")[-1].strip(" ."))
            else:
                show_others(message, *details, **more)

        warnings.showwarning = show
        yield failures, damaged, hear
    where = f"memory={memory_folder(memory)!r}"
    if damaged:
        _warn(
            f"Results that were kept in {where} are damaged or cut short; they are computed again "
            "and replaced, and nothing else is lost."
        )
    if failures:
        _warn(f"A result could not be kept in {where} ({failures[0]}); {_MAKE_ROOM}")


def _warn(message: str) -> None:
    warnings.warn(message, SkscanWarning, stacklevel=6)
