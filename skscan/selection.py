"""Which head to keep: criteria that never see a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan.graph import symmetric_affinity
from skscan.learnability import learnability
from skscan.networks.heads import Heads

__all__ = [
    "ScanLossValues",
    "criteria_of_heads",
    "head_with_best_evidence",
    "modularity",
    "neighbor_information",
    "scan_losses_of_heads",
    "scan_selection_loss",
    "scan_terms_of_heads",
    "scores_of_heads",
    "silhouette_to_centers",
    "size_evenness",
]

EVEN_SIZES = 0.98
"""Cluster sizes count as even when their entropy is at least this share of its largest value."""

EVEN_SIZES_OF_LENIENT = 0.99
"""The same for heads that are drawn to equal sizes, weakly: half of them have to reach it."""

CRITERIA = ("modularity", "information", "learnability", "silhouette")
"""What heads are compared by, each with the same weight."""

LEARNABILITY_SAMPLES = 4000
LEARNABILITY_PER_CLUSTER = 20
LEARNABILITY_SHRINKAGE = 0.1

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


def criteria_of_heads(
    heads: Heads,
    features: NDArray[np.float32],
    table: NDArray[np.integer],
    random_state: int,
) -> dict[str, NDArray]:
    """Judge each head by what needs no labels.

    Parameters
    ----------
    heads : Heads
    features : ndarray of shape (n_samples, n_features)
    table : int ndarray of shape (n_samples, width)
        Neighbors, nearest first.
    random_state : int
        Seed of the subset and the folds of the learnability, the same for all heads.

    Returns
    -------
    criteria : dict of str to ndarray of shape (n_heads,)
        clusters_used; evenness of their sizes (`size_evenness`); consistency and entropy of the
        SCAN loss, each sample with itself and five neighbors; modularity among the 3 nearest
        neighbors, and wide_modularity among all; information of neighbors; learnability, by a
        linear discriminant analysis in two folds; silhouette to the centers. Larger is better, but
        for consistency.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    nearest, all_near = symmetric_affinity(table, 3), symmetric_affinity(table)
    consistency, entropy = scan_terms_of_heads(heads, features, table)
    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=LEARNABILITY_SHRINKAGE)
    n_samples = len(features)
    names = ("clusters_used", "evenness", "wide_modularity", *CRITERIA)
    found: dict[str, list[float]] = {name: [] for name in names}
    for head in range(len(heads)):
        labels = heads.predict(features, head)
        found["clusters_used"].append(len(np.unique(labels)))
        found["evenness"].append(size_evenness(labels, heads.n_clusters))
        found["modularity"].append(modularity(labels, nearest))
        found["wide_modularity"].append(modularity(labels, all_near))
        found["information"].append(neighbor_information(labels, all_near))
        found["silhouette"].append(silhouette_to_centers(labels, features))
        found["learnability"].append(
            learnability(
                labels,
                features,
                classifier=classifier,
                n_folds=2,
                max_samples=max(LEARNABILITY_SAMPLES, LEARNABILITY_PER_CLUSTER * heads.n_clusters),
                random_state=random_state,
            )
            if n_samples > 3
            else 1.0
        )
    return {
        "consistency": consistency,
        "entropy": entropy,
        **{name: np.array(values) for name, values in found.items()},
    }


def scores_of_heads(criteria: dict[str, NDArray]) -> NDArray[np.floating]:
    """Add up the criteria, each as standard scores among the heads.

    Modularity and information look at the graph, the silhouette at distances, the learnability at
    whether clusters can be told apart by planes. Each fails on some sets; their sum fails on few.

    Parameters
    ----------
    criteria : dict of str to ndarray of shape (n_heads,)
        From `criteria_of_heads`.

    Returns
    -------
    scores : ndarray of shape (n_heads,)
        Larger is better. Heads that leave clusters empty which others use have ``-inf``.
    """
    used = criteria["clusters_used"]
    full = used == used.max()
    scores = np.full(len(used), -np.inf)
    scores[full] = sum(_standardised(criteria[name][full]) for name in CRITERIA)
    return scores


def head_with_best_evidence(
    criteria: dict[str, NDArray], priors: Sequence[str], entropy_weight: float
) -> int:
    """Decide whether classes are balanced, then return the best head.

    The balanced prior is strong help where it is true and does harm where it is not. Whether it is
    true shows in heads that estimate the sizes: classes count as balanced if one of these, in the
    better half by `scores_of_heads`, ends with nearly even clusters, or if half of the lenient
    heads end with clusters that are still more even. Then the balanced head with the lowest SCAN
    loss is taken.

    Where neighbors are poor, estimated sizes drift apart by themselves. So they are not trusted if
    lenient heads, which need not be even, stay nearly even, and no head with estimated sizes has
    the largest modularity among all mined neighbors. Of the heads that remain the best by
    `scores_of_heads` is taken. Heads that leave clusters empty are set aside as long as others use
    more.

    Parameters
    ----------
    criteria : dict of str to ndarray of shape (n_heads,)
        From `criteria_of_heads`.
    priors : sequence of str
        Prior that each head was trained with: "balanced", "lenient", "estimated" or another.
    entropy_weight : float
        Weight of the entropy term in training.

    Returns
    -------
    head : int
    """
    scores = scores_of_heads(criteria)
    full, kinds = np.isfinite(scores), np.asarray(priors)
    balanced = np.flatnonzero(full & (kinds == "balanced"))
    estimated = np.flatnonzero(full & (kinds == "estimated"))
    lenient = np.flatnonzero(full & (kinds == "lenient"))
    best_first = estimated[np.argsort(-scores[estimated], kind="stable")]
    credible = best_first[: max(len(estimated) // 2, 1)]
    evenness = criteria["evenness"]
    of_lenient = np.median(evenness[lenient]) if len(lenient) else 0.0
    of_credible = evenness[credible].max(initial=0.0)
    if len(balanced) and (of_credible >= EVEN_SIZES or of_lenient >= EVEN_SIZES_OF_LENIENT):
        as_trained = criteria["consistency"] - entropy_weight * criteria["entropy"]
        return int(balanced[np.argmin(as_trained[balanced])])
    if of_lenient >= EVEN_SIZES and len(estimated):
        others = np.flatnonzero(full & (kinds != "estimated"))
        best_of_each = [criteria["wide_modularity"][group].max() for group in (others, estimated)]
        if best_of_each[0] > best_of_each[1]:
            only_others = {name: values[others] for name, values in criteria.items()}
            return int(others[np.argmax(scores_of_heads(only_others))])
    return int(np.argmax(scores))


def _standardised(values: NDArray[np.floating]) -> NDArray[np.floating]:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)


def _entropy(shares: NDArray[np.floating]) -> float:
    shares = shares[shares > 0]
    return -float((shares * np.log(shares)).sum())
