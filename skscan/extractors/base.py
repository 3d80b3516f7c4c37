"""What all feature extractors have in common, and those that learn nothing."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions

from skscan.extractors.passes import extract_together, mean_of_views, relevant_parameters
from skscan.images import SkippedImage, as_collection

__all__ = ["FeatureExtractor", "ImageFeatureExtractor"]


class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Base class of transformers from images to features, whatever `fit` learns.

    A subclass says by `_parts` which extractors see the pixels, and by `_combine` what is made of
    their features.
    """

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

    def extract(
        self, X: Any, *, memory: str | os.PathLike | None = None
    ) -> tuple[np.ndarray, list[SkippedImage]]:
        """Compute the features of images and tell which images could not be read.

        Parameters
        ----------
        X : images
            See `transform`.

        memory : path or None, default=None
            A folder in which the features are kept, as they come: those of images that are known
            there are read, and a call that was cut off goes on where it was. Files are known by
            path, size and time of change, everything else by its content.

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
            If the features of an image are no finite numbers, or `memory` is no folder.

        Warns
        -----
        SkippedImagesWarning
            If images could not be read.
        """
        return self._extract(X, mean_of_views, memory)

    def extract_views(
        self, X: Any, *, memory: str | os.PathLike | None = None
    ) -> tuple[np.ndarray, list[SkippedImage]]:
        """Compute the features of each view of images, which `extract` averages.

        Parameters
        ----------
        X : images
            See `transform`.

        memory : path or None, default=None
            See `extract`.

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
        return self._extract(X, lambda views: views, memory)

    def _extract(
        self,
        X: Any,
        summary: Callable[[np.ndarray], np.ndarray],
        memory: str | os.PathLike | None,
    ) -> tuple[np.ndarray, list[SkippedImage]]:
        self._validate_params()
        parts, images = self._parts(), as_collection(X)
        return extract_together(
            parts, images, lambda views: summary(self._combine(views)), memory=memory
        )

    @abstractmethod
    def _parts(self) -> list[ImageFeatureExtractor]:
        """Return the extractors that see pixels; see `skscan.extractors.passes`."""

    @abstractmethod
    def _combine(self, views: list[np.ndarray]) -> np.ndarray:
        """Make the features of this extractor of those of its parts, view by view."""

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """The number of features."""

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.string = True
        return tags


class ImageFeatureExtractor(FeatureExtractor):
    """Base class of extractors that see pixels themselves, and learn nothing.

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

    def _parts(self) -> list[ImageFeatureExtractor]:
        return [self]

    def _combine(self, views: list[np.ndarray]) -> np.ndarray:
        return views[0]

    def _what_decides_features(self) -> dict[str, Any]:
        """Return whatever makes the features of an image different ones, beside the image."""
        parameters, files = relevant_parameters(self)
        return {**parameters, "files": files}

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags
