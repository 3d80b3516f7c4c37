"""Which head to keep: criteria that never see a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan.graph import symmetric_affinity
from skscan.networks.heads import Heads

__all__ = [
    "ScanLossValues",
    "agreement_of_criteria",
    "head_with_best_evidence",
    "modularity",
    "neighbor_information",
    "scan_losses_of_heads",
    "scan_selection_loss",
    "scan_terms_of_heads",
    "silhouette_to_centers",
    "size_evenness",
]

EVEN_SIZES = 0.98
"""Cluster sizes count as even when their entropy is at least this share of its largest value."""

SELECTION_NEIGHBORS = 6
"""Entries of the neighbor table (self and five more) that the SCAN loss of a head is taken over."""


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
    labels: NDArray[np.integer], affinity: sparse.csr_matrix, resolution: float = 1.0
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


def neighbor_information(
    labels: NDArray[np.integer], affinity: sparse.csr_matrix, entropy_share: float = 0.5
) -> float:
    """Mutual information of the clusters of neighbors, less a share of their entropy.

    ``I(a; b) - entropy_share * H(a)`` for the clusters a, b of the two ends of a random edge, in
    nats; larger is better. The information alone favors clusters of even size: it can reach the
    entropy. The share that is taken off weakens this.
    """
    n_clusters = int(labels.max()) + 1
    rows = np.repeat(np.arange(affinity.shape[0]), np.diff(affinity.indptr))
    pairs = labels[rows].astype(np.int64) * n_clusters + labels[affinity.indices]
    joint = np.bincount(pairs, weights=affinity.data, minlength=n_clusters**2)
    joint = joint.reshape(n_clusters, n_clusters) / max(joint.sum(), np.finfo(float).tiny)
    marginal = joint.sum(axis=1)
    present = joint > 0
    expected = np.outer(marginal, marginal)
    information = (joint[present] * np.log(joint[present] / expected[present])).sum()
    return float(information - entropy_share * _entropy(marginal))


def size_evenness(labels: NDArray[np.integer], n_clusters: int) -> float:
    """Entropy of the cluster sizes over its largest value: 1 when all sizes are equal."""
    if n_clusters < 2:
        return 1.0
    sizes = np.bincount(labels, minlength=n_clusters)
    return _entropy(sizes / sizes.sum()) / float(np.log(n_clusters))


def agreement_of_criteria(
    partitions: Sequence[NDArray[np.integer]],
    scan_losses: Sequence[float],
    table: NDArray[np.integer],
    features: NDArray[np.float32],
    embedding: NDArray[np.floating],
) -> NDArray[np.floating]:
    """Score partitions by the ranks that several criteria give them, added up.

    Modularity, neighbor information and, with half the weight, the SCAN loss look at the graph of
    the nearest neighbors; silhouettes at distances among the features and, with half the weight,
    among the eigenvectors of the graph. Each criterion fails on some sets; their sum fails on few.

    Parameters
    ----------
    partitions : sequence of int ndarrays of shape (n_samples,)
    scan_losses : sequence of float
        SCAN loss, with entropy weight 1, of the head that made each partition.
    table : int ndarray of shape (n_samples, width)
        Neighbors, nearest first.
    features : ndarray of shape (n_samples, n_features)
    embedding : ndarray of shape (n_samples, n_vectors)
        Leading eigenvectors of the neighbor graph, rows scaled to length 1.

    Returns
    -------
    scores : ndarray of shape (n_partitions,)
        Larger is better.
    """
    from scipy.stats import rankdata

    nearest, near = symmetric_affinity(table, 3), symmetric_affinity(table, 5)
    weighted_criteria = [
        (1.0, [modularity(labels, nearest) for labels in partitions]),
        (1.0, [neighbor_information(labels, near) for labels in partitions]),
        (0.5, [-loss for loss in scan_losses]),
        (1.0, [silhouette_to_centers(labels, features) for labels in partitions]),
        (0.5, [silhouette_to_centers(labels, embedding) for labels in partitions]),
    ]
    return np.sum([weight * rankdata(values) for weight, values in weighted_criteria], axis=0)


def scan_terms_of_heads(
    heads: Heads, features: NDArray[np.float32], table: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return consistency and entropy of each head, over each sample, itself and five neighbors."""
    near = table[:, :SELECTION_NEIGHBORS]
    terms = [
        scan_selection_loss(heads.predict_proba(features, head), near) for head in range(len(heads))
    ]
    return np.array([term.consistency for term in terms]), np.array(
        [term.entropy for term in terms]
    )


def scan_losses_of_heads(
    heads: Heads, features: NDArray[np.float32], table: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Return the SCAN loss of each head with entropy weight 1; its minimum is the paper's pick."""
    consistency, entropy = scan_terms_of_heads(heads, features, table)
    return consistency - entropy


def head_with_best_evidence(
    heads: Heads,
    priors: Sequence[str],
    features: NDArray[np.float32],
    table: NDArray[np.integer],
    embedding: NDArray[np.floating],
    entropy_weight: float,
) -> int:
    """Decide whether classes are balanced, then return the best head of that kind.

    The balanced prior is strong help where it is true and does harm where it is not. Whether it is
    true shows in heads that estimate the sizes: classes count as balanced if one of these, in the
    better half by `agreement_of_criteria`, ends with nearly even clusters. Then the balanced head
    with the lowest SCAN loss is taken, else the best of the others by `agreement_of_criteria`.
    Heads that leave clusters empty are set aside as long as others use more.

    Parameters
    ----------
    heads : Heads
    priors : sequence of {"balanced", "lenient", "estimated"}
        Prior that each head was trained with.
    features : ndarray of shape (n_samples, n_features)
    table : int ndarray of shape (n_samples, width)
        Neighbors, nearest first.
    embedding : ndarray of shape (n_samples, n_vectors)
        Leading eigenvectors of the neighbor graph, rows scaled to length 1.
    entropy_weight : float
        Weight of the entropy term in training.

    Returns
    -------
    head : int
    """
    partitions = [heads.predict(features, head) for head in range(len(heads))]
    consistency, entropy = scan_terms_of_heads(heads, features, table)
    losses = consistency - entropy
    n_used = np.array([len(np.unique(labels)) for labels in partitions])
    full = np.flatnonzero(n_used == n_used.max())
    kinds = np.asarray(priors)[full]

    def best_first(candidates: NDArray[np.integer]) -> NDArray[np.integer]:
        considered = [partitions[head] for head in candidates]
        scores = agreement_of_criteria(considered, losses[candidates], table, features, embedding)
        return candidates[np.argsort(-scores, kind="stable")]

    balanced, estimated = full[kinds == "balanced"], full[kinds == "estimated"]
    if len(balanced) and len(estimated):
        credible = best_first(estimated)[: max(len(estimated) // 2, 1)]
        evenness = [size_evenness(partitions[head], heads.n_clusters) for head in credible]
        if max(evenness) >= EVEN_SIZES:
            as_trained = consistency[balanced] - entropy_weight * entropy[balanced]
            return int(balanced[np.argmin(as_trained)])
    others = full[kinds != "balanced"]
    return int(best_first(others if len(others) else full)[0])


def _entropy(shares: NDArray[np.floating]) -> float:
    shares = shares[shares > 0]
    return -float((shares * np.log(shares)).sum())
