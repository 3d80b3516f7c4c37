"""Thumbnails that were made once, kept in one file for every later report."""

from __future__ import annotations

import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from skscan._files import NO_ROOM
from skscan.exceptions import SkscanWarning
from skscan.feature_store.identities import IDENTITY_BYTES, image_identities
from skscan.images import ImageCollection

__all__ = ["MAX_BYTES", "ThumbnailStore", "thumbnail_keys"]

MAX_BYTES = 2**30
"""Thumbnails that are kept on disk: 1 GiB, some 250,000 of photographs."""

_PER_QUERY = 500
_SECONDS_TO_WAIT = 30.0  # for another process that is writing
_TABLE = """CREATE TABLE IF NOT EXISTS thumbnails
    (number INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, image BLOB NOT NULL)"""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# bumped when thumbnails come to look different
_VERSION = b"1"


class ThumbnailStore:
    """Thumbnails by key, in an SQLite file that several threads and processes may use at once.

    It is a cache: what cannot be kept or read is made anew. A damaged file is put aside, under its
    name with ``.damaged``, and begun anew, with a warning. Any other failure is told as a warning
    too, and the store is left alone from then on.

    Parameters
    ----------
    path : str or path-like
        The file; made, with its folder, when the first thumbnail is kept.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self._start()

    def _start(self) -> None:
        self._failed = self._begun_anew = False
        self._file: tuple[int, int] | None = None
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

        def look_up(connection: sqlite3.Connection) -> None:
            for start in range(0, len(keys), _PER_QUERY):
                part = keys[start : start + _PER_QUERY]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, image FROM thumbnails WHERE key IN ({marks})"
                found.update(connection.execute(query, list(part)))

        self._do(look_up)
        return found

    def put(self, thumbnails: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep thumbnails, in one step.

        Parameters
        ----------
        thumbnails : iterable of (bytes, bytes)
            Key and image file of each.
        """
        rows = list(thumbnails)

        def insert(connection: sqlite3.Connection) -> None:
            with connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO thumbnails (key, image) VALUES (?, ?)", rows
                )

        self._do(insert, makes=True)

    def prune(self, max_bytes: int = MAX_BYTES) -> None:
        """Drop the thumbnails that were made first, down to `max_bytes`."""

        def drop(connection: sqlite3.Connection) -> None:
            if self._n_bytes(connection) <= max_bytes:
                return
            newest_first = "SELECT number, length(image) FROM thumbnails ORDER BY number DESC"
            kept = 0
            for number, size in connection.execute(newest_first).fetchall():
                kept += size
                if kept > max_bytes:
                    with connection:
                        connection.execute("DELETE FROM thumbnails WHERE number <= ?", (number,))
                    break

        self._do(drop)

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                with suppress(sqlite3.Error):
                    self._connection.close()
            self._connection = None

    def _do(self, action: Callable[[sqlite3.Connection], None], *, makes: bool = False) -> None:
        """Do something with the file, which is made if need be; if it is damaged, with a new one.

        Nothing is raised: see the class.
        """
        with self._lock:
            while not self._failed and (makes or self.path.exists()):
                try:
                    if makes:
                        self.path.parent.mkdir(parents=True, exist_ok=True)
                    action(self._open())
                    return
                except (sqlite3.Error, OSError) as error:
                    if _code(error) in _DAMAGED and not self._begun_anew:
                        self._begin_anew(error)
                    else:
                        self._give_up(error)

    def _open(self) -> sqlite3.Connection:
        if self._process != os.getpid():  # SQLite's connections do not survive a fork
            self._connection, self._process = None, os.getpid()
        if self._connection is None:
            self._file = self._file_now()
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

    def _file_now(self) -> tuple[int, int] | None:
        """Tell apart the files that come to stand at the path."""
        try:
            status = os.stat(self.path)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _begin_anew(self, error: Exception) -> None:
        """Put a damaged file aside, unless another process has done so already."""
        self.close()
        self._begun_anew = True
        if self._file_now() != self._file:
            return
        aside = self.path.with_name(f"{self.path.name}.damaged")
        try:
            for suffix in (
                "-wal",
                "-shm",
            ):  # parts of the damaged one, of which a new one knows nothing
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            os.replace(self.path, aside)
        except OSError:
            self._give_up(error)
            return
        warnings.warn(
            f"The thumbnails in {str(self.path)!r} are damaged ({error}): the file was put aside, "
            f"as {aside.name!r}, which may be deleted, and a new one is begun. Nothing else is "
            "lost.",
            SkscanWarning,
            stacklevel=5,
        )

    def _give_up(self, error: Exception) -> None:
        self.close()
        self._failed = True
        if _code(error) in _DAMAGED:
            advice = "Remove the file"
        elif _code(error) == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in NO_ROOM:
            advice = "Make room there"
        else:
            advice = "See that the file can be read and written to, or remove it"
        warnings.warn(
            f"Thumbnails cannot be kept in {str(self.path)!r} ({error}); they are made anew for "
            f"each report, and nothing else is lost. {advice}.",
            SkscanWarning,
            stacklevel=5,
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._start()


def _code(error: Exception) -> int:
    """Return what SQLite calls an error, without the details; 0 where it is not its own."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


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
    identities = image_identities(images)
    raw = identities.tobytes()
    known = np.any(identities, axis=1)
    return [
        raw[i * IDENTITY_BYTES : (i + 1) * IDENTITY_BYTES] + _VERSION if known[i] else b""
        for i in range(len(identities))
    ]
