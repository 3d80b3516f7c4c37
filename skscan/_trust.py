"""How far a fitted estimator can be trusted: uncertain, outlying and copied samples."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_matrix

from skscan._fitted import FittedHeadsMixin
from skscan._gaps import rows_of, with_gaps
from skscan.neighbors import NeighborMiner
from skscan.outliers import N_NEIGHBORS, OutlierScorer, left_out_lengths, outlying_rows

__all__ = ["Assessment", "TrustMixin"]

_OF_GROWTH = ("_known_features", "_known_rows", "_outlier_limit", "_usual_limit", "_was_added")
"""What a model knows that has taken in new samples, see `skscan._growing`; a fit ends it."""


class Assessment(NamedTuple):
    """All that a fitted estimator says of samples.

    Attributes
    ----------
    labels : ndarray of shape (n_samples,)
        As `predict` gives them.
    probabilities : ndarray of shape (n_samples, n_clusters), dtype float32
        As `predict_proba` gives them.
    outlier_scores : ndarray of shape (n_samples,), dtype float32
        As `outlier_scores` gives them.
    """

    labels: np.ndarray
    probabilities: np.ndarray
    outlier_scores: np.ndarray


class TrustMixin(FittedHeadsMixin):
    """Outlier scores, and what is known of the training samples besides their cluster.

    It has what :class:`FittedHeadsMixin` asks for, and calls ``_keep_outliers`` in `fit`.
    """

    _outlier_scorer: OutlierScorer

    def outlier_scores(self, X: Any) -> np.ndarray:
        """Tell how far each sample is from all that the estimator was fitted on.

        Any image gets a cluster, often with high confidence; this says whether it is of a kind that
        the clusters know. The score is the mean distance to the 10 nearest training samples,
        divided by the median of that distance among the training samples. Distances are those
        between scaled features; what :class:`FeatureScaler` leaves out of them is added.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Of the kind that the estimator was fitted on.

        Returns
        -------
        scores : ndarray of shape (n_samples,), dtype float32
            1 is typical; larger is more outlying. NaN for an image that could not be read.
            Training samples are measured to the others, as in `outlier_scores_`; from 20,000
            samples on, of which a part is kept to measure to, both are only about the same.

        References
        ----------
        Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors", ICML 2022.
        """
        features, read = self._features(X)
        if not self._knows_training_samples:
            raise ValueError(
                f"outlier_scores needs the training samples, which this {type(self).__name__} does "
                "not hold: it was converted or saved without them. Fit it again."
            )
        features = rows_of(features, read)
        return with_gaps(self._scores_of(features, self.feature_scaler_.transform(features)), read)

    def assess(self, X: Any) -> Assessment:
        """Predict, with probabilities and outlier scores, reading images once only.

        Parameters
        ----------
        X : images or array-like of shape (n_samples, n_features)
            Of the kind that the estimator was fitted on.

        Returns
        -------
        labels, probabilities, outlier_scores : ndarray
            As from `predict`, `predict_proba` and `outlier_scores`; a model that was converted from
            a checkpoint knows no training samples, and all its scores are NaN.
        """
        features, read = self._features(X)
        features = rows_of(features, read)
        Z = self.feature_scaler_.transform(features)
        probabilities = with_gaps(self._probabilities(Z), read)
        scores = np.full(len(features), np.nan, dtype=np.float32)
        if self._knows_training_samples:
            scores = self._scores_of(features, Z)
        scores = with_gaps(scores, read)
        return Assessment(self._labels_from(probabilities), probabilities, scores)

    @property
    def _knows_training_samples(self) -> bool:
        return hasattr(self, "_outlier_scorer")

    def _scores_of(self, features: np.ndarray, Z: np.ndarray) -> np.ndarray:
        lengths = left_out_lengths(self.feature_scaler_, features)
        return self._outlier_scorer.score(np.asarray(Z, dtype=np.float32), lengths, self.n_jobs)

    def _keep_outliers(
        self, Z: np.ndarray, features: np.ndarray, graph: csr_matrix | None, read: np.ndarray
    ) -> None:
        """Set what the distances between training samples say.

        `Z` are scaled features of the samples that could be read, `features` the same before
        scaling, `graph` the neighbours mined in `Z`, or None if they were mined elsewhere.
        """
        if graph is None:
            n_neighbors = min(N_NEIGHBORS, len(Z) - 1)
            graph = NeighborMiner(n_neighbors, n_jobs=self.n_jobs).fit_transform(Z)
        for name in _OF_GROWTH:
            self.__dict__.pop(name, None)
        lengths = left_out_lengths(self.feature_scaler_, features)
        self._outlier_scorer, scores = OutlierScorer.fit(Z, lengths, graph, self.n_jobs)
        self.outlier_scores_ = with_gaps(scores, read)
        self.outlier_indices_ = outlying_rows(self.outlier_scores_)
