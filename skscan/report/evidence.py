"""What speaks for and against the clusters of a run, gathered without labels.

This is the one place that knows which attributes of a fitted clusterer say something about single
images; results of earlier versions lack some of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from skscan.report.contact_sheets import rank_by_typicality
from skscan.report.run import Run

__all__ = ["Evidence", "gather_evidence"]


@dataclass(frozen=True)
class Evidence:
    """What is known about single images.

    Parameters
    ----------
    typical_rank : int ndarray of shape (n_images,)
        Place of each image within its cluster, 0 for the most typical one.
    agreement : ndarray of shape (n_images,)
        Share of an image's mined neighbours that lie in its own cluster.
    outlier_score : ndarray of shape (n_images,)
        The higher, the less an image is like any other.
    uncertain : int ndarray
        Images that may well be in the wrong cluster, the least certain first.
    outliers : int ndarray or None
        Images unlike all others, the oddest first; None where the run did not look for them.
    duplicates : list of int ndarray, or None
        Groups of images that are nearly the same; None where the run did not look for them.
    """

    typical_rank: NDArray[np.integer]
    agreement: NDArray[np.floating]
    outlier_score: NDArray[np.floating]
    uncertain: NDArray[np.integer]
    outliers: NDArray[np.integer] | None
    duplicates: list[NDArray[np.integer]] | None


def gather_evidence(run: Run) -> Evidence:
    """Gather what `run` says of its images."""
    agreement, distance = _neighborhoods(run)
    uncertain = _rows(run, "ambiguous_indices_")
    if uncertain is None:
        flagged = np.flatnonzero((run.confidence < 0.5) | (agreement < 0.5))
        doubt = run.confidence[flagged] + agreement[flagged]
        uncertain = flagged[np.argsort(doubt, kind="stable")]
    return Evidence(
        typical_rank=_typical_rank(run),
        agreement=agreement,
        outlier_score=_outlier_scores(run, distance),
        uncertain=uncertain,
        outliers=_rows(run, "outlier_indices_"),
        duplicates=_duplicates(run),
    )


def _neighborhoods(run: Run) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Share of neighbours in the own cluster, and mean distance to neighbours, of each image."""
    graph = run.neighbors.tocsr()
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    others = rows != graph.indices
    rows, columns, distances = rows[others], graph.indices[others], graph.data[others]
    count = np.maximum(np.bincount(rows, minlength=graph.shape[0]), 1)
    same = run.clusters[rows] == run.clusters[columns]
    agreement = np.bincount(rows, weights=same, minlength=graph.shape[0]) / count
    distance = np.bincount(rows, weights=distances, minlength=graph.shape[0]) / count
    return agreement, distance


def _typical_rank(run: Run) -> NDArray[np.integer]:
    rank = np.zeros(len(run.paths), dtype=np.int64)
    order = np.argsort(run.clusters, kind="stable")
    bounds = np.searchsorted(run.clusters[order], np.arange(run.n_clusters + 1))
    for start, end in pairwise(bounds):
        members = order[start:end]
        if len(members):
            ranked = rank_by_typicality(members, run.confidence, run.neighbors, run.clusters)
            rank[ranked] = np.arange(len(ranked))
    return rank


def _outlier_scores(run: Run, otherwise: NDArray[np.floating]) -> NDArray[np.floating]:
    scores = getattr(run.model, "outlier_scores_", None)
    if scores is None or len(scores) != len(run.model.labels_):
        return otherwise
    scores = np.asarray(scores, dtype=float)[run.read]
    return otherwise if np.isnan(scores).any() else scores


def _rows(run: Run, attribute: str) -> NDArray[np.integer] | None:
    """Images that an attribute of the model names, as rows of the images that could be read."""
    indices = getattr(run.model, attribute, None)
    return None if indices is None else _as_rows(run, np.asarray(indices, dtype=np.int64))


def _as_rows(run: Run, indices: NDArray[np.integer]) -> NDArray[np.integer]:
    rows = np.searchsorted(run.read, indices)
    known = rows < len(run.read)
    known[known] = run.read[rows[known]] == indices[known]
    return rows[known]


def _duplicates(run: Run) -> list[NDArray[np.integer]] | None:
    pairs = getattr(run.model, "near_duplicates_", None)
    if pairs is None:
        return None
    from skscan.duplicates import duplicate_groups

    groups = [_as_rows(run, group) for group in duplicate_groups(np.asarray(pairs))]
    return [group for group in groups if len(group) > 1]
