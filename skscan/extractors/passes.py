"""One pass over images for all that is computed from them, with what is known already left out.

An extractor of this library is made of parts that see pixels (`_parts`), and of a function that
makes its features of theirs (`_combine`). All parts of all extractors share the decoded images; the
features of each part are found in, and written to, the store of that part.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import numpy as np

from skscan import __version__
from skscan._files import allocate_array
from skscan._progress import announce, progress
from skscan.engines.choice import engine_that_decides
from skscan.exceptions import ImageReadError
from skscan.extractors.skipping import summary, tell_of_skipped
from skscan.extractors.views import make_view
from skscan.feature_store import FeatureStore, image_identities
from skscan.images import ImageCollection, SkippedImage, printable
from skscan.images.loading import iter_batches
from skscan.images.subset import subset
from skscan.images.throughput import LoadingStatistics

if TYPE_CHECKING:
    from skscan.extractors.base import ImageFeatureExtractor

__all__ = [
    "FEATURES_FOLDER",
    "IRRELEVANT",
    "extract_together",
    "known_images",
    "mean_of_views",
    "relevant_parameters",
]

#: The folder in a memory that holds the stores.
FEATURES_FOLDER = "features"

#: Parameters that change how the features are computed, not what they are.
IRRELEVANT = frozenset({"batch_size", "device", "engine", "errors", "n_jobs", "verbose"})

# Larger results go to a temporary file that is mapped into memory.
_MAX_BYTES_IN_MEMORY = 2**29
_BLOCK_ROWS = 4096

Combine = Callable[[list[np.ndarray]], np.ndarray]


def mean_of_views(views: np.ndarray) -> np.ndarray:
    """Return the mean over views, (b, n_views, d) to (b, d); of a single one, no copy."""
    return views.mean(axis=1) if views.shape[1] > 1 else views[:, 0]


def extract_together(
    parts: Sequence[ImageFeatureExtractor],
    images: ImageCollection,
    combine: Combine,
    *,
    memory: str | os.PathLike | None = None,
    identities: np.ndarray | None = None,
) -> tuple[np.ndarray, list[SkippedImage]]:
    """Compute features of images by several extractors at once.

    Parameters
    ----------
    parts : sequence of ImageFeatureExtractor
        At least one, their parameters checked.
    images : ImageCollection
    combine : callable
        From the features by each part of the views of some images, a list of arrays of shape
        (b, n_views, n_features), to what is wanted, an array of shape (b, ...). Each row must
        depend on its image alone.
    memory : path or None, default=None
        Where features are kept.
    identities : ndarray of shape (n_images, 2) or None, default=None
        What `image_identities` gives, where that was asked already.

    Returns
    -------
    features : ndarray of shape (n_images, ...), dtype float32
        NaN for images that could not be read.
    skipped : list of SkippedImage

    Raises
    ------
    ImageReadError, ValueError
        See `ImageFeatureExtractor.extract`.
    ValueError
        If `memory` is no folder.

    Warns
    -----
    SkippedImagesWarning
        If images could not be read.
    """
    if memory is None:
        return _Pass(parts, images, combine, [None] * len(parts), None).run()
    _check_folder(memory)
    if identities is None:
        identities = image_identities(images)
    stores = [_store_of(part, Path(memory) / FEATURES_FOLDER) for part in parts]
    with contextlib.ExitStack() as closing:
        for store in stores:
            closing.callback(store.close)
        return _Pass(parts, images, combine, stores, identities).run()


def _check_folder(memory: str | os.PathLike) -> None:
    """Refuse what can be no folder; one that has no room is told of by the store."""
    try:
        os.makedirs(memory, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(
            f"memory={os.fspath(memory)!r} cannot be used ({error.strerror}); memory takes a "
            "folder, which is made where there is none, or None to keep nothing."
        ) from error
    except OSError:
        return


def known_images(
    parts: Sequence[ImageFeatureExtractor], memory: str | os.PathLike, identities: np.ndarray
) -> np.ndarray:
    """Tell of which images all features are kept.

    Parameters
    ----------
    parts : sequence of ImageFeatureExtractor
    memory : path
        Where features are kept.
    identities : ndarray of shape (n_images, 2)
        See `image_identities`.

    Returns
    -------
    known : ndarray of shape (n_images,), dtype bool
    """
    stores = [_store_of(part, Path(memory) / FEATURES_FOLDER) for part in parts]
    return np.all([store.find(identities)[:, 0] >= 0 for store in stores], axis=0)


def relevant_parameters(extractor: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the parameters of an extractor that decide its features, and the files among them.

    Parameters
    ----------
    extractor : estimator

    Returns
    -------
    parameters : dict
    files : dict
        Path, size and time of change of each parameter that is the path of a file.
    """
    known = extractor.get_params() if hasattr(extractor, "get_params") else vars(extractor)
    parameters = {
        name: value for name, value in known.items() if name.rsplit("__", 1)[-1] not in IRRELEVANT
    }
    files = {
        name: (os.path.abspath(value), os.stat(value).st_size, os.stat(value).st_mtime_ns)
        for name, value in parameters.items()
        if isinstance(value, str | os.PathLike) and os.path.isfile(value)
    }
    return parameters | engine_that_decides(extractor), files


def _store_of(part: ImageFeatureExtractor, folder: Path) -> FeatureStore:
    details = part._what_decides_features()
    about = {"extractor": type(part).__name__, "skscan": __version__}
    about |= {name: _in_words(value) for name, value in details.items()}
    key = joblib.hash((__version__, f"{type(part).__module__}.{type(part).__qualname__}", details))
    return FeatureStore(folder, key, (part.n_views, part._n_features_out), about)


