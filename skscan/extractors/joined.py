"""Features of several extractors side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

__all__ = ["JoinedFeatureExtractor", "side_by_side"]


class JoinedFeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Put the features of several extractors side by side.

    This is what a list of extractors becomes in `SCANClusterer`, which then scales the features of
    each on their own. A `FeatureUnion` gives the same matrix, but forgets where each begins, and
    does not pass over images that cannot be read.

    Parameters
    ----------
    extractors : sequence of transformers
        At least one; from images to a 2-D matrix.

    Attributes
    ----------
    extractors_ : list of transformers
        The fitted extractors.
    widths_ : tuple of int
        Number of features of each; known after the first extraction.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import JoinedFeatureExtractor, PixelFeatureExtractor
    >>> images = load_digits().images / 16
    >>> pair = [PixelFeatureExtractor(image_size=8), PixelFeatureExtractor(image_size=4)]
    >>> JoinedFeatureExtractor(pair).fit_transform(images).shape
    (1797, 80)
    """

    _parameter_constraints: dict = {"extractors": [list, tuple]}

    def __init__(self, extractors: Sequence[Any]) -> None:
        self.extractors = extractors

    def fit(self, X: Any, y: Any = None) -> JoinedFeatureExtractor:
        """Fit each extractor on the images.

        Parameters
        ----------
        X : images
            In any form that all extractors take.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : JoinedFeatureExtractor
            The fitted extractor.
        """
        self.extractors_ = [each.fit(X) for each in self.fresh()]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Extract the features of each extractor.

        Parameters
        ----------
        X : images
            In any form that all extractors take.

        Returns
        -------
        features : ndarray of shape (n_images, n_features)
            NaN in rows of images that an extractor could not read.
        """
        check_is_fitted(self, "extractors_")
        parts = [np.asarray(each.transform(X)) for each in self.extractors_]
        self.widths_ = tuple(int(part.shape[1]) for part in parts)
        return side_by_side(parts)

    def fresh(self) -> list[Any]:
        """Return unfitted copies of the extractors.

        Raises
        ------
        ValueError
            If there are none.
        TypeError
            If one of them is none.
        """
        self._validate_params()
        if not len(self.extractors):
            raise ValueError("extractors got an empty sequence; give at least one extractor.")
        for each in self.extractors:
            if isinstance(each, str) or not hasattr(each, "transform"):
                raise TypeError(
                    f"extractors got {each!r}; each must be a transformer from images to features."
                )
        return [clone(each) for each in self.extractors]

    def fitted_with(self, extractors: list[Any], widths: Sequence[int]) -> JoinedFeatureExtractor:
        """Take over extractors that are fitted, and the numbers of their features."""
        self.extractors_, self.widths_ = extractors, tuple(widths)
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        check_is_fitted(self, "widths_")
        return sum(self.widths_)


def side_by_side(parts: list[np.ndarray]) -> np.ndarray:
    """Put matrices of equally many rows side by side; a row of NaN stays one."""
    joined = np.concatenate(parts, axis=1)
    joined[np.isnan(joined).any(axis=1)] = np.nan
    return joined
