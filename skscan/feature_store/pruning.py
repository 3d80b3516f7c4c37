"""Keep stores of features within bounds."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from skscan.feature_store.shards import FEATURES_SUFFIX, INDEX_SUFFIX

__all__ = ["prune", "stored_bytes"]

# A run that reads or writes a shard notes so at its beginning and with each batch.
_SECONDS_IN_USE = 3600


def prune(memory: str | os.PathLike, bytes_limit: int) -> int:
    """Drop the features that were not used for longest.

    Features that were read or written within an hour are in use, and stay.

    Parameters
    ----------
    memory : path
        The folder that holds the stores of all extractors.
    bytes_limit : int
        What may stay.

    Returns
    -------
    n_bytes : int
        What was dropped.
    """
    shards = []
    for index in Path(memory).glob(f"*/*{INDEX_SUFFIX}"):
        with suppress(OSError):  # dropped by another process a moment ago
            shards.append((index.stat().st_mtime, index, _size(index)))
    surplus = sum(n_bytes for _, _, n_bytes in shards) - bytes_limit
    dropped = 0
    for used, index, n_bytes in sorted(shards):
        if dropped >= surplus or used > time.time() - _SECONDS_IN_USE:
            break
        with suppress(OSError):
            # The index first: without it nobody looks for the features.
            index.unlink()
            dropped += n_bytes
            index.with_suffix(FEATURES_SUFFIX).unlink()
    return dropped


def stored_bytes(memory: str | os.PathLike) -> int:
    """Return the size of all stores in a folder.

    Parameters
    ----------
    memory : path
        The folder that holds the stores of all extractors.

    Returns
    -------
    n_bytes : int
    """
    return sum(_size(index) for index in Path(memory).glob(f"*/*{INDEX_SUFFIX}"))


def _size(index: Path) -> int:
    n_bytes = 0
    for path in (index, index.with_suffix(FEATURES_SUFFIX)):
        with suppress(OSError):
            n_bytes += path.stat().st_size
    return n_bytes
