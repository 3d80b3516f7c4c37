"""Over-clustering and the tree that merges its small groups into fewer, larger clusters."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import xlogy
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import pairwise_distances_argmin

__all__ = [
    "MASS_EXPONENT",
    "MergeTree",
    "affinity_between",
    "grow_merge_tree",
    "information_linkage",
    "small_groups",
    "sums_between",
]

MAX_GROUPS = 150
"""Groups of the over-clustering; a tree of more costs the cube of their number."""

SAMPLES_PER_GROUP = 8
"""With few samples there are fewer groups, so that each still has neighbors to speak for it."""

KMEANS_SAMPLE = 10_000
"""k-means is fitted on at most this many samples, drawn at random; all are then assigned."""

KMEANS_ITERATIONS = 10
"""Groups need not be optimal: they are merged again."""

MASS_EXPONENT = 0.7
"""How much the size of clusters counts in the cost of merging them.

1 is the loss of information itself, which merges any rare class away first; 0 is the divergence
alone, which leaves tiny groups apart for their noise.
"""

TINY_COST = 1e-12
"""Smallest cost of a merge: that of groups with the same neighbors."""


@dataclass(frozen=True)
class MergeTree:
    """Small groups of samples, and the order in which they merge.

    Parameters
    ----------
    groups : int ndarray of shape (n_samples,)
        Group of each sample; -1 for an image that could not be read.
    linkage : ndarray of shape (n_groups - 1, 4)
        The merges, in the format of :func:`scipy.cluster.hierarchy.linkage`, so that
        :func:`scipy.cluster.hierarchy.dendrogram` draws it. Heights never fall.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan.merge_tree import MergeTree
    >>> tree = MergeTree(
    ...     groups=np.array([0, 0, 1, 2]), linkage=np.array([[0, 2, 0.1, 2], [1, 3, 0.7, 3.0]])
    ... )
    >>> tree.cut(2)
    array([0, 0, 1, 0])
    """

    groups: NDArray[np.integer]
    linkage: NDArray[np.floating]

    @property
    def n_groups(self) -> int:
        """Number of groups, which is the largest number of clusters."""
        return len(self.linkage) + 1

    def cut(self, n_clusters: int) -> NDArray[np.integer]:
        """Give the cluster of each sample when the tree is cut into so many.

        Parameters
        ----------
        n_clusters : int
            From 1 to `n_groups`.

        Returns
        -------
        labels : ndarray of shape (n_samples,), dtype int64
            Clusters; -1 for an image that could not be read.

        Raises
        ------
        ValueError
            If the tree has no such cut.
        """
        if not isinstance(n_clusters, Integral) or not 1 <= n_clusters <= self.n_groups:
            raise ValueError(
                f"n_clusters={n_clusters!r} cannot be cut from a tree of {self.n_groups} groups; "
                f"it takes 1 to {self.n_groups}."
            )
        clusters = self.cuts([n_clusters])[:, 0]
        return np.where(self.groups >= 0, clusters[self.groups], -1)

    def cuts(self, n_clusters: list[int]) -> NDArray[np.integer]:
        """Give the cluster of each group for several cuts, shape (n_groups, n_cuts)."""
        if self.n_groups == 1:
            return np.zeros((1, len(n_clusters)), dtype=np.int64)
        from scipy.cluster.hierarchy import cut_tree

        return cut_tree(self.linkage, n_clusters=n_clusters).astype(np.int64)


def grow_merge_tree(
    features: NDArray[np.floating],
    affinity: sparse.csr_matrix,
    random_state: np.random.RandomState,
    fit_rows: NDArray[np.integer] | None = None,
    mass_exponent: float = MASS_EXPONENT,
) -> MergeTree:
    """Over-cluster samples into small groups and merge these on the neighbor graph.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    affinity : csr_matrix of shape (n_samples, n_samples)
        Symmetric affinity of the neighbor graph.
    random_state : RandomState
    fit_rows : int ndarray or None, default=None
        Samples that the groups and the edges between them are learned from; all samples are then
        assigned to groups. None takes all.
    mass_exponent : float, default=0.7
        How much the size of clusters counts: see `information_linkage`.

    Returns
    -------
    tree : MergeTree
    """
    rows = np.arange(len(features)) if fit_rows is None else fit_rows
    groups = small_groups(features, rows, random_state)
    if fit_rows is not None:
        affinity = affinity[rows][:, rows]
    between = affinity_between(groups[rows], affinity, int(groups.max()) + 1)
    return MergeTree(groups, information_linkage(between, mass_exponent))


def small_groups(
    features: NDArray[np.floating],
    fit_rows: NDArray[np.integer],
    random_state: np.random.RandomState,
) -> NDArray[np.integer]:
    """Assign each sample to one of up to 150 groups, none of them empty, by k-means.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    fit_rows : int ndarray
        Samples that the centers are learned from.
    random_state : RandomState

    Returns
    -------
    groups : ndarray of shape (n_samples,)
    """
    from sklearn.cluster import KMeans  # which takes long to load, and is seldom needed

    n_rows = len(fit_rows)
    n_groups = min(MAX_GROUPS, max(n_rows // SAMPLES_PER_GROUP, min(n_rows, 2 * SAMPLES_PER_GROUP)))
    if n_rows > KMEANS_SAMPLE:
        fit_rows = random_state.choice(fit_rows, KMEANS_SAMPLE, replace=False)
    kmeans = KMeans(
        n_groups,
        init="random",
        n_init=1,
        max_iter=KMEANS_ITERATIONS,
        random_state=random_state.randint(2**31 - 1),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # duplicates: fewer groups will do
        kmeans.fit(features[fit_rows])
    nearest = pairwise_distances_argmin(features, kmeans.cluster_centers_)
    return np.unique(nearest, return_inverse=True)[1]


def affinity_between(
    groups: NDArray[np.integer], affinity: sparse.csr_matrix, n_groups: int
) -> NDArray[np.floating]:
    """Sum the affinity of samples over pairs of groups, shape (n_groups, n_groups).

    Each sample also counts as a neighbor of itself, as it does in the neighbor graph.
    """
    return sums_between(groups, affinity, n_groups) + np.diag(
        np.bincount(groups, minlength=n_groups)
    )


def sums_between(
    groups: NDArray[np.integer], affinity: sparse.csr_matrix, n_groups: int
) -> NDArray[np.floating]:
    """Sum the affinity over pairs of groups, without self; shape (n_groups, n_groups)."""
    members = sparse.csr_matrix(
        (np.ones(len(groups)), (np.arange(len(groups)), groups)), shape=(len(groups), n_groups)
    )
    return (members.T @ affinity @ members).toarray()


def information_linkage(
    between: NDArray[np.floating], mass_exponent: float = MASS_EXPONENT
) -> NDArray[np.floating]:
    r"""Merge groups that have the same neighbors, the most alike first.

    A step from a random member of group a leads to group l with probability :math:`P_a(l)`; the
    groups that are stepped to stay those of the beginning. Merging a and b, of mass
    :math:`p_a, p_b`, loses the information

    .. math:: \delta = p_a\,\mathrm{KL}(P_a \| M) + p_b\,\mathrm{KL}(P_b \| M), \quad
        M = (p_a P_a + p_b P_b) / (p_a + p_b)

    on where steps lead (Slonim and Tishby, "Agglomerative information bottleneck", 1999). The cost
    is :math:`\delta\, m^{\gamma - 1}` with the mass :math:`m = p_a p_b / (p_a + p_b)` and the
    exponent :math:`\gamma`, which is 1 in that paper.

    Parameters
    ----------
    between : ndarray of shape (n_groups, n_groups)
        Symmetric affinity between groups, within them on the diagonal.
    mass_exponent : float, default=0.7
        :math:`\gamma`.

    Returns
    -------
    linkage : ndarray of shape (n_groups - 1, 4)
        In scipy's format. Heights are costs; where a cost is below that of an earlier merge,
        the earlier one stands.
    """
    n_groups = len(between)
    joint = between / max(between.sum(), np.finfo(float).tiny)  # (clusters, groups stepped to)
    mass = joint.sum(axis=1)
    surplus = xlogy(joint, joint).sum(axis=1) - xlogy(mass, mass)
    alive = np.ones(n_groups, dtype=bool)

    def costs_with(a: int) -> NDArray[np.floating]:
        together, mass_together = joint + joint[a], mass + mass[a]
        merged = xlogy(together, together).sum(axis=1) - xlogy(mass_together, mass_together)
        loss = np.maximum(surplus + surplus[a] - merged, 0)
        shared = mass * mass[a] / np.maximum(mass_together, np.finfo(float).tiny)
        shared = np.maximum(shared, np.finfo(float).tiny)
        costs = np.maximum(loss * shared ** (mass_exponent - 1), TINY_COST)
        costs[~alive] = np.inf
        costs[a] = np.inf
        return costs

    costs = np.array([costs_with(a) for a in range(n_groups)]).reshape(n_groups, n_groups)
    name, size = np.arange(n_groups), np.ones(n_groups)
    linkage = np.empty((n_groups - 1, 4))
    for step in range(n_groups - 1):
        a, b = sorted(divmod(int(costs.argmin()), n_groups))
        size[a] += size[b]
        linkage[step] = min(name[a], name[b]), max(name[a], name[b]), costs[a, b], size[a]
        name[a] = n_groups + step
        joint[a] += joint[b]
        mass[a] += mass[b]
        surplus[a] = xlogy(joint[a], joint[a]).sum() - xlogy(mass[a], mass[a])
        joint[b], mass[b], surplus[b], alive[b] = 0, 0, 0, False
        costs[b], costs[:, b] = np.inf, np.inf
        costs[a] = costs_with(a)
        costs[:, a] = costs[a]
    linkage[:, 2] = np.maximum.accumulate(linkage[:, 2])
    return linkage
