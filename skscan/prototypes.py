"""The most typical sample of each cluster."""

from __future__ import annotations

import numpy as np


def prototype_indices(
    features: np.ndarray, probabilities: np.ndarray, n_confident: int = 10
) -> np.ndarray:
    """Find the prototype of each cluster.

    Of the most confident samples of a cluster, the prototype is the one nearest to their mean.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
        Features.
    probabilities : ndarray of shape (n_samples, n_clusters)
        Probability of each cluster.
    n_confident : int, default=10
        How many of the most confident samples of a cluster are averaged.

    Returns
    -------
    indices : ndarray of shape (n_clusters,), dtype int64
        Row of each prototype; -1 for a cluster without samples.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020,
    section 3.4.
    """
    labels, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    return prototypes_of(features, labels, confidences, probabilities.shape[1], n_confident)


def prototypes_of(
    features: np.ndarray,
    labels: np.ndarray,
    confidences: np.ndarray,
    n_clusters: int,
    n_confident: int = 10,
) -> np.ndarray:
    """Find the prototype of each cluster, as `prototype_indices`, without all probabilities.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    labels : int ndarray of shape (n_samples,)
        The most probable cluster of each sample.
    confidences : ndarray of shape (n_samples,)
        The probability of that cluster.
    n_clusters : int
    n_confident : int, default=10

    Returns
    -------
    indices : ndarray of shape (n_clusters,), dtype int64
    """
    indices = np.full(n_clusters, -1, dtype=np.int64)
    by_cluster = np.argsort(labels, kind="stable")
    ends = np.cumsum(np.bincount(labels, minlength=n_clusters))
    for cluster, members in enumerate(np.split(by_cluster, ends[:-1])):
        if len(members) == 0:
            continue
        order = np.argsort(-confidences[members], kind="stable")[:n_confident]
        confident = members[order]
        offsets = features[confident] - features[confident].mean(axis=0)
        indices[cluster] = confident[np.einsum("ij,ij->i", offsets, offsets).argmin()]
    return indices
