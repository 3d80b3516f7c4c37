"""From which confidence on a prediction becomes a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["ADAPTIVE", "HIGHEST_THRESHOLD", "label_thresholds", "thresholds_of"]

ADAPTIVE = "adaptive"

HIGHEST_THRESHOLD = 0.99
"""The paper's; adaptive thresholds rise up to it."""

SHARE_OF_LABELS = 0.2
"""At least so many of the samples of a cluster become labels with adaptive thresholds."""


def label_thresholds(threshold: float | str, probabilities: NDArray) -> NDArray[np.float32]:
    """Return the confidence that a prediction of each cluster has to exceed to become a label.

    Parameters
    ----------
    threshold : float or "adaptive"
        A number serves all clusters. ``"adaptive"`` takes the paper's 0.99, or less where that
        would leave less than a fifth of a cluster: then the most confident fifth. Thresholds rise
        by themselves as a training makes predictions surer.
    probabilities : ndarray of shape (n_samples, n_clusters)
        Of all samples, now.

    Returns
    -------
    thresholds : ndarray of shape (n_clusters,), float32
    """
    labels, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return thresholds_of(threshold, labels, confidence, probabilities.shape[1])


def thresholds_of(
    threshold: float | str, labels: NDArray[np.integer], confidence: NDArray, n_clusters: int
) -> NDArray[np.float32]:
    """Return the same as `label_thresholds`, without all probabilities.

    Parameters
    ----------
    threshold : float or "adaptive"
    labels : int ndarray of shape (n_samples,)
        The most probable cluster of each sample.
    confidence : ndarray of shape (n_samples,)
        The probability of that cluster.
    n_clusters : int

    Returns
    -------
    thresholds : ndarray of shape (n_clusters,), float32
    """
    if not isinstance(threshold, str):
        return np.full(n_clusters, threshold, dtype=np.float32)
    thresholds = np.full(n_clusters, HIGHEST_THRESHOLD, dtype=np.float32)
    for cluster in np.unique(labels):
        mine = confidence[labels == cluster]
        reached = np.quantile(mine, 1 - SHARE_OF_LABELS, method="lower")
        # "more than" is asked: where all are equally sure, all of them are labels
        reached = min(reached, np.nextafter(mine.max(), np.float32(0)))
        thresholds[cluster] = min(reached, HIGHEST_THRESHOLD)
    return thresholds
