"""How fast images are loaded, and how long whoever uses them waits for that."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skscan.images.batches import ImageBatch

__all__ = ["LoadingStatistics", "record_loading"]


@dataclass
class LoadingStatistics:
    """What loading images took, added up over all batches.

    Attributes
    ----------
    n_images : int
        Images handed over, unreadable ones included.

    n_skipped : int
        Unreadable ones among them.

    n_bytes : int
        Size of the pixels handed over, in bytes.

    seconds : float
        From the first time that a batch was asked for until the last one was done with.

    seconds_waiting : float
        The part of `seconds` in which whoever uses the images had to wait for a batch.

    seconds_decoding : float
        CPU time of reading, decoding and resizing, all workers together.
    """

    n_images: int = 0
    n_skipped: int = 0
    n_bytes: int = 0
    seconds: float = 0.0
    seconds_waiting: float = 0.0
    seconds_decoding: float = 0.0

    @property
    def images_per_second(self) -> float:
        """Rate at which images were loaded and used; 0 before the first batch."""
        return self.n_images / self.seconds if self.seconds else 0.0

    @property
    def share_waiting(self) -> float:
        """Share of the time, from 0 to 1, that was spent waiting for images."""
        return self.seconds_waiting / self.seconds if self.seconds else 0.0

    def __str__(self) -> str:
        return f"{self.images_per_second:,.0f} images/s, waiting {self.share_waiting:.0%}"


_recording: ContextVar[tuple[LoadingStatistics, ...]] = ContextVar("_recording", default=())


@contextmanager
def record_loading() -> Iterator[LoadingStatistics]:
    """Add up what loading images takes in this thread, whatever part of the library does it.

    Yields
    ------
    statistics : LoadingStatistics
        Up to date after each batch.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan import PixelFeatureExtractor
    >>> from skscan.images.throughput import record_loading
    >>> with record_loading() as statistics:
    ...     features = PixelFeatureExtractor().transform(np.zeros((5, 8, 8), dtype=np.uint8))
    >>> statistics.n_images
    5
    """
    statistics = LoadingStatistics()
    token = _recording.set((*_recording.get(), statistics))
    try:
        yield statistics
    finally:
        _recording.reset(token)


def watched(
    batches: Generator[ImageBatch, None, None], statistics: LoadingStatistics | None
) -> Generator[ImageBatch, None, None]:
    """Hand batches on and note how long each was waited for.

    Parameters
    ----------
    batches : generator of ImageBatch
        Closed when this generator is.

    statistics : LoadingStatistics or None
        Where to add it up, beside the records that are open.

    Yields
    ------
    ImageBatch
    """
    records = list(_recording.get()) + ([] if statistics is None else [statistics])
    asked = perf_counter()
    try:
        for batch in batches:
            handed_over = perf_counter()
            for record in records:
                record.n_images += batch.n_images
                record.n_skipped += len(batch.skipped)
                record.n_bytes += batch.pixels.nbytes
                record.seconds_decoding += batch.seconds_decoding
                record.seconds_waiting += handed_over - asked
                record.seconds += handed_over - asked
            try:
                yield batch
            finally:
                asked = perf_counter()
                for record in records:
                    record.seconds += asked - handed_over
    finally:
        batches.close()
