"""Files written in one step, check sums of files, and arrays too large for memory."""

from __future__ import annotations

import errno
import mmap
import os
import tempfile
import zipfile
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import DTypeLike

__all__ = [
    "NO_ROOM",
    "TEMPORARY_PREFIX",
    "allocate_array",
    "compare_check_sums",
    "release_pages",
    "write_atomically",
]

TEMPORARY_PREFIX = ".skscan-"

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""Codes of errors: the disk is full, or the quota is used up."""


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Write a file in one step: whoever reads it finds the earlier content or all of the new one.

    Parameters
    ----------
    path : Path
        Where to write; its folder exists.

    data : bytes
        What to write.

    Raises
    ------
    OSError
        If writing fails, for instance on a full disk; the error names the path, and an earlier
        file is left as it was.
    """
    prefix = f"{TEMPORARY_PREFIX}{path.name}-"  # tells whose it is, when a killed process left it
    descriptor, temporary = tempfile.mkstemp(".tmp", prefix, path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp lets nobody else read
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failed write does not say where
        raise


def compare_check_sums(file: str | IO[bytes]) -> None:
    """Compare the check sums of a torch file, which torch does not: a flipped bit is a weight.

    Parameters
    ----------
    file : str or binary file
        A zip, as torch writes them.

    Raises
    ------
    ValueError
        If a part of it is damaged; the part is named.
    zipfile.BadZipFile
        If it is no zip.
    """
    with zipfile.ZipFile(file) as archive:
        damaged = archive.testzip()
    if damaged is not None:
        raise ValueError(f"wrong check sum of {damaged}")


def allocate_array(
    shape: tuple[int, ...], dtype: DTypeLike, content: str, max_bytes_in_memory: int
) -> np.ndarray:
    """Make room for an array: in memory, or mapped from a nameless temporary file if it is large.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    content : str
        What it will hold, for the error: ``"features"``.
    max_bytes_in_memory : int
        Larger arrays go to a file in ``TMPDIR``, which goes when the array does.

    Returns
    -------
    ndarray
        Not initialised.

    Raises
    ------
    OSError
        If the disk has no room for the file.
    """
    n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if n_bytes <= max_bytes_in_memory:
        return np.empty(shape, dtype=dtype)
    with tempfile.TemporaryFile(prefix="skscan-") as file:
        try:
            # Reserved now: a full disk would later kill the process instead of raising an error.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
        except OSError as error:
            raise OSError(
                error.errno,
                f"no room for {n_bytes / 2**30:.1f} GiB of {content} in {tempfile.gettempdir()!r} "
                f"({error.strerror}); set TMPDIR to a folder on a larger disk",
            ) from error
        return np.memmap(file, dtype=dtype, mode="r+", shape=shape)


def release_pages(array: np.ndarray) -> None:
    """Let go of the pages of an array that is mapped from a file; the content stays.

    They count as memory of the process until the system takes them back, or forever where there
    is enough. Arrays in memory are left alone, as are private maps, whose changes are in no file.

    Parameters
    ----------
    array : ndarray
        Any, also a view.
    """
    owner: object = array
    while isinstance(owner, np.ndarray):
        if isinstance(owner, np.memmap) and owner.mode == "c":
            return
        owner = owner.base
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
