"""Where the command keeps finished stages, so that a run that ended early loses none of them.

The folder belongs to the user alone (cached results are Python pickles): results folders, which
are passed around, hold none.
"""

import time
from contextlib import suppress
from pathlib import Path

from skscan._cache_folder import cache_folder

__all__ = ["cache_folder", "has_features_since", "now", "prune_cache"]

_BYTES_LIMIT = 2**32


def has_features_since(started: float, memory: Path | None = None) -> bool:
    """Return whether features were kept in the cache after `started` (``time.time()``).

    With `memory`, in that folder.
    """
    written = (memory or cache_folder()).glob("features/*/*.index")
    return any(path.stat().st_mtime >= started for path in written)


def now() -> float:
    """Return the time as files have it, rounded down to the coarsest clock of a disk."""
    return time.time() // 2 * 2


def thumbnail_cache() -> Path:
    """Return the file that keeps the thumbnails of reports."""
    return cache_folder() / "thumbnails.sqlite"


def prune_cache() -> None:
    """Drop what was not used for longest: features and results to 4 GiB each, thumbnails to 1.

    The work is done by then: a folder that cannot be used was told of when it was needed.
    """
    from joblib import Memory

    from skscan.extractors.passes import FEATURES_FOLDER
    from skscan.feature_store import prune
    from skscan.report.thumbnail_store import ThumbnailStore

    prune(cache_folder() / FEATURES_FOLDER, _BYTES_LIMIT)
    with suppress(OSError):
        Memory(cache_folder(), verbose=0).reduce_size(bytes_limit=_BYTES_LIMIT)
    store = ThumbnailStore(thumbnail_cache())
    store.prune()
    store.close()
