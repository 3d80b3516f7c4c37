"""Where the command keeps finished stages, so that a run that ended early loses none of them.

The folder belongs to the user alone (cached results are Python pickles): results folders, which
are passed around, hold none.
"""

import time

from skscan._cache_folder import cache_folder

__all__ = ["cache_folder", "has_features_since", "now", "prune_cache"]

_SIZE_LIMIT = "4G"


def has_features_since(started: float) -> bool:
    """Return whether features were put into the cache after `started` (``time.time()``)."""
    results = cache_folder().glob("**/_fit_extract/*/output.pkl")
    return any(path.stat().st_mtime >= started for path in results)


def now() -> float:
    """Return the time as files have it, rounded down to the coarsest clock of a disk."""
    return time.time() // 2 * 2


def prune_cache() -> None:
    """Drop the results that were not used for longest, down to 4 GiB."""
    from joblib import Memory

    Memory(cache_folder(), verbose=0).reduce_size(bytes_limit=_SIZE_LIMIT)
