"""Thumbnails that were made once, kept in one file for every later report."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from skscan.exceptions import SkscanWarning
from skscan.feature_store.identities import image_identities
from skscan.images import ImageCollection

__all__ = ["MAX_BYTES", "ThumbnailStore", "thumbnail_keys"]

MAX_BYTES = 2**30
"""Thumbnails that are kept on disk: 1 GiB, some 250,000 of photographs."""

_PER_QUERY = 500
_SECONDS_TO_WAIT = 30.0  # for another process that is writing
_TABLE = """CREATE TABLE IF NOT EXISTS thumbnails
    (number INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, image BLOB NOT NULL)"""
# bumped when thumbnails come to look different
_VERSION = b"1"


class ThumbnailStore:
    """Thumbnails by key, in an SQLite file that several threads and processes may use at once.

    It is a cache: what cannot be kept or read is made anew. The first failure is told as a
    warning, and the store is left alone from then on.

    Parameters
    ----------
    path : str or path-like
        The file; made, with its folder, when the first thumbnail is kept.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._start()

    def _start(self) -> None:
        self._failed = False
        self._connection: sqlite3.Connection | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the thumbnails that are known.

        Parameters
        ----------
        keys : sequence of bytes

        Returns
        -------
        thumbnails : dict of bytes to bytes
            An image file for each known key.
        """
        found: dict[bytes, bytes] = {}
        with self._lock:
            if self._failed or not self.path.exists():
                return found
            try:
                connection = self._open()
                for start in range(0, len(keys), _PER_QUERY):
                    part = keys[start : start + _PER_QUERY]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, image FROM thumbnails WHERE key IN ({marks})"
                    found.update(connection.execute(query, list(part)))
            except sqlite3.Error as error:
                self._give_up(error)
        return found

    def put(self, thumbnails: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep thumbnails, in one step.

        Parameters
        ----------
        thumbnails : iterable of (bytes, bytes)
            Key and image file of each.
        """
        with self._lock:
            if self._failed:
                return
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                connection = self._open()
                with connection:
                    connection.executemany(
                        "INSERT OR REPLACE INTO thumbnails (key, image) VALUES (?, ?)",
                        list(thumbnails),
                    )
            except (sqlite3.Error, OSError) as error:
                self._give_up(error)

    def prune(self, max_bytes: int = MAX_BYTES) -> None:
        """Drop the thumbnails that were made first, down to `max_bytes`."""
        with self._lock:
            if self._failed or not self.path.exists():
                return
            try:
                connection = self._open()
                if self._n_bytes(connection) <= max_bytes:
                    return
                newest_first = "SELECT number, length(image) FROM thumbnails ORDER BY number DESC"
                kept = 0
                for number, size in connection.execute(newest_first).fetchall():
                    kept += size
                    if kept > max_bytes:
                        drop = "DELETE FROM thumbnails WHERE number <= ?"
                        with connection:
                            connection.execute(drop, (number,))
                        break
            except sqlite3.Error as error:
                self._give_up(error)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                with suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    def _open(self) -> sqlite3.Connection:
        if self._process != os.getpid():  # SQLite's connections do not survive a fork
            self._connection, self._process = None, os.getpid()
        if self._connection is None:
            connection = sqlite3.connect(
                self.path, timeout=_SECONDS_TO_WAIT, check_same_thread=False
            )
            # a cache may lose its last lines with the machine's power, but never its order
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(_TABLE)
            self._connection = connection
        return self._connection

    @staticmethod
    def _n_bytes(connection: sqlite3.Connection) -> int:
        """Size of what is kept, pages that became free left out."""
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def _give_up(self, error: Exception) -> None:
        self.close()
        self._failed = True
        warnings.warn(
            f"Thumbnails cannot be kept in {str(self.path)!r} ({error}); they are made anew for "
            "each report, and nothing else is lost. Make room there, or remove the file.",
            SkscanWarning,
            stacklevel=4,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._start()


def thumbnail_keys(images: ImageCollection) -> list[bytes]:
    """Return what the thumbnails of images are known by.

    Parameters
    ----------
    images : ImageCollection

    Returns
    -------
    keys : list of bytes
        The identity of each image and the version of thumbnails; empty for an image that cannot be
        read, of which none is kept.
    """
    return [
        identity.tobytes() + _VERSION if identity.any() else b""
        for identity in image_identities(images)
    ]
