"""What a fitted clusterer does with samples: predict, transform and judge them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import estimator_html_repr
from sklearn.utils.validation import check_is_fitted

from skscan._blocks import row_blocks
from skscan._caching import checked_memory
from skscan._files import allocate_array, release_pages
from skscan._gaps import graph_between, readable_rows, rows_of, with_gaps
from skscan._html_repr import html_summary
from skscan._matrices import check_features
from skscan.calibration import ambiguous_rows, calibrated, fit_temperature
from skscan.exceptions import SkscanWarning
from skscan.graph import neighbor_table
from skscan.neighbors import NeighborMiner
from skscan.prototypes import prototypes_of
from skscan.scaling import MIN_FEATURES_TO_NORMALIZE
from skscan.selection import scan_selection_loss

__all__ = ["FittedHeadsMixin", "labels_of"]

_SCORE_NEIGHBORS = 5

# Larger arrays of probabilities go to a temporary file that is mapped into memory.
MAX_PROBABILITY_BYTES = 2**30


class FittedHeadsMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Methods of an estimator that has fitted an extractor, a scaler and heads.

    It has the attributes `feature_extractor_` (None after a fit on features), `feature_scaler_`,
    `heads_`, `best_head_`, `labels_`, `neighbors_` and `n_features_in_`.
    """

    feature_extractor_: Any
    feature_scaler_: Any
    heads_: Any
    best_head_: int
    neighbors_: csr_matrix
    n_features_in_: int
    memory: Any
    n_jobs: int | None

    def predict(self, X: Any) -> np.ndarray:
        """Give the cluster of each sample.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Of the kind that the clusterer was fitted on.

        Returns
        -------
        labels : ndarray of shape (n_samples,), dtype int64
            Clusters; -1 for an image that could not be read.
        """
        features, read = self._features(X)
        Z = self.feature_scaler_.transform(rows_of(features, read))
        clusters = np.full(len(read), -1, dtype=np.int64)
        readable = np.empty(len(Z), dtype=np.int64)
        for rows in row_blocks(len(Z), self.n_clusters_):
            readable[rows] = labels_of(self._probabilities(Z[rows]))
        clusters[read] = readable
        return self._names_of(clusters)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Give the probability of each cluster for each sample.

        What a clusterer gives is calibrated without labels, by the temperature `temperature_`: a
        sample with a probability of 0.8 is meant to be right in 8 of 10 cases.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Of the kind that the clusterer was fitted on.

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_clusters), dtype float32
            Rows sum to 1; NaN for an image that could not be read. More than 1 GiB are mapped from
            a temporary file (in ``TMPDIR``), which goes when the array does.
        """
        return self._probabilities_of(*self._features(X))

    def transform(self, X: Any) -> np.ndarray:
        """Give the scaled features on which the heads work.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Of the kind that the clusterer was fitted on.

        Returns
        -------
        Z : ndarray of shape (n_samples, n_components), dtype float32
            Scaled features; NaN for an image that could not be read.
        """
        features, read = self._features(X)
        return with_gaps(self.feature_scaler_.transform(rows_of(features, read)), read)

    def score(self, X: Any, y: Any = None) -> float:
        """Judge the clusters without labels: higher is better.

        The mean over samples and their 5 nearest neighbours within X of log <p_i, p_j>, plus the
        entropy of the mean p: the negated criterion of section 3 of the paper, on neighbours in
        the input features (for images: in the extractor's), so that no parameter of the clusterer
        that a search varies changes the yardstick.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            At least two samples of the kind that the clusterer was fitted on.
        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        score : float
            At most ``log(n_clusters)``.
        """
        features, read = self._features(X)
        features = rows_of(features, read)
        if len(features) < 2:
            raise ValueError(f"score needs at least 2 samples, got X with {len(features)}.")
        metric = "cosine" if features.shape[1] >= MIN_FEATURES_TO_NORMALIZE else "euclidean"
        k = min(_SCORE_NEIGHBORS, len(features) - 1)
        miner = NeighborMiner(k, metric=metric, n_jobs=self.n_jobs).fit(features)
        neighbors = miner.kneighbors()[1]
        Z = self.feature_scaler_.transform(features)
        probabilities = self.heads_.predict_proba(Z, self.best_head_)
        return -scan_selection_loss(probabilities, neighbors).total

    @property
    def n_clusters_(self) -> int:
        """Number of clusters that the heads know."""
        return self.heads_.n_clusters

    def _keep_predictions(self, Z: np.ndarray, read: np.ndarray) -> None:
        """Set what the best head says of the training samples."""
        labels, confidences = self.heads_.predict_with_confidence(Z, self.best_head_)
        prototypes = prototypes_of(Z, labels, confidences, self.heads_.n_clusters)
        self._warn_of_empty_clusters(int((prototypes < 0).sum()))
        rows = np.flatnonzero(read)
        self.prototype_indices_ = np.where(prototypes < 0, -1, rows[prototypes])
        table = neighbor_table(graph_between(self.neighbors_, rows))
        self.temperature_ = fit_temperature(self.heads_, self.best_head_, Z, table)
        self.probabilities_ = with_gaps(self._probabilities(Z), read)
        self.labels_ = labels_of(self.probabilities_)
        self.ambiguous_indices_ = ambiguous_rows(self.probabilities_)

    def _warn_of_empty_clusters(self, n_empty: int) -> None:
        if n_empty:
            warnings.warn(
                f"{n_empty} of n_clusters={self.n_clusters_} clusters are empty; "
                f"{self.n_clusters_ - n_empty} or fewer fit these samples.",
                SkscanWarning,
                stacklevel=5,
            )

    def _html_repr(self) -> str:
        """Show in a notebook what scikit-learn shows, then the clusters (scikit-learn >= 1.7)."""
        return estimator_html_repr(self) + html_summary(self)

    def _probabilities_of(self, features: np.ndarray, read: np.ndarray) -> np.ndarray:
        """Probabilities for features of which some rows are of images that could not be read."""
        Z = self.feature_scaler_.transform(rows_of(features, read))
        return with_gaps(self._probabilities(Z), read)

    def _probabilities(self, Z: np.ndarray) -> np.ndarray:
        """Probabilities for scaled features, calibrated where a temperature was fitted."""
        shape = (len(Z), self.heads_.n_clusters)
        probabilities = allocate_array(shape, np.float32, "probabilities", MAX_PROBABILITY_BYTES)
        for rows in row_blocks(*shape):
            logits = self.heads_.logits(Z[rows], self.best_head_)
            probabilities[rows] = calibrated(logits, getattr(self, "temperature_", 1.0))
            release_pages(probabilities)
        return probabilities

    def _labels_from(self, probabilities: np.ndarray) -> np.ndarray:
        """Labels for probabilities; a row of NaN is an image that could not be read."""
        return self._names_of(labels_of(probabilities))

    def _names_of(self, clusters: np.ndarray) -> np.ndarray:
        """Labels for the numbers of clusters; -1 is an image that could not be read."""
        return clusters

    @property
    def _n_features_out(self) -> int:
        return self.heads_.n_features

    def _features(self, X: Any) -> tuple[np.ndarray, np.ndarray]:
        """Features of X by the fitted extractor and which rows could be read."""
        from skscan.images import as_collection, is_feature_matrix

        check_is_fitted(self, "labels_")
        if is_feature_matrix(X):
            if self.feature_extractor_ is not None:
                raise ValueError(
                    f"X is a feature matrix, but this {type(self).__name__} was fitted on images; "
                    "give images, as in fit."
                )
            features = check_features(self, X, reset=False)
            return features, np.ones(len(features), dtype=bool)
        images = as_collection(X)
        if self.feature_extractor_ is None:
            raise ValueError(
                f"X holds images, but this {type(self).__name__} was fitted on a feature matrix "
                f"with {self.n_features_in_} features; give such a matrix, or fit on images."
            )
        from skscan._features import extract_features

        features, skipped = extract_features(
            self.feature_extractor_, images, X, checked_memory(self.memory)
        )
        return features, readable_rows(len(features), skipped)


def labels_of(probabilities: np.ndarray) -> np.ndarray:
    """Most probable clusters; -1 in rows of NaN."""
    labels = np.empty(len(probabilities), dtype=np.intp)
    for rows in row_blocks(*probabilities.shape):
        labels[rows] = probabilities[rows].argmax(axis=1)
        labels[rows][np.isnan(probabilities[rows, 0])] = -1
        release_pages(probabilities)
    return labels
