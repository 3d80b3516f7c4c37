"""Feature spaces that stand side by side in one matrix, each prepared on its own."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.validation import check_is_fitted, validate_data

from skscan.scaling import FeatureScaler

__all__ = ["FeatureSpacesScaler", "check_widths"]


class FeatureSpacesScaler(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Prepare several feature spaces, each with a scaler of its own.

    For features of several networks that stand side by side in the columns of one matrix. Each
    space comes out on the same scale, so that none drowns the others; objectives that know spaces,
    such as `TurtleObjective`, are told where each begins.

    Parameters
    ----------
    widths : sequence of int
        Numbers of columns of the spaces, in their order.
    scaler : transformer, default=None
        What each space is prepared with; None is :class:`FeatureScaler`.
    random_state : int, RandomState instance or None, default=None
        Source of the seeds of scalers whose own `random_state` is None.

    Attributes
    ----------
    scalers_ : list of transformers
        The fitted scaler of each space.
    spaces_ : tuple of int
        Widths of the spaces in the output.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X has string column names.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan import FeatureSpacesScaler
    >>> X = np.random.RandomState(0).rand(50, 12)
    >>> scaler = FeatureSpacesScaler([8, 4]).fit(100 * X)
    >>> scaler.spaces_
    (8, 4)
    """

    _parameter_constraints: dict = {
        "widths": ["array-like"],
        "scaler": [None, HasMethods(["fit", "transform"])],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        widths: Sequence[int],
        scaler: Any = None,
        *,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.widths = widths
        self.scaler = scaler
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> FeatureSpacesScaler:
        """Fit the scaler of each space.

        Parameters
        ----------
        X : array-like of shape (n_samples, sum of widths)
            Features.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : FeatureSpacesScaler
            The fitted scaler.
        """
        self._validate_params()
        X = validate_data(self, X, dtype=[np.float32, np.float64])
        check_widths("widths", self.widths, X.shape[1])
        random_state = check_random_state(self.random_state)
        self.scalers_ = [self._new_scaler(random_state).fit(part) for part in self._split(X)]
        first = [
            fitted.transform(part[:1])
            for fitted, part in zip(self.scalers_, self._split(X), strict=True)
        ]
        self.spaces_ = tuple(int(part.shape[1]) for part in first)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Scale the features of each space.

        Parameters
        ----------
        X : array-like of shape (n_samples, sum of widths)
            Features.

        Returns
        -------
        Z : ndarray of shape (n_samples, sum of `spaces_`), dtype float32
            Scaled features.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        parts = zip(self.scalers_, self._split(X), strict=True)
        scaled = [np.asarray(fitted.transform(part), dtype=np.float32) for fitted, part in parts]
        return np.concatenate(scaled, axis=1)

    def left_out_lengths(self, X: Any) -> np.ndarray:
        """Give the length of what the scalers of all spaces leave out of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, sum of widths)
            Features.

        Returns
        -------
        lengths : ndarray of shape (n_samples,), float64
            Scalers that have no such method count as leaving out nothing.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        squares = np.zeros(len(X))
        for fitted, part in zip(self.scalers_, self._split(X), strict=True):
            if hasattr(fitted, "left_out_lengths"):
                squares += np.square(fitted.left_out_lengths(part))
        return np.sqrt(squares)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags

    @property
    def _n_features_out(self) -> int:
        return sum(self.spaces_)

    def _new_scaler(self, random_state: np.random.RandomState) -> Any:
        scaler = FeatureScaler() if self.scaler is None else clone(self.scaler)
        own = scaler.get_params(deep=False) if hasattr(scaler, "get_params") else {}
        if own.get("random_state", 0) is None:
            scaler.set_params(random_state=random_state.randint(np.iinfo(np.int32).max))
        return scaler

    def _split(self, X: np.ndarray) -> list[np.ndarray]:
        return np.split(X, np.cumsum(self.widths)[:-1], axis=1)


def check_widths(name: str, widths: Sequence[int], n_features: int) -> tuple[int, ...]:
    """Return the widths of feature spaces as a tuple.

    Parameters
    ----------
    name : str
        Of the argument, for the error.
    widths : sequence of int
    n_features : int
        What they must add up to.

    Returns
    -------
    widths : tuple of int

    Raises
    ------
    ValueError
        If they are no positive integers, or add up to another number.
    """
    integers = all(isinstance(width, Integral) and width > 0 for width in widths)
    if not integers or sum(widths) != n_features:
        raise ValueError(
            f"{name}={list(widths)!r} must be positive integers that add up to the number of "
            f"features, which is {n_features}."
        )
    return tuple(int(width) for width in widths)
