"""Thumbnails made when they are asked for."""

from __future__ import annotations

import threading
from collections import OrderedDict

import joblib

from skscan.images import ImageCollection
from skscan.report.thumbnails import make_thumbnail

__all__ = ["MAX_BYTES", "ThumbnailCache"]

MAX_BYTES = 2**28
"""Thumbnails that are kept in memory: 256 MiB, some 50,000 of photographs."""


class ThumbnailCache:
    """Makes thumbnails of a collection and keeps those that were asked for last.

    May be used from several threads.

    Parameters
    ----------
    images : ImageCollection
    max_bytes : int, default=2**28
        Memory for thumbnails that are kept.
    """

    def __init__(self, images: ImageCollection, max_bytes: int = MAX_BYTES) -> None:
        self._images = images
        self._max_bytes = max_bytes
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self._n_bytes = 0
        self._changing = threading.Lock()
        # a decoded photograph may take hundreds of megabytes: not more of them at once than help
        self._decoding = threading.BoundedSemaphore(joblib.cpu_count())

    def get(self, number: int) -> bytes | None:
        """Return the thumbnail of an image.

        Parameters
        ----------
        number : int
            Of an image of the collection.

        Returns
        -------
        bytes or None
            An image file; None if the image is not there any more or cannot be read.
        """
        if not 0 <= number < len(self._images):
            return None
        with self._changing:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        with self._decoding:
            thumbnail = make_thumbnail(self._images, number)
        if thumbnail is not None:
            self._keep(number, thumbnail)
        return thumbnail

    @property
    def n_bytes(self) -> int:
        """Memory that kept thumbnails take."""
        return self._n_bytes

    def _keep(self, number: int, thumbnail: bytes) -> None:
        with self._changing:
            if number not in self._kept:
                self._kept[number] = thumbnail
                self._n_bytes += len(thumbnail)
            while self._n_bytes > self._max_bytes:
                self._n_bytes -= len(self._kept.popitem(last=False)[1])
