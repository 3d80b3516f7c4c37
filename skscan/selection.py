"""Which head to keep: criteria that never see a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan._blocks import edges_in_blocks, row_blocks
from skscan._subset import some_rows
from skscan.graph import symmetric_affinity
from skscan.networks.heads import Heads

__all__ = [
    "EVEN_SIZES",
    "ScanLossValues",
    "boundary_sparseness",
    "criteria_of_heads",
    "head_with_best_evidence",
    "modularity",
    "neighbor_density_ranks",
    "neighbor_information",
    "scan_selection_loss",
    "scan_terms_of_heads",
    "scores_of_heads",
    "silhouette_to_centers",
    "size_evenness",
]

CRITERIA = ("information", "modularity", "sparseness", "agreement")
"""What heads are compared by, each with the same weight."""

MODULARITY_RESOLUTION = 0.7
"""Below 1, so that clusters may be of uneven size."""

EVEN_SIZES = 0.985
"""Sizes count as even when their entropy is at least this share of its largest value."""

CLEAR_GAIN = 0.015
"""Uneven clusters must have more information than balanced ones by this share of the largest."""

CLEAR_MODULARITY = 0.002
"""By so much other heads must be more modular before estimated sizes are distrusted."""

DISTANCE_ENTRIES = 2**22
"""Differences of coordinates that are held at once."""

LOSS_ENTRIES = 2**25
"""With more probabilities than this the SCAN loss of heads is taken over some samples only."""

LOSS_SAMPLES = 50_000

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
    inside = sum(
        weights[labels[rows] == labels[columns]].sum(dtype=np.float64)
        for rows, columns, weights in edges_in_blocks(affinity)
    )
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
    lengths = np.einsum("ij,ij->i", centers, centers)
    silhouettes = np.empty(len(labels), dtype=centers.dtype)
    for block in row_blocks(len(labels), len(centers)):
        part, own_centers = features[block], labels[block]
        squares = np.einsum("ij,ij->i", part, part)[:, None] - 2 * part @ centers.T + lengths
        distances = np.sqrt(np.maximum(squares, 0))
        rows = np.arange(len(part))
        own = distances[rows, own_centers]
        distances[rows, own_centers] = np.inf
        other = distances.min(axis=1)
        larger = np.maximum(np.maximum(own, other), np.finfo(distances.dtype).tiny)
        silhouettes[block] = (other - own) / larger
    return float(silhouettes.mean())


def neighbor_information(
    labels: NDArray[np.integer], affinity: sparse.csr_matrix, entropy_share: float = 0.5
) -> float:
    """Mutual information of the clusters of neighbors, less a share of their entropy.

    ``I(a; b) - entropy_share * H(a)`` for the clusters a, b of the two ends of a random edge, in
    nats; larger is better. The information alone favors clusters of even size: it can reach the
    entropy. The share that is taken off weakens this.
    """
    n_clusters = int(labels.max()) + 1
    joint = np.zeros(n_clusters**2)
    for rows, columns, weights in edges_in_blocks(affinity):
        pairs = labels[rows].astype(np.int64) * n_clusters + labels[columns]
        joint += np.bincount(pairs, weights=weights, minlength=n_clusters**2)
    joint = joint.reshape(n_clusters, n_clusters) / max(joint.sum(), np.finfo(float).tiny)
    marginal = joint.sum(axis=1)
    present = joint > 0
    expected = np.outer(marginal, marginal)
    information = (joint[present] * np.log(joint[present] / expected[present])).sum()
    return float(information - entropy_share * _entropy(marginal))


def neighbor_density_ranks(
    features: NDArray[np.float32], table: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Rank samples by how near their neighbors are: 0 for the sparsest, towards 1 the densest.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    table : int ndarray of shape (n_samples, width)
        Neighbors of each sample; self is at distance 0 wherever it stands.

    Returns
    -------
    ranks : ndarray of shape (n_samples,)
    """
    n_samples, width = table.shape
    squares = np.empty(n_samples, dtype=np.float64)
    n_rows = max(DISTANCE_ENTRIES // (width * features.shape[1]), 1)
    for first in range(0, n_samples, n_rows):
        rows = slice(first, first + n_rows)
        squares[rows] = np.square(features[table[rows]] - features[rows, None]).sum(axis=(1, 2))
    ranks = np.empty(n_samples)
    ranks[np.argsort(-squares, kind="stable")] = np.arange(n_samples) / n_samples
    return ranks


def boundary_sparseness(
    labels: NDArray[np.integer], affinity: sparse.csr_matrix, density_ranks: NDArray[np.floating]
) -> float:
    """How sparse samples are where a partition cuts the neighbor graph; larger is better.

    1 less the mean density rank of the ends of the edges between clusters, weighted by their
    affinity: near 1 when boundaries run where samples are few, and 1 without such edges.
    """
    ranked, total = 0.0, 0.0
    for rows, columns, affinities in edges_in_blocks(affinity):
        cut = labels[rows] != labels[columns]
        weights = affinities[cut].astype(np.float64)
        ranked += weights @ density_ranks[rows[cut]]
        total += weights.sum()
    return 1.0 - float(ranked / total) if total else 1.0


def size_evenness(labels: NDArray[np.integer], n_clusters: int) -> float:
    """Entropy of the cluster sizes over its largest value: 1 when all sizes are equal."""
    if n_clusters < 2:
        return 1.0
    sizes = np.bincount(labels, minlength=n_clusters)
    return _entropy(sizes / sizes.sum()) / float(np.log(n_clusters))


def scan_terms_of_heads(
    heads: Heads, features: NDArray[np.float32], table: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Return consistency and entropy of each head, over each sample, itself and five neighbors.

    With more than 2^25 probabilities, they are taken over 50,000 samples and their neighbors, which
    are the same for all heads.
    """
    near = table[:, :SELECTION_NEIGHBORS]
    if len(features) * heads.n_clusters <= LOSS_ENTRIES:
        terms = [
            scan_selection_loss(heads.predict_proba(features, head), near)
            for head in range(len(heads))
        ]
    else:
        rows = some_rows(len(features), LOSS_SAMPLES)
        terms = [
            _terms_of_samples(heads.select(head), features, near, rows)
            for head in range(len(heads))
        ]
    return np.array([term.consistency for term in terms]), np.array(
        [term.entropy for term in terms]
    )


def _terms_of_samples(
    head: Heads,
    features: NDArray[np.float32],
    near: NDArray[np.integer],
    rows: NDArray[np.integer],
) -> ScanLossValues:
    """SCAN loss of a head over some samples and their neighbors, block by block."""
    log_agreement, total = 0.0, np.zeros(head.n_clusters)
    for block in row_blocks(len(rows), head.n_clusters * (near.shape[1] + 1)):
        own = head.predict_proba(features[rows[block]])
        total += own.sum(axis=0, dtype=np.float64)
        for column in near[rows[block]].T:
            agreement = np.einsum("ic,ic->i", own, head.predict_proba(features[column]))
            logs = np.log(np.maximum(agreement, np.finfo(agreement.dtype).tiny))
            log_agreement += logs.sum(dtype=np.float64)
    consistency = -log_agreement / (len(rows) * near.shape[1])
    entropy = _entropy(np.maximum(total / len(rows), 1e-8))
    return ScanLossValues(entropy, consistency, consistency - entropy)


def criteria_of_heads(
    heads: Heads, features: NDArray[np.float32], table: NDArray[np.integer]
) -> dict[str, NDArray]:
    """Judge each head by what needs no labels.

    Parameters
    ----------
    heads : Heads
    features : ndarray of shape (n_samples, n_features)
    table : int ndarray of shape (n_samples, width)
        Neighbors, nearest first.

    Returns
    -------
    criteria : dict of str to ndarray of shape (n_heads,)
        clusters_used; evenness of their sizes (`size_evenness`); consistency and entropy of the
        SCAN loss, each sample with itself and five neighbors; their agreement, which is the share
        of them in the same cluster; information of neighbors; modularity of the graph at
        resolution 0.7, and strict_modularity at 1; sparseness of boundaries; silhouette to the
        centers. Larger is better, but for consistency.
    """
    affinity = symmetric_affinity(table)
    density_ranks = neighbor_density_ranks(features, table)
    consistency, entropy = scan_terms_of_heads(heads, features, table)
    names = ("clusters_used", "evenness", *CRITERIA, "strict_modularity", "silhouette")
    near = table[:, :SELECTION_NEIGHBORS]
    found: dict[str, list[float]] = {name: [] for name in names}
    for head in range(len(heads)):
        labels = heads.predict(features, head)
        found["clusters_used"].append(len(np.unique(labels)))
        found["evenness"].append(size_evenness(labels, heads.n_clusters))
        found["information"].append(neighbor_information(labels, affinity))
        found["modularity"].append(modularity(labels, affinity, MODULARITY_RESOLUTION))
        found["agreement"].append(np.mean(labels[near] == labels[:, None]))
        found["strict_modularity"].append(modularity(labels, affinity))
        found["sparseness"].append(boundary_sparseness(labels, affinity, density_ranks))
        found["silhouette"].append(silhouette_to_centers(labels, features))
    return {
        "consistency": consistency,
        "entropy": entropy,
        **{name: np.array(values) for name, values in found.items()},
    }


def scores_of_heads(criteria: dict[str, NDArray]) -> NDArray[np.floating]:
    """Add up the criteria, each as standard scores among the heads.

    Information, modularity and agreement look at how many neighbors are cut apart, and weigh the
    sizes of clusters more or less; sparseness looks at where the cuts run. Each fails on some
    sets, their sum on few.

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
    criteria: dict[str, NDArray], priors: Sequence[str], n_clusters: int, entropy_weight: float
) -> int:
    """Return the head with the best score, or a balanced one if that is not clearly better.

    The balanced prior is strong help where it is true and does harm where it is not. Where it is
    true, heads with other priors find little that the balanced head with the lowest SCAN loss has
    not; where it is not, they find clusters that say much more of where neighbors are.

    Where neighbors are poor, estimated sizes drift apart by themselves. So they are not trusted if
    half of the lenient heads, which need not be even, stay even, and no head with estimated sizes
    comes near the largest modularity.

    Parameters
    ----------
    criteria : dict of str to ndarray of shape (n_heads,)
        From `criteria_of_heads`.
    priors : sequence of str
        Prior that each head was trained with: "balanced", "lenient", "estimated" or another.
    n_clusters : int
    entropy_weight : float
        Weight of the entropy term in training.

    Returns
    -------
    head : int
        Heads that leave clusters empty are set aside as long as others use more.
    """
    kinds = np.asarray(priors)
    full = np.isfinite(scores_of_heads(criteria))
    trusted = np.flatnonzero(full & _trusted(criteria, kinds, full))
    scores = scores_of_heads({name: values[trusted] for name, values in criteria.items()})
    best = int(trusted[np.argmax(scores)])
    balanced = np.flatnonzero(full & (kinds == "balanced"))
    if not len(balanced):
        return best
    as_trained = criteria["consistency"] - entropy_weight * criteria["entropy"]
    even = int(balanced[np.argmin(as_trained[balanced])])
    gain = criteria["information"][best] - criteria["information"][even]
    return best if gain > CLEAR_GAIN * np.log(n_clusters) else even


def _trusted(
    criteria: dict[str, NDArray], kinds: NDArray[np.str_], full: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Tell which heads are trusted: all, or all but those with estimated sizes."""
    lenient, estimated = full & (kinds == "lenient"), full & (kinds == "estimated")
    others = full & (kinds != "estimated")
    if not (lenient.any() and estimated.any()):
        return full
    even = np.median(criteria["evenness"][lenient]) >= EVEN_SIZES
    modularity_of = criteria["strict_modularity"]
    lost = modularity_of[others].max() - modularity_of[estimated].max()
    return others if even and lost > CLEAR_MODULARITY else full


def _standardised(values: NDArray[np.floating]) -> NDArray[np.floating]:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1.0)


def _entropy(shares: NDArray[np.floating]) -> float:
    shares = shares[shares > 0]
    return -float((shares * np.log(shares)).sum())
