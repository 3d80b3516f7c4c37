"""The features that one extractor has given, found by what the images are known by."""

from __future__ import annotations

import json
import os
import warnings
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from skscan._files import NO_ROOM, write_atomically
from skscan.exceptions import SkscanWarning
from skscan.feature_store.shards import FEATURES_SUFFIX, INDEX_SUFFIX, Shard, ShardWriter

__all__ = ["FeatureStore"]

_ABOUT = "about.json"


class FeatureStore:
    """Rows of features on disk.

    It never fails: what cannot be read is not known, and where writing fails, that is said once and
    the work goes on without.

    Parameters
    ----------
    memory : path
        The folder that holds the stores of all extractors.
    key : str
        What decides the features, hashed; see `skscan.extractors.passes`. Another key is another
        store.
    row_shape : tuple of int
        Shape of what is kept of an image.
    about : dict
        What the key was made of, in words, for who looks into the folder.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skscan.feature_store import FeatureStore
    >>> identities = np.array([[1, 2], [3, 4]], dtype=np.uint64)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = FeatureStore(folder, "mine", (3,), {})
    ...     store.append(identities[:1], np.ones((1, 3), dtype=np.float32))
    ...     places = store.find(identities)
    ...     store.read(places[:1])
    array([[1., 1., 1.]], dtype=float32)
    >>> places[:, 0] >= 0
    array([ True, False])
    """

    def __init__(
        self, memory: str | os.PathLike, key: str, row_shape: tuple[int, ...], about: dict[str, Any]
    ) -> None:
        self.folder = Path(memory) / key
        self.row_shape = row_shape
        self.about = about
        self._header = blake2b(repr((key, row_shape)).encode(), digest_size=16).digest()
        self._width = int(np.prod(row_shape))
        self._shards: list[Shard] = []
        self._writer: ShardWriter | None = None
        self._failed = False

    def find(self, identities: np.ndarray) -> np.ndarray:
        """Find rows; check that they are as they were written.

        Parameters
        ----------
        identities : ndarray of shape (n_images, 2), dtype uint64
            See `image_identities`; 0 is found nowhere.

        Returns
        -------
        places : ndarray of shape (n_images, 2), dtype int64
            Where `read` finds each row; -1 for what is not known.

        Warns
        -----
        SkscanWarning
            If files or rows are damaged.
        """
        places = np.full((len(identities), 2), -1, dtype=np.int64)
        damaged = np.zeros(len(identities), dtype=bool)
        self._shards = []
        missing = np.flatnonzero(identities.any(axis=1))
        for shard in self._open_shards():
            try:
                rows = shard.find(identities[missing])
                if (rows >= 0).any():
                    shard.note_use()
            except OSError:  # dropped by another process a moment ago
                continue
            found = missing[rows >= 0]
            places[found, 0] = len(self._shards)
            places[found, 1] = rows[rows >= 0]
            self._shards.append(shard)
            damaged[missing[rows == -2]] = True
            missing = missing[rows < 0]
        if n_damaged := int(damaged[missing].sum()):
            warnings.warn(
                f"Damaged features in {str(self.folder)!r} (check sums differ, images: "
                f"{n_damaged}) are computed again.",
                SkscanWarning,
                stacklevel=2,
            )
        return places

    def read(self, places: np.ndarray) -> np.ndarray:
        """Read rows in any order.

        Parameters
        ----------
        places : ndarray of shape (n_rows, 2), dtype int64
            Of `find`; none of them -1.

        Returns
        -------
        rows : ndarray of shape (n_rows, ...), dtype float32
        """
        rows = np.empty((len(places), self._width), dtype=np.float32)
        for number in np.unique(places[:, 0]):
            here = places[:, 0] == number
            rows[here] = self._shards[number].rows[places[here, 1]]
        return rows.reshape(-1, *self.row_shape)

    def mapped(self, places: np.ndarray) -> np.ndarray | None:
        """Return rows without reading them, where they stand one after the other in one file.

        Parameters
        ----------
        places : ndarray of shape (n_rows, 2), dtype int64
            Of `find`.

        Returns
        -------
        rows : read-only ndarray of shape (n_rows, ...), dtype float32, or None
        """
        number, first = places[0]
        in_order = np.arange(first, first + len(places))
        if number < 0 or (places[:, 0] != number).any() or (places[:, 1] != in_order).any():
            return None
        rows = self._shards[number].rows[first : first + len(places)]
        return rows.reshape(-1, *self.row_shape)

    def append(self, identities: np.ndarray, rows: np.ndarray) -> None:
        """Write rows, to be found by later calls of `find`, of any process.

        Parameters
        ----------
        identities : ndarray of shape (n_rows, 2), dtype uint64
            Images known by nothing (0) are left out.
        rows : ndarray of shape (n_rows, ...), dtype float32

        Warns
        -----
        SkscanWarning
            If that is not possible, once; nothing is written from then on.
        """
        known = identities.any(axis=1)
        if self._failed or not known.any():
            return
        try:
            if self._writer is None:
                self.folder.mkdir(parents=True, exist_ok=True)
                about = json.dumps({**self.about, "row_shape": self.row_shape}, indent=1)
                write_atomically(self.folder / _ABOUT, about.encode())
                self._writer = ShardWriter(self.folder, self._header)
            self._writer.append(identities[known], rows[known].reshape(-1, self._width))
        except OSError as error:
            self._failed = True
            self.close()
            full = error.errno in NO_ROOM
            advice = "Make room there, or choose" if full else "To keep them, choose"
            warnings.warn(
                f"Features could not be kept in {str(self.folder)!r} ({error.strerror or error}); "
                "the work goes on without, and nothing else is lost. "
                f"{advice} another memory; what was kept so far is used next time.",
                SkscanWarning,
                stacklevel=2,
            )

    def close(self) -> None:
        """Close the file that is being written."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open_shards(self) -> list[Shard]:
        shards = []
        for index in sorted(self.folder.glob(f"*{INDEX_SUFFIX}")):
            try:
                shard = Shard(index, self._width)
                if shard.header != self._header:
                    raise ValueError("of another extractor, size or version")
            except (FileNotFoundError, ValueError) as error:
                # A process that was killed, or is just beginning, leaves an empty file.
                if isinstance(error, FileNotFoundError) or not index.stat().st_size:
                    continue
                self._drop_unusable(index, str(error))
            except OSError as error:
                self._tell_of_unusable(index, error.strerror or str(error))
            else:
                shards.append(shard)
        return shards

    def _drop_unusable(self, index: Path, reason: str) -> None:
        """Remove a shard that will never be of use, so that it is told of once."""
        try:
            index.unlink(missing_ok=True)
            index.with_suffix(FEATURES_SUFFIX).unlink(missing_ok=True)
        except OSError:
            self._tell_of_unusable(index, reason)
            return
        warnings.warn(
            f"{str(index)!r} was damaged ({reason}) and has been removed; its features are "
            "computed again, and nothing else is lost.",
            SkscanWarning,
            stacklevel=4,
        )

    def _tell_of_unusable(self, index: Path, reason: str) -> None:
        warnings.warn(
            f"{str(index)!r} cannot be used ({reason}); its features are computed again. Delete it "
            f"and {index.stem}.features beside it to be rid of this warning.",
            SkscanWarning,
            stacklevel=5,
        )
