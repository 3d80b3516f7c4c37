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
    indices = np.full(probabilities.shape[1], -1, dtype=np.int64)
    for cluster in np.unique(labels):
        members = np.flatnonzero(labels == cluster)
        order = np.argsort(-confidences[members], kind="stable")[:n_confident]
        confident = members[order]
        offsets = features[confident] - features[confident].mean(axis=0)
        indices[cluster] = confident[np.einsum("ij,ij->i", offsets, offsets).argmin()]
    return indices
