"""Preparation of features for clustering: unit length, fewer dimensions, one scale."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from skscan._files import allocate_array
from skscan._principal_axes import Decomposition, decompose_in_blocks
from skscan._unit_rows import unit_rows

if TYPE_CHECKING:
    from sklearn.decomposition import PCA

#: With fewer features than this the length of a row says too much to be thrown away.
MIN_FEATURES_TO_NORMALIZE = 32

_LARGEST_COVARIANCE = 2048
_BLOCK_ROWS = 8192

# Larger matrices are decomposed block by block, so that no copy of them is made: they may lie on
# disk and be larger than memory. Smaller ones are left to scikit-learn.
_MAX_BYTES_AT_ONCE = 2**28
_LARGEST_COVARIANCE_IN_BLOCKS = 8192

# Larger results go to a temporary file that is mapped into memory.
MAX_BYTES_IN_MEMORY = 2**30


class FeatureScaler(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Bring features of any origin to the form that the heads are trained on.

    Rows are scaled to unit euclidean length, projected on their principal components, and
    multiplied by one number so that the mean square over all entries of the training data is 1.
    The components keep their variances: they are not whitened. Matrices of more than 256 MiB are
    read block by block, so that they may be mapped from a file that is larger than memory.

    Parameters
    ----------
    n_components : int or None, default=128
        Principal components to keep; at most ``min(n_samples, n_features)`` are. None keeps all.
    normalize : bool or "auto", default="auto"
        Whether rows are scaled to unit length first. ``"auto"`` does so from 32 features on: in
        the features of a network the direction carries the meaning, while in a few dimensions
        the length does too.
    random_state : int, RandomState instance or None, default=None
        Used by the randomised decomposition of very wide data only.

    Attributes
    ----------
    normalize_ : bool
        Whether rows are scaled to unit length.
    mean_ : ndarray of shape (`n_features_in_`,)
        Mean that is subtracted from the (unit length) rows.
    components_ : ndarray of shape (`n_components_`, `n_features_in_`)
        Principal axes.
    explained_variance_ratio_ : ndarray of shape (`n_components_`,)
        Share of the variance along each axis.
    scale_ : float
        What projected rows are multiplied with.
    n_components_ : int
        Number of components kept.
    n_features_in_ : int
        Number of features seen during `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the features, when X has string column names.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import FeatureScaler
    >>> X, _ = load_digits(return_X_y=True)
    >>> FeatureScaler(n_components=16).fit_transform(X).shape
    (1797, 16)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "normalize": ["boolean", StrOptions({"auto"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int | None = 128,
        *,
        normalize: bool | str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_components = n_components
        self.normalize = normalize
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> FeatureScaler:
        """Learn the projection and the scale.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : FeatureScaler
            The fitted scaler.
        """
        self._validate_params()
        X = validate_data(self, X, dtype=[np.float32, np.float64])
        n_features = X.shape[1]
        automatic = n_features >= MIN_FEATURES_TO_NORMALIZE
        self.normalize_ = automatic if self.normalize == "auto" else bool(self.normalize)
        pca = self._decompose(X)
        self.mean_ = pca.mean_
        self.components_ = np.ascontiguousarray(pca.components_)
        self.n_components_ = int(pca.n_components_)
        self.explained_variance_ratio_ = np.nan_to_num(pca.explained_variance_ratio_)
        spread = np.sqrt(np.mean(np.maximum(pca.explained_variance_, 0)))
        rounding = 100 * np.finfo(self.mean_.dtype).eps * np.linalg.norm(self.mean_)
        self.scale_ = float(1 / spread) if spread > rounding else 1.0
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Normalise, project and scale features.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        Z : ndarray of shape (n_samples, `n_components_`), dtype float32
            Scaled features. More than 1 GiB are mapped from a temporary file (in ``TMPDIR``),
            which goes when the array does.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        shape = (len(X), self.n_components_)
        Z = allocate_array(shape, np.float32, "scaled features", MAX_BYTES_IN_MEMORY)
        for start in range(0, len(X), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            kept = self._centered(X[rows]) @ self.components_.T
            Z[rows] = np.multiply(kept, self.scale_, out=kept)
        return Z

    def left_out_lengths(self, X: Any) -> np.ndarray:
        """Give the length of what the projection leaves out of each row.

        The distance of a row to the subspace of the components, on the scale of `transform`: rows
        unlike those of the training data are far from it.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.

        Returns
        -------
        lengths : ndarray of shape (n_samples,), float64
            0 where all components are kept.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float32, np.float64], reset=False)
        lengths = np.empty(len(X))
        for start in range(0, len(X), _BLOCK_ROWS):
            rows = slice(start, start + _BLOCK_ROWS)
            centered = self._centered(X[rows])
            kept = centered @ self.components_.T
            squares = np.square(centered).sum(axis=1, dtype=np.float64)
            squares -= np.square(kept).sum(axis=1, dtype=np.float64)
            lengths[rows] = np.sqrt(np.maximum(squares, 0)) * self.scale_
        return lengths

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # always float32
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components_

    def _normalize(self, X: np.ndarray) -> np.ndarray:
        if not self.normalize_:
            # lengths that are kept may be of any size: float32 would overflow in their squares
            return X.astype(np.float64, copy=False)
        return unit_rows(X)

    def _centered(self, X: np.ndarray) -> np.ndarray:
        rows = self._normalize(X)
        own = rows if self.normalize_ else None  # without it they may be those of the caller
        return np.subtract(rows, self.mean_, out=own)

    def _decompose(self, X: np.ndarray) -> Decomposition | PCA:
        n_samples, n_features = X.shape
        smaller = min(X.shape)
        n_components = min(self.n_components or smaller, smaller)
        if (
            X.nbytes > _MAX_BYTES_AT_ONCE
            and n_samples >= n_features
            and n_features <= _LARGEST_COVARIANCE_IN_BLOCKS
        ):
            blocks = (
                self._normalize(X[start : start + _BLOCK_ROWS])
                for start in range(0, n_samples, _BLOCK_ROWS)
            )
            return decompose_in_blocks(blocks, n_components)
        with np.errstate(invalid="ignore"):  # equal rows: no variance to take shares of
            return self._exact_or_randomized(n_samples, n_features, n_components).fit(
                self._normalize(X)
            )

    def _exact_or_randomized(self, n_samples: int, n_features: int, n_components: int) -> PCA:
        from sklearn.decomposition import PCA  # which takes long to load, and `transform` needs not

        smaller = min(n_samples, n_features)
        if self.normalize_ and n_samples >= n_features and n_features <= _LARGEST_COVARIANCE:
            solver = "covariance_eigh"  # exact and fast, where no large offset spoils it
        elif smaller <= _LARGEST_COVARIANCE // 2 or n_components == smaller:
            solver = "full"
        else:
            solver = "randomized"
        return PCA(n_components, svd_solver=solver, random_state=self.random_state)
