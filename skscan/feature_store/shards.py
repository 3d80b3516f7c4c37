"""One file of features and its index, written by one process, row by row.

``NAME.features`` holds float32 rows of one width and nothing else, so that it can be mapped into
memory. ``NAME.index`` holds a record for each row: what the image is known by, and the check sum of
the row. A record is written after its row: what a kill leaves behind is a row, or a piece of one,
that no record speaks of, or a piece of a record at the end.
"""

from __future__ import annotations

import os
import time
import uuid
import zlib
from pathlib import Path
from typing import IO

import numpy as np

__all__ = ["FEATURES_SUFFIX", "INDEX_SUFFIX", "Shard", "ShardWriter"]

FEATURES_SUFFIX = ".features"
INDEX_SUFFIX = ".index"

_RECORD = np.dtype([("identity", "<u8", 2), ("check_sum", "<u4")])
_FORMAT = 0x736B7301


class Shard:
    """A shard that is read.

    Parameters
    ----------
    index : Path
        Its index.
    width : int
        Numbers in a row.

    Attributes
    ----------
    identities : ndarray of shape (n_rows, 2), dtype uint64
        What the images of the rows are known by.
    header : bytes
        Of the store that it was written for, 16 bytes.

    Raises
    ------
    OSError
        If its files cannot be read.
    ValueError
        If the index is none.
    """

    def __init__(self, index: Path, width: int) -> None:
        self.index = index
        content = index.read_bytes()
        whole = len(content) // _RECORD.itemsize
        if not whole:
            raise ValueError("cut short in its first record")
        records = np.frombuffer(content, dtype=_RECORD, count=whole)
        if records["check_sum"][0] != _FORMAT:
            raise ValueError("not written by this version of skscan")
        self.header = records["identity"][0].tobytes()
        self._features = index.with_suffix(FEATURES_SUFFIX)
        self._width = width
        rows_in_file = os.stat(self._features).st_size // (4 * width)
        records = records[1 : 1 + rows_in_file]
        self.identities = records["identity"]
        self._check_sums = records["check_sum"]
        self._order = np.argsort(self.identities[:, 0], kind="stable")

    @property
    def rows(self) -> np.ndarray:
        """All rows, shape (n_rows, width), mapped from the file."""
        shape = (len(self.identities), self._width)
        return np.memmap(self._features, dtype="<f4", mode="r", shape=shape)

    def find(self, identities: np.ndarray) -> np.ndarray:
        """Return the row of each image: -1 where there is none, -2 where it is damaged.

        Parameters
        ----------
        identities : ndarray of shape (n_images, 2), dtype uint64

        Returns
        -------
        rows : ndarray of shape (n_images,), dtype int64
        """
        found = np.full(len(identities), -1, dtype=np.int64)
        if not len(self.identities) or not len(identities):
            return found
        places = np.searchsorted(self.identities[self._order, 0], identities[:, 0])
        candidates = self._order[np.minimum(places, len(self._order) - 1)]
        same = (self.identities[candidates] == identities).all(axis=1)
        rows = self.rows
        for i in np.flatnonzero(same):
            row = int(candidates[i])
            found[i] = row if zlib.crc32(rows[row]) == self._check_sums[row] else -2
        return found

    def note_use(self) -> None:
        """Note that the shard is in use, for `skscan.feature_store.prune`."""
        os.utime(self.index)


class ShardWriter:
    """A new shard, written by this process alone.

    Parameters
    ----------
    folder : Path
        Where the files are made; it exists.
    header : bytes
        Of the store, 16 bytes.

    Raises
    ------
    OSError
        If the files cannot be made.
    """

    def __init__(self, folder: Path, header: bytes) -> None:
        name = f"{time.time_ns():016x}-{uuid.uuid4().hex[:12]}"
        self._files: list[IO[bytes]] = []
        try:
            for suffix in (FEATURES_SUFFIX, INDEX_SUFFIX):
                self._files.append((folder / f"{name}{suffix}").open("xb", buffering=0))
            record = np.empty(1, dtype=_RECORD)
            record["identity"] = np.frombuffer(header, dtype="<u8")
            record["check_sum"] = _FORMAT
            _write(self._files[1], record)
        except OSError:
            self.close()
            raise

    def append(self, identities: np.ndarray, rows: np.ndarray) -> None:
        """Write rows, then their records.

        Parameters
        ----------
        identities : ndarray of shape (n_rows, 2), dtype uint64
        rows : ndarray of shape (n_rows, width), dtype float32

        Raises
        ------
        OSError
            If the disk is full, or fails. What was appended before stays readable.
        """
        rows = np.ascontiguousarray(rows, dtype="<f4")
        records = np.empty(len(rows), dtype=_RECORD)
        records["identity"] = identities
        records["check_sum"] = [zlib.crc32(row) for row in rows]
        features, index = self._files
        _write(features, rows)
        _write(index, records)

    def close(self) -> None:
        """Close the files."""
        for file in self._files:
            file.close()


def _write(file: IO[bytes], array: np.ndarray) -> None:
    """Write all of an array: a file without buffer may take a part of it."""
    rest = memoryview(array.tobytes())
    while rest:
        rest = rest[file.write(rest) :]
