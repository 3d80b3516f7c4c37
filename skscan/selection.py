"""Which head to keep: criteria that never see a label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = [
    "ScanLossValues",
    "modularity",
    "rank_sum",
    "scan_selection_loss",
    "silhouette_to_centers",
]


class ScanLossValues(NamedTuple):
    """Terms of the SCAN loss over a whole set."""

    entropy: float
    consistency: float
    total: float


def scan_selection_loss(
    probabilities: NDArray, neighbors: NDArray[np.integer], entropy_weight: float = 1.0
) -> ScanLossValues:
    """SCAN loss over all samples and all their neighbors; the paper keeps the head with the lowest.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_clusters)
    neighbors : int ndarray of shape (n_samples, k)
        Indices of the neighbors of each sample, usually itself first.
    entropy_weight : float, default=1.0
        1 for the selection, unlike in training.

    Returns
    -------
    entropy, consistency, total : float
        ``total = consistency - entropy_weight * entropy``, natural logarithms.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020.
    """
    tiny = np.finfo(probabilities.dtype).tiny
    log_agreement = sum(
        np.log(np.maximum(np.einsum("ic,ic->i", probabilities, probabilities[column]), tiny)).mean(
            dtype=np.float64
        )
        for column in neighbors.T
    )
    consistency = -float(log_agreement) / neighbors.shape[1]
    mean_probability = np.maximum(probabilities.mean(axis=0, dtype=np.float64), 1e-8)
    entropy = -float((mean_probability * np.log(mean_probability)).sum())
    return ScanLossValues(entropy, consistency, consistency - entropy_weight * entropy)


def modularity(
    labels: NDArray[np.integer], affinity: sparse.csr_matrix, resolution: float = 0.7
) -> float:
    """Newman's modularity of a partition of a symmetric graph; larger is better.

    The share of edge weight inside clusters less `resolution` times the share that clusters of
    these volumes would hold by chance (Reichardt and Bornholdt, 2006). A resolution below 1 lets
    clusters be of uneven size.
    """
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    total = degrees.sum(dtype=np.float64)
    if total == 0:
        return 0.0
    rows = np.repeat(np.arange(affinity.shape[0]), np.diff(affinity.indptr))
    inside = affinity.data[labels[rows] == labels[affinity.indices]].sum(dtype=np.float64)
    volumes = np.bincount(labels, weights=degrees)
    return float(inside / total - resolution * ((volumes / total) ** 2).sum())


def silhouette_to_centers(labels: NDArray[np.integer], features: NDArray) -> float:
    """Mean silhouette with distances to cluster centers instead of samples; larger is better.

    With a the distance to the own center and b the distance to the nearest other one, the mean of
    ``(b - a) / max(a, b)`` (Hruschka et al., 2004). Linear in the number of samples. 0 for a
    single cluster.
    """
    present, labels = np.unique(labels, return_inverse=True)
    if len(present) < 2:
        return 0.0
    members = sparse.csr_matrix(
        (np.ones(len(labels), dtype=features.dtype), (labels, np.arange(len(labels))))
    )
    centers = np.asarray(members @ features) / np.bincount(labels)[:, None]
    squares = (
        np.einsum("ij,ij->i", features, features)[:, None]
        - 2 * features @ centers.T
        + np.einsum("ij,ij->i", centers, centers)
    )
    distances = np.sqrt(np.maximum(squares, 0))
    rows = np.arange(len(labels))
    own = distances[rows, labels]
    distances[rows, labels] = np.inf
    other = distances.min(axis=1)
    larger = np.maximum(np.maximum(own, other), np.finfo(distances.dtype).tiny)
    return float(((other - own) / larger).mean())


def rank_sum(*criteria: NDArray[np.floating]) -> NDArray[np.floating]:
    """Add the ranks that several criteria give to the same candidates; larger is better."""
    from scipy.stats import rankdata

    return np.sum([rankdata(criterion) for criterion in criteria], axis=0)
