"""How many clusters there are: evidence for each number, gathered without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.neighbors import NearestNeighbors
from sklearn.utils._param_validation import Interval

from skscan.graph import neighbor_table, shared_neighbor_affinity, symmetric_affinity
from skscan.merge_tree import MergeTree, grow_merge_tree, sums_between

__all__ = [
    "ClusterCountCurve",
    "ClusterCountSearch",
    "agreement_of_cuts",
    "merge_gaps",
    "mixing_of_clusters",
]

MAX_CLUSTERS = 50
"""Largest number of clusters that is tried unless the user sets another."""

MAX_SAMPLES = 2000
"""Of more samples so many are drawn.

How much clusters mix in a graph of so many neighbors depends on how dense the samples lie: with
13,000 instead of 2,000 images of ten classes the 20th eigenvalue fell from .16 to .06. The weight
of the mixing holds for about this density.
"""

RESAMPLE_SHARE = 0.7
"""Share of the samples that each tree is grown from."""

MIXING_WEIGHT = 12
"""What mixing counts in the score, chosen on sets of known classes: see `benchmarks/README.md`."""

GAP_WEIGHT = 0.5
"""What the merge gap counts in the score, chosen with it."""

N_PROPOSALS = 5
"""Numbers that are proposed."""


@dataclass(frozen=True)
class ClusterCountCurve:
    """Evidence for each number of clusters.

    Parameters
    ----------
    n_clusters : int ndarray of shape (n_numbers,)
        The numbers that were tried, from 2 on.
    mixing : ndarray of shape (n_numbers,)
        How much clusters mix at least that are so many: the k-th smallest eigenvalue of the
        normalised Laplacian of the graph of shared neighbors, averaged over resamples. It is near
        0 as long as so many clusters can be apart, and rises when more are asked for.
    merge_gap : ndarray of shape (n_numbers,)
        Logarithm of how much more it costs to go on merging from so many clusters than it cost to
        come down to so many, averaged over trees grown from resamples.
    stability : ndarray of shape (n_numbers,)
        Adjusted Rand index of the cuts of two such trees, averaged over pairs of trees.
    prediction_strength : ndarray of shape (n_numbers,)
        Share of the pairs within a cluster of one tree that stay together in another, for the
        worst cluster, averaged over pairs of trees (Tibshirani and Walther, 2005).
    score : ndarray of shape (n_numbers,)
        What the numbers are ranked by: the logarithm of the number, less twelve times the mixing,
        plus half the merge gap times the root of the number, as gaps between many merges are
        narrower than between few. The factors were chosen where the truth was known.
    proposals : tuple of int
        The numbers of highest score, up to five, the highest first. The first two are worth a
        look.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan.cluster_count import ClusterCountCurve
    >>> curve = ClusterCountCurve(
    ...     n_clusters=np.array([2, 3]),
    ...     mixing=np.array([0.01, 0.02]),
    ...     merge_gap=np.array([0.1, 0.5]),
    ...     stability=np.array([0.7, 0.9]),
    ...     prediction_strength=np.array([0.6, 0.8]),
    ...     score=np.array([0.64, 1.29]),
    ...     proposals=(3, 2),
    ... )
    >>> print(curve)
    n_clusters  mixing  merge_gap  stability  prediction_strength  score  proposal
             2   0.010       0.10       0.70                 0.60   0.64  2nd
             3   0.020       0.50       0.90                 0.80   1.29  1st
    """

    n_clusters: NDArray[np.integer]
    mixing: NDArray[np.floating]
    merge_gap: NDArray[np.floating]
    stability: NDArray[np.floating]
    prediction_strength: NDArray[np.floating]
    score: NDArray[np.floating]
    proposals: tuple[int, ...]

    def to_dict(self) -> dict[str, list]:
        """Return the curve as lists of plain numbers, as for JSON."""
        return {
            name: list(value) if isinstance(value, tuple) else value.tolist()
            for name, value in asdict(self).items()
        }

    def __str__(self) -> str:
        evidence = ("mixing", "merge_gap", "stability", "prediction_strength", "score")
        digits = {"mixing": 3}  # small, and what tells numbers apart is smaller
        ranks = dict(zip(self.proposals, ("1st", "2nd", "3rd"), strict=False))
        lines = ["  ".join(("n_clusters", *evidence, "proposal"))]
        for row, number in enumerate(self.n_clusters):
            cells = [f"{number:10d}"]
            cells += [
                f"{getattr(self, name)[row]:{len(name)}.{digits.get(name, 2)}f}"
                for name in evidence
            ]
            lines.append("  ".join([*cells, ranks.get(int(number), "")]).rstrip())
        return "\n".join(lines)


class ClusterCountSearch(BaseEstimator):
    """Search for the number of clusters.

    Several resamples are over-clustered into small groups. The eigenvalues of the graph between
    these groups say how many clusters can be apart without mixing much; and the groups are merged
    step by step: where the next merge costs much more than the one before, there is a natural
    number of clusters. No labels are seen. At least 2 clusters are proposed: whether samples form
    clusters at all is not judged. Of more than 2,000 samples as many are drawn at random.

    Parameters
    ----------
    max_clusters : int or None, default=None
        Largest number tried, 2 or more; at most 150 groups are made, which bounds it too. None is
        the square root of the number of samples, but not more than 50.
    n_resamples : int, default=16
        Trees that the evidence is averaged over, each from 70 % of the samples.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import make_blobs
    >>> from skscan import ClusterCountSearch, NeighborMiner
    >>> X, _ = make_blobs(400, centers=4, random_state=3)
    >>> search = ClusterCountSearch(max_clusters=10)
    >>> curve = search.search(X, NeighborMiner(10).fit_transform(X), np.random.RandomState(0))
    >>> curve.proposals[0]
    4
    """

    _parameter_constraints: dict = {
        "max_clusters": [Interval(Integral, 2, None, closed="left"), None],
        "n_resamples": [Interval(Integral, 2, None, closed="left")],
    }

    def __init__(self, *, max_clusters: int | None = None, n_resamples: int = 16) -> None:
        self.max_clusters = max_clusters
        self.n_resamples = n_resamples

    def search(
        self,
        features: NDArray[np.floating],
        neighbors: sparse.csr_matrix,
        random_state: np.random.RandomState,
    ) -> ClusterCountCurve:
        """Gather the evidence for each number of clusters.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features)
            At least 2 samples.
        neighbors : csr_matrix of shape (n_samples, n_samples)
            Distances to the mined neighbors; self may be among them. Of more than 2,000 samples
            those that are drawn get as many neighbors among themselves.
        random_state : RandomState
            Source of every draw.

        Returns
        -------
        curve : ClusterCountCurve
        """
        self._validate_params()
        n_samples = len(features)
        table: NDArray[np.integer] = neighbor_table(neighbors)
        if n_samples > MAX_SAMPLES:
            features, table = _thin_out(features, table, random_state)
        resamples = _draw_resamples(len(features), self.n_resamples, random_state)
        affinity = symmetric_affinity(table)
        trees = [grow_merge_tree(features, affinity, random_state, rows) for rows in resamples]
        numbers = np.arange(2, self._largest(n_samples, trees) + 1)
        affinity = shared_neighbor_affinity(table)
        mixing = np.mean(
            [
                mixing_of_clusters(tree.groups[rows], affinity[rows][:, rows], numbers)
                for tree, rows in zip(trees, resamples, strict=True)
            ],
            axis=0,
        )
        gap = merge_gaps(trees, numbers)
        stability, strength = agreement_of_cuts(trees, numbers)
        score = np.log(numbers) - MIXING_WEIGHT * mixing + GAP_WEIGHT * gap * np.sqrt(numbers)
        best = np.argsort(-score, kind="stable")[:N_PROPOSALS]
        proposals = tuple(int(number) for number in numbers[best])
        return ClusterCountCurve(numbers, mixing, gap, stability, strength, score, proposals)

    def _largest(self, n_samples: int, trees: Sequence[MergeTree]) -> int:
        wanted = self.max_clusters or min(MAX_CLUSTERS, int(np.sqrt(n_samples)))
        # a gap lies between two merges: that of the last two groups has none below it
        return max(min(wanted, min(tree.n_groups for tree in trees) - 1), 2)


def _thin_out(
    features: NDArray[np.floating],
    table: NDArray[np.integer],
    random_state: np.random.RandomState,
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Draw samples, and find as many neighbors among them as the table has, and self."""
    rows = np.sort(random_state.choice(len(features), MAX_SAMPLES, replace=False))
    others = table[rows] != rows[:, None]
    n_neighbors = min(int(others.sum(axis=1).max()) + 1, MAX_SAMPLES)
    features = features[rows]
    nearest = NearestNeighbors(n_neighbors=n_neighbors, algorithm="brute").fit(features)
    return features, nearest.kneighbors(features, return_distance=False)