def _in_words(value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return os.fspath(value) if isinstance(value, os.PathLike) else type(value).__name__
    return value


class _Pass:
    """A pass over a collection."""

    def __init__(
        self,
        parts: Sequence[ImageFeatureExtractor],
        images: ImageCollection,
        combine: Combine,
        stores: Sequence[FeatureStore | None],
        identities: np.ndarray | None,
    ) -> None:
        self.parts, self.images, self.stores = parts, images, stores
        self.combine = combine
        self.identities = identities
        self.raises = any(part.errors == "raise" for part in parts)
        self.verbose = max(int(part.verbose) for part in parts)
        nowhere = np.full((len(images), 2), -1, dtype=np.int64)
        # for each part, where its features of each image are known from
        self.places = [
            nowhere if store is None or identities is None else store.find(identities)
            for store in stores
        ]
        self.known = np.all([places[:, 0] >= 0 for places in self.places], axis=0)

    def run(self) -> tuple[np.ndarray, list[SkippedImage]]:
        n_images, n_known = len(self.images), int(self.known.sum())
        if n_known:
            announce(f"features of {n_known:,} of {n_images:,} images are known", self.verbose)
        if n_known == n_images and (mapped := self._mapped()) is not None:
            return mapped, []
        no_views = [
            np.zeros((0, part.n_views, part._n_features_out), np.float32) for part in self.parts
        ]
        shape = (n_images, *self.combine(no_views).shape[1:])
        features = allocate_array(shape, np.float32, "features", _MAX_BYTES_IN_MEMORY)
        known = np.flatnonzero(self.known)
        for start in range(0, n_known, _BLOCK_ROWS):
            rows = known[start : start + _BLOCK_ROWS]
            features[rows] = self.combine([self._read(i, rows) for i in range(len(self.parts))])
        skipped: list[SkippedImage] = []
        if n_known < n_images:
            for rows, views in self._computed(skipped):
                features[rows] = self.combine(views)
        if len(skipped) == n_images:
            raise ImageReadError(f"none of the {n_images} images could be read. {summary(skipped)}")
        if skipped:
            features[[image.index for image in skipped]] = np.nan
            errors = "raise" if self.raises else "skip"
            tell_of_skipped(skipped, n_images, errors, "their features are NaN")
        return features, skipped

    def _mapped(self) -> np.ndarray | None:
        """All features as they lie in a file, where they are too large to be read at once."""
        store, places = self.stores[0], self.places[0]
        width = self.parts[0].n_views * self.parts[0]._n_features_out
        if len(self.parts) > 1 or 4 * width * len(places) <= _MAX_BYTES_IN_MEMORY:
            return None
        views = None if store is None else store.mapped(places)
        if views is None or not np.may_share_memory(self.combine([views[:1]]), views):
            return None
        return self.combine([views])

    def _read(self, i: int, rows: np.ndarray) -> np.ndarray:
        store = self.stores[i]
        assert store is not None
        return store.read(self.places[i][rows])

    def _computed(
        self, skipped: list[SkippedImage]
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield rows, and the features of their views by each part, computed where not known."""
        asked = np.flatnonzero(~self.known)
        busy = [i for i, places in enumerate(self.places) if (places[asked, 0] < 0).any()]
        computes = {i: self.parts[i]._compute() for i in busy}
        sides = sorted({self.parts[i]._decoded_side for i in busy}, reverse=True)
        batch_size = max(self.parts[i].batch_size for i in busy)
        bar = progress(
            total=len(self.images),
            desc="Extracting features",
            unit="img",
            verbose=self.verbose,
        )
        loading = LoadingStatistics()
        batches = iter_batches(
            subset(self.images, asked),
            sides[0] if len(sides) == 1 else tuple(sides),
            batch_size,
            self.parts[0].n_jobs,
            loading,
        )
        # Closed at once in case of an error, so that no worker outlives the call.
        with bar, contextlib.closing(batches):
            bar.update(len(self.images) - len(asked))
            for batch in batches:
                unread = [
                    SkippedImage(int(asked[image.index]), image.name, image.reason)
                    for image in batch.skipped
                ]
                if unread and self.raises:
                    raise ImageReadError(unread[0].reason, printable(unread[0].name))
                skipped += unread
                if len(batch.rows):
                    rows = asked[batch.rows]
                    yield (
                        rows,
                        [
                            self._views(i, rows, batch.pixels_of(part._decoded_side), computes[i])
                            if i in computes
                            else self._read(i, rows)
                            for i, part in enumerate(self.parts)
                        ],
                    )
                bar.set_postfix_str(f"waiting for input {loading.share_waiting:.0%}", refresh=False)
                bar.update(batch.n_images)

    def _views(
        self,
        i: int,
        rows: np.ndarray,
        pixels: np.ndarray,
        compute: Callable[[np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """Features of the views of a batch by one part; what was not known is kept."""
        part, store = self.parts[i], self.stores[i]
        views = np.empty((len(rows), part.n_views, part._n_features_out), dtype=np.float32)
        new = self.places[i][rows, 0] < 0
        if not new.all():
            views[~new] = self._read(i, rows[~new])
        for start in range(0, len(rows), part.batch_size):
            here = np.flatnonzero(new[start : start + part.batch_size]) + start
            if len(here):
                seen = pixels[here] if len(here) < len(pixels) else pixels
                for view in range(part.n_views):
                    views[here, view] = compute(make_view(seen, view))
        if not np.isfinite(views).all():
            raise ValueError(
                f"{type(part).__name__} gives features that are infinite or no numbers; its "
                "weights are damaged, or its training diverged."
            )
        if store is not None and self.identities is not None:
            store.append(self.identities[rows[new]], views[new])
        return views
