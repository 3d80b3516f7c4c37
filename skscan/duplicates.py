"""Samples that are nearly the same, found in a mined neighbour graph."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from skscan._blocks import edges_in_blocks

__all__ = ["duplicate_groups", "near_duplicates"]

ROUNDING = 1e-4
"""Distances below this share of a typical one are those of equal samples."""


def near_duplicates(graph: sparse.csr_matrix, n_by_chance: float = 1.0) -> NDArray[np.int64]:
    r"""Find pairs of samples that are closer than neighbours are by chance.

    If samples lie evenly around sample i, in as many dimensions D as the data really have, each of
    its k mined neighbours is within the share r of the distance of the farthest one with the
    probability :math:`r^D`. Pairs (i, j) are returned that are closer than r times the smaller of
    the farthest distances of i and j, where r is such that `n_by_chance` of all mined neighbours
    are expected to be. So the threshold needs no scale: it adapts to the features, their number
    and that of the samples, and to how dense samples lie in each place. D is the median over the
    samples of the estimate of Levina and Bickel,
    :math:`D_i^{-1} = \operatorname{mean}_j \log(d_{ik} / d_{ij})`.

    Parameters
    ----------
    graph : csr_matrix of shape (n_samples, n_samples)
        Distances to the mined neighbours; entries on the diagonal are ignored. With less than three
        neighbours for each sample only equal samples are found.
    n_by_chance : float, default=1.0
        How many of all mined neighbours may be so close by chance.

    Returns
    -------
    pairs : ndarray of shape (n_pairs, 2), int64
        The smaller index first, pairs in order. A group of n copies is up to ``n (n - 1) / 2``
        pairs, see `duplicate_groups`.

    References
    ----------
    Levina and Bickel, "Maximum Likelihood Estimation of Intrinsic Dimension", NIPS 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan import NeighborMiner
    >>> from skscan.duplicates import near_duplicates
    >>> X = np.random.RandomState(0).randn(200, 8)
    >>> X[3] = X[50] + 1e-3
    >>> near_duplicates(NeighborMiner(10).fit_transform(X)).tolist()
    [[3, 50]]
    """
    graph = graph.tocsr()
    n_samples = graph.shape[0]
    farthest, counts = np.zeros(n_samples), np.zeros(n_samples, dtype=np.int64)
    for rows, _, distances in _mined(graph):
        np.maximum.at(farthest, rows, distances)
        counts += np.bincount(rows, minlength=n_samples)
    has_neighbors = counts > 0
    if not has_neighbors.any():
        return np.empty((0, 2), dtype=np.int64)
    smallest = ROUNDING * np.median(farthest[has_neighbors])

    reach = np.where(has_neighbors, farthest, np.inf)
    share = (n_by_chance / counts.sum()) ** (1 / _dimension(graph, farthest))
    found = []
    for rows, columns, distances in _mined(graph):
        close = distances < share * np.minimum(reach[rows], reach[columns])
        close |= distances <= smallest
        found.append(np.stack([rows[close], columns[close]], axis=1).astype(np.int64))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def duplicate_groups(pairs: NDArray[np.integer]) -> list[NDArray[np.int64]]:
    """Put pairs together into groups: each sample is a near-duplicate of some other of its group.

    Parameters
    ----------
    pairs : int ndarray of shape (n_pairs, 2)
        As `near_duplicates` gives them.

    Returns
    -------
    groups : list of ndarray, int64
        The largest first, each sorted.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan.duplicates import duplicate_groups
    >>> [group.tolist() for group in duplicate_groups(np.array([[0, 4], [1, 7], [4, 5]]))]
    [[0, 4, 5], [1, 7]]
    """
    samples, ends = np.unique(pairs, return_inverse=True)
    if len(samples) == 0:
        return []
    first, second = ends.reshape(-1, 2).T
    shape = (len(samples), len(samples))
    links = sparse.csr_matrix((np.ones(len(first)), (first, second)), shape=shape)
    group_of_sample = connected_components(links, directed=False)[1]
    order = np.argsort(group_of_sample, kind="stable")
    ends_of_groups = np.cumsum(np.bincount(group_of_sample))[:-1]
    groups = np.split(samples[order].astype(np.int64), ends_of_groups)
    return sorted(groups, key=len, reverse=True)


def _mined(
    graph: sparse.csr_matrix,
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer], NDArray[np.float64]]]:
    """Give the ends of the edges between different samples, and their lengths, in blocks."""
    for rows, columns, distances in edges_in_blocks(graph):
        others = rows != columns
        yield rows[others], columns[others], distances[others].astype(np.float64)


def _dimension(graph: sparse.csr_matrix, farthest: NDArray[np.floating]) -> float:
    """Estimate the intrinsic dimension around each sample, and return the median."""
    counts, sums = np.zeros(len(farthest), dtype=np.int64), np.zeros(len(farthest))
    for rows, _, distances in _mined(graph):
        inner = (distances > 0) & (distances < farthest[rows])
        logs = np.log(farthest[rows[inner]] / distances[inner])
        counts += np.bincount(rows[inner], minlength=len(farthest))
        sums += np.bincount(rows[inner], weights=logs, minlength=len(farthest))
    if not counts.any():
        return np.inf  # all neighbours are equally far: none stands out
    return float(np.median(counts[counts > 0] / sums[counts > 0]))