def _draw_resamples(
    n_samples: int, n_resamples: int, random_state: np.random.RandomState
) -> list[NDArray[np.integer]]:
    size = max(int(RESAMPLE_SHARE * n_samples), 2)
    draws = [random_state.choice(n_samples, size, replace=False) for _ in range(n_resamples)]
    return [np.sort(rows) for rows in draws]


def mixing_of_clusters(
    groups: NDArray[np.integer], affinity: sparse.csr_matrix, numbers: NDArray[np.integer]
) -> NDArray[np.floating]:
    r"""Eigenvalues of the normalised Laplacian of the graph between groups.

    The k-th smallest, :math:`\lambda_k`, bounds how well groups can be joined into k clusters: of
    the affinity of the worst cluster at least :math:`\lambda_k / 2` leads out of it (Lee, Oveis
    Gharan and Trevisan, "Multiway spectral partitioning and higher-order Cheeger inequalities",
    2014). Each affinity counts as a share of its own cluster's, so small clusters count too.

    Parameters
    ----------
    groups : int ndarray of shape (n_samples,)
        Group of each sample.
    affinity : csr_matrix of shape (n_samples, n_samples)
        Symmetric affinity of the samples.
    numbers : int ndarray of shape (n_numbers,)
        Each k, from 1 on; clipped to the number of groups.

    Returns
    -------
    mixing : ndarray of shape (n_numbers,)
        From 0, where k clusters have no link between them, to 2.
    """
    names, groups = np.unique(groups, return_inverse=True)
    between = sums_between(groups, affinity, len(names))
    # a group without any link is apart from all others
    between[np.diag_indices(len(names))] += between.sum(axis=1) == 0
    root = np.sqrt(between.sum(axis=1))
    similarity = np.linalg.eigvalsh(between / np.outer(root, root))[::-1]
    return np.maximum(1 - similarity[np.minimum(numbers, len(names)) - 1], 0)


