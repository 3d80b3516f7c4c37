"""Image files whose thumbnails are made when they are decoded anyway, and read instead of them."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Sequence
from time import monotonic
from typing import Any

import numpy as np
from PIL import Image

from skscan.feature_store.identities import file_states, identities_of_files, version_of
from skscan.images.collection import FileImages
from skscan.report.thumbnail_store import ThumbnailStore, thumbnail_keys
from skscan.report.thumbnails import SIDE, encode_thumbnail, iter_thumbnails

__all__ = ["RememberingImages"]

_PER_WRITE = 64
_PER_READ = 512
_SECONDS_UNWRITTEN = 1.0  # of a worker process that ends, the last thumbnails are lost


class RememberingImages(FileImages):
    """Image files that leave a thumbnail in a store when they are read.

    Reading is what takes time with photographs: features and thumbnails share it. Copies that are
    sent to other processes write to the same store.

    Parameters
    ----------
    paths : list of str
        As for `FileImages`.
    store : ThumbnailStore

    Attributes
    ----------
    versions : list of str
        What tells the versions of each file apart, see `version_of`.
    """

    def __init__(self, paths: list[str], store: ThumbnailStore) -> None:
        super().__init__(paths)
        self._store = store
        states = file_states(paths)
        self.identities = identities_of_files(states)
        self.versions = list(map(version_of, states))
        self._keys = thumbnail_keys(self)
        self._done = np.zeros(len(paths), dtype=bool)
        self._unwritten = _Unwritten(store)

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Decode image number `i` and keep its thumbnail; see `ImageCollection.read`."""
        image = super().read(i, min_side)
        # what was decoded for a smaller picture may have lost more than a thumbnail should
        whole = min_side is None or min_side >= SIDE or max(image.size) >= SIDE
        if whole and not self._done[i]:
            self._keep(i, encode_thumbnail(image))
        return image

    def take(self, rows: np.ndarray) -> RememberingImages:
        """Return the images of some rows; `flush` writes their thumbnails too."""
        part = RememberingImages([], self._store)
        part.names = [self.names[row] for row in rows]
        part._archives = self._archives
        part.identities = None if self.identities is None else self.identities[rows]
        part.versions = [self.versions[row] for row in rows]
        part._keys = [self._keys[row] for row in rows]
        part._done = self._done[rows]
        part._unwritten = self._unwritten
        return part

    def _keep(self, i: int, thumbnail: bytes) -> None:
        self._done[i] = True
        if self._keys[i]:
            self._unwritten.add(self._keys[i], thumbnail)

    def flush(self) -> None:
        """Write what was made and is not in the store yet."""
        self._unwritten.flush()

    def thumbnails(self, rows: Sequence[int], n_jobs: int | None = None) -> Iterator[bytes | None]:
        """Give the thumbnail of each image, in the order of `rows`; those not kept are made.

        Parameters
        ----------
        rows : sequence of int
        n_jobs : int or None, default=None
            Threads, for those that have to be made.

        Yields
        ------
        bytes or None
            An image file; None where the image can no longer be read.
        """
        self.flush()
        files = self._files()
        for start in range(0, len(rows), _PER_READ):
            part = [int(row) for row in rows[start : start + _PER_READ]]
            known = self._store.get([self._keys[row] for row in part])
            missing = [row for row in part if self._keys[row] not in known]
            made = iter_thumbnails(files, missing, n_jobs) if missing else iter(())
            for row in part:
                thumbnail = known.get(self._keys[row])
                if thumbnail is None:
                    thumbnail = next(made)
                    if thumbnail is not None:
                        self._keep(row, thumbnail)
                yield thumbnail
        self.flush()

    def small(self) -> FileImages:
        """Return the same images as their thumbnails show them, which are not read anew."""
        self.flush()
        return _SmallImages(self._files(), self._keys, self._store)

    def _files(self) -> FileImages:
        files = FileImages(self.names)
        files._archives = self._archives
        return files


class _Unwritten:
    """Thumbnails on their way to a store, which are written many at a time."""

    def __init__(self, store: ThumbnailStore) -> None:
        self._store = store
        self._start()

    def _start(self) -> None:
        self._new: list[tuple[bytes, bytes]] = []
        self._written = monotonic()
        self._lock = threading.Lock()

    def add(self, key: bytes, thumbnail: bytes) -> None:
        with self._lock:
            self._new.append((key, thumbnail))
            waiting = monotonic() - self._written
            if len(self._new) < _PER_WRITE and waiting < _SECONDS_UNWRITTEN:
                return
        self.flush()

    def flush(self) -> None:
        with self._lock:
            new, self._new, self._written = self._new, [], monotonic()
        if new:
            self._store.put(new)

    def __getstate__(self) -> dict[str, Any]:
        return {"_store": self._store}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._store = state["_store"]
        self._start()


class _SmallImages(FileImages):
    """Image files of which thumbnails are read where there are any."""

    def __init__(self, files: FileImages, keys: list[bytes], store: ThumbnailStore) -> None:
        super().__init__(files.names)
        self._archives = files._archives
        self._keys, self._store = keys, store

    def read(self, i: int, min_side: int | None = None) -> Image.Image:
        """Decode the thumbnail of image number `i` if it is large enough, or the image."""
        if min_side is not None and min_side <= SIDE:
            for thumbnail in self._store.get([self._keys[i]]).values():
                return Image.open(io.BytesIO(thumbnail)).convert("RGB")
        return super().read(i, min_side)
