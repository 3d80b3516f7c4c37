"""What all feature extractors that learn nothing have in common."""

from __future__ import annotations

import contextlib
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from skscan._files import allocate_array
from skscan._progress import progress
from skscan.exceptions import ImageReadError, SkippedImagesWarning
from skscan.extractors.views import make_view
from skscan.images import SkippedImage, as_collection, printable
from skscan.images.loading import iter_batches
from skscan.images.throughput import LoadingStatistics

__all__ = ["ImageFeatureExtractor", "tell_of_skipped"]

# Larger results go to a temporary file that is mapped into memory.
_MAX_BYTES_IN_MEMORY = 2**29

_SKIPPED_SHOWN = 3


class ImageFeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base class of transformers from images to features.

    A subclass has the parameters `image_size`, `batch_size`, `errors`, `n_jobs` and `verbose` and
    says what to compute by `_compute` and `_n_features_out`.
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "image_size": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "errors": [StrOptions({"skip", "raise"})],
        "n_jobs": [None, Integral],
        "verbose": ["verbose"],
    }

    image_size: int
    batch_size: int
    errors: str
    n_jobs: int | None
    verbose: int

    #: Views of an image whose features are averaged; a parameter of extractors that have a network.
    n_views: int = 1

    @abstractmethod
    def _compute(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from pixels (b, size, size, 3), uint8, to features (b, d)."""

    @property
    def _decoded_side(self) -> int:
        """Side of the pixels that are computed with."""
        return self.image_size

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """The number of features."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Check the parameters and the form of X; there is nothing to learn.

        Parameters
        ----------
        X : images
            In any of the forms that `transform` takes; not read.

        y : object, default=None
            Ignored.

        Returns
        -------
        self : object
        """
        self._validate_params()
        as_collection(X)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of images.

        Parameters
        ----------
        X : images
            A uint8 or float (0..1) array (n, h, w) or (n, h, w, 1 or 3); a list, array or Series of
            paths; a list of PIL images or arrays of any sizes; a folder or a zip (str or Path); a
            torch `Dataset` or a list of (image, label), of which the label is ignored.

        Returns
        -------
        features : ndarray of shape (n_images, n_features), dtype float32
            The rows of images that could not be read are NaN. More than 512 MiB are mapped from a
            temporary file (in ``TMPDIR``), which goes when the array does.

        Raises
        ------
        ImageReadError
            If an image cannot be read and ``errors="raise"``, or none can.

        Warns
        -----
        SkippedImagesWarning
            If images could not be read.
        """
        return self.extract(X)[0]

    def extract(self, X: Any) -> tuple[np.ndarray, list[SkippedImage]]:
        """Compute the features of images and tell which images could not be read.

        Parameters
        ----------
        X : images
            See `transform`.

        Returns
        -------
        features : ndarray of shape (n_images, n_features), dtype float32
            See `transform`.

        skipped : list of SkippedImage
            The images that could not be read, by row, with the reason.

        Raises
        ------
        ImageReadError
            If an image cannot be read and ``errors="raise"``, or none can.
        ValueError
            If the features of an image are no finite numbers.

        Warns
        -----
        SkippedImagesWarning
            If images could not be read.
        """
        return self._extract(X, _mean_of_views, ())

    def extract_views(self, X: Any) -> tuple[np.ndarray, list[SkippedImage]]:
        """Compute the features of each view of images, which `extract` averages.

        Parameters
        ----------
        X : images
            See `transform`.

        Returns
        -------
        features : ndarray of shape (n_images, n_views, n_features), dtype float32
            The first view is the image itself. See `transform`.

        skipped : list of SkippedImage
            The images that could not be read, by row, with the reason.

        Raises
        ------
        ImageReadError, ValueError
            See `extract`.

        Warns
        -----
        SkippedImagesWarning
            If images could not be read.
        """
        return self._extract(X, _each_view, (self.n_views,))

    def _extract(
        self,
        X: Any,
        summary: Callable[[Iterator[np.ndarray]], np.ndarray],
        shape_of_views: tuple[int, ...],
    ) -> tuple[np.ndarray, list[SkippedImage]]:
        """Compute what `summary` makes of the features of the views of a batch."""
        self._validate_params()
        images = as_collection(X)
        compute = self._compute()
        shape = (len(images), *shape_of_views, self._n_features_out)
        features = allocate_array(shape, np.float32, "features", _MAX_BYTES_IN_MEMORY)
        skipped: list[SkippedImage] = []
        bar = progress(
            total=len(images), desc="Extracting features", unit="img", verbose=self.verbose
        )
        loading = LoadingStatistics()
        batches = iter_batches(images, self._decoded_side, self.batch_size, self.n_jobs, loading)
        # Closed at once in case of an error, so that no worker outlives the call.
        with bar, contextlib.closing(batches):
            for batch in batches:
                if batch.skipped and self.errors == "raise":
                    raise _as_error(batch.skipped[0])
                skipped += batch.skipped
                if len(batch.rows):
                    views = (make_view(batch.pixels, view) for view in range(self.n_views))
                    found = summary(map(compute, views))
                    if not np.isfinite(found).all():
                        raise ValueError(
                            f"{type(self).__name__} gives features that are infinite or no "
                            "numbers; its weights are damaged, or its training diverged."
                        )
                    features[batch.rows] = found
                bar.set_postfix_str(f"waiting for input {loading.share_waiting:.0%}", refresh=False)
                bar.update(batch.n_images)
        if len(skipped) == len(images):
            raise ImageReadError(
                f"none of the {len(images)} images could be read. {_summary(skipped)}"
            )
        if skipped:
            features[[image.index for image in skipped]] = np.nan
            tell_of_skipped(skipped, len(images), self.errors, "their features are NaN")
        return features, skipped

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


def tell_of_skipped(
    skipped: list[SkippedImage], n_images: int, errors: str, consequence: str
) -> None:
    """Warn of images that could not be read, or raise.

    Parameters
    ----------
    skipped : list of SkippedImage
        At least one.
    n_images : int
        How many images there are in all.
    errors : {"skip", "raise"}
    consequence : str
        What becomes of them.

    Raises
    ------
    ImageReadError
        With ``errors="raise"``.
    """
    if errors == "raise":
        raise _as_error(skipped[0])
    warnings.warn(
        f"{len(skipped)} of {n_images} images could not be read; {consequence}. "
        f'{_summary(skipped)} Mend or remove them, or stop at the first with errors="raise".',
        SkippedImagesWarning,
        stacklevel=3,
    )


def _mean_of_views(features: Iterator[np.ndarray]) -> np.ndarray:
    first, *others = features
    return np.mean([first, *others], axis=0) if others else first


def _each_view(features: Iterator[np.ndarray]) -> np.ndarray:
    return np.stack(list(features), axis=1)


def _as_error(image: SkippedImage) -> ImageReadError:
    return ImageReadError(image.reason, printable(image.name))


def _summary(skipped: list[SkippedImage]) -> str:
    shown = "; ".join(str(_as_error(image)) for image in skipped[:_SKIPPED_SHOWN])
    more = len(skipped) - _SKIPPED_SHOWN
    return f"{shown}{f'; and {more} more' if more > 0 else ''}."