def merge_gaps(trees: Sequence[MergeTree], numbers: NDArray[np.integer]) -> NDArray[np.floating]:
    """Log ratio of the cost of merging k clusters into k - 1 to that of k + 1 into k, averaged.

    Parameters
    ----------
    trees : sequence of MergeTree
    numbers : int ndarray
        Each k, consecutive, from 2 on.

    Returns
    -------
    gaps : ndarray of shape (n_numbers,)
        Not negative; 0 where a tree is too small to tell.
    """
    gaps = np.zeros((len(trees), len(numbers)))
    for row, tree in zip(gaps, trees, strict=True):
        log_costs = np.log(tree.linkage[::-1, 2])
        found = (log_costs[:-1] - log_costs[1:])[: len(numbers)]
        row[: len(found)] = found
    return gaps.mean(axis=0)


def agreement_of_cuts(
    trees: Sequence[MergeTree], numbers: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Compare the cuts of each two trees.

    Parameters
    ----------
    trees : sequence of MergeTree
        All over the same samples.
    numbers : int ndarray
        Numbers of clusters to cut into; clipped to the groups that a tree has.

    Returns
    -------
    stability : ndarray of shape (n_numbers,)
        Mean adjusted Rand index.
    prediction_strength : ndarray of shape (n_numbers,)
        Mean, over pairs of trees and both directions, of the share of pairs of samples in the
        worst cluster of one that are together in the other.
    """
    cuts = [tree.cuts(np.minimum(numbers, tree.n_groups).tolist()) for tree in trees]
    found = []
    for one, other in combinations(range(len(trees)), 2):
        shape = (trees[one].n_groups, trees[other].n_groups)
        cells = np.ravel_multi_index((trees[one].groups, trees[other].groups), shape)
        shared = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
        columns = zip(cuts[one].T, cuts[other].T, strict=True)
        found.append([_agreement(_indicator(a).T @ shared @ _indicator(b)) for a, b in columns])
    stability, strength = np.mean(found, axis=0).T
    return stability, strength


def _indicator(clusters: NDArray[np.integer]) -> NDArray[np.floating]:
    return np.eye(int(clusters.max()) + 1)[clusters]


def _agreement(counts: NDArray[np.floating]) -> tuple[float, float]:
    """Return the adjusted Rand index and the prediction strength of a contingency table."""

    def pairs(sizes: Any) -> Any:
        return sizes * (sizes - 1) / 2

    sides = (counts.sum(axis=1), counts.sum(axis=0))
    in_both, in_one, in_other = pairs(counts).sum(), pairs(sides[0]).sum(), pairs(sides[1]).sum()
    by_chance = in_one * in_other / max(pairs(counts.sum()), 1)
    room = (in_one + in_other) / 2 - by_chance
    index = (in_both - by_chance) / room if room > 0 else 1.0
    shares = [
        # a cluster of one sample has no pair to lose
        np.where(size > 1, pairs(table).sum(axis=1) / np.maximum(pairs(size), 1), 1).min()
        for table, size in zip((counts, counts.T), sides, strict=True)
    ]
    return float(index), float(np.mean(shares))
