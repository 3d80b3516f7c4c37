"""Which clusters are near each other, as the neighbours of their images say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster.hierarchy import leaves_list

from skscan.merge_tree import information_linkage
from skscan.report.run import Run

__all__ = ["MAX_IN_MATRIX", "MAX_IN_TREE", "Nearness", "nearness_of_clusters"]

MAX_IN_MATRIX = 60
MAX_IN_TREE = 200
_N_NEAREST, _N_PAIRS = 3, 50


@dataclass(frozen=True)
class Nearness:
    """How much clusters share their neighbours.

    Parameters
    ----------
    nearest : list of list of (int, float)
        For each cluster the three that most of its images' neighbours lie in, itself left out,
        with the share of these neighbours.
    pairs : list of (int, int, float)
        The nearest pairs; the share is the larger of the two directions.
    matrix : ndarray of shape (n_clusters, n_clusters) or None
        Share of the neighbours of a row's images that lie in a column; None for many clusters.
    linkage : ndarray of shape (n_clusters - 1, 4) or None
        How clusters merge, in scipy's format; None for many clusters.
    order : list of int
        Clusters so that near ones stand together.
    """

    nearest: list[list[tuple[int, float]]]
    pairs: list[tuple[int, int, float]]
    matrix: NDArray[np.floating] | None
    linkage: NDArray[np.floating] | None
    order: list[int]


def nearness_of_clusters(run: Run) -> Nearness:
    """Compare the clusters of `run` by the neighbours of their images."""
    k = run.n_clusters
    between = _links_between(run)
    total = np.maximum(np.asarray(between.sum(axis=1)).ravel(), 1e-12)
    shares = sparse.diags(1 / total) @ between
    nearest, pairs = _nearest(shares.tocsr())
    linkage, order = None, list(range(k))
    if 2 <= k <= MAX_IN_TREE:
        # an image is its own neighbour too, so that an empty or lonely cluster is no zero row
        sizes = np.bincount(run.clusters, minlength=k)
        own = np.diag(np.maximum(sizes, 1e-6))
        linkage = information_linkage(between.toarray() / 2 + own)
        order = leaves_list(linkage).tolist()
    return Nearness(
        nearest=nearest,
        pairs=pairs,
        matrix=shares.toarray() if k <= MAX_IN_MATRIX else None,
        linkage=linkage,
        order=order,
    )


def _links_between(run: Run) -> sparse.csr_matrix:
    """Count links of the neighbour graph between clusters, and twice within them."""
    graph = run.neighbors.tocsr()
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    others = rows != graph.indices
    ends = run.clusters[rows[others]], run.clusters[graph.indices[others]]
    shape = (run.n_clusters, run.n_clusters)
    links = sparse.csr_matrix((np.ones(len(ends[0])), ends), shape=shape)
    return (links + links.T).tocsr()


def _nearest(
    shares: sparse.csr_matrix,
) -> tuple[list[list[tuple[int, float]]], list[tuple[int, int, float]]]:
    nearest = []
    strongest: dict[tuple[int, int], float] = {}
    for row in range(shares.shape[0]):
        part = slice(shares.indptr[row], shares.indptr[row + 1])
        found = sorted(
            (
                (int(column), float(share))
                for column, share in zip(shares.indices[part], shares.data[part], strict=True)
                if column != row and share > 0
            ),
            key=lambda pair: (-pair[1], pair[0]),
        )
        nearest.append(found[:_N_NEAREST])
        for column, share in found[:_N_NEAREST]:
            pair = (min(row, column), max(row, column))
            strongest[pair] = max(strongest.get(pair, 0), share)
    pairs = sorted(((a, b, share) for (a, b), share in strongest.items()), key=lambda p: -p[2])
    return nearest, pairs[:_N_PAIRS]
