"""Clusters that no label speaks of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

__all__ = ["seed_new_classes"]

MIN_SEEDS = 3


def seed_new_classes(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Give a few samples of the clusters without labels a label of their own.

    Labelled classes are matched one to one with the clusters that their samples fall into. From
    the surer half of each cluster that is left over as many samples are taken as a class has
    labels, evenly from the surest to the least sure.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_clusters)
        Of a clustering without labels.
    labels : int ndarray of shape (n_samples,)
        Classes from 0 to at most ``n_clusters - 1``; -1 for unknown.

    Returns
    -------
    labels : ndarray of shape (n_samples,), dtype int64
        With the classes up to ``n_clusters - 1``.
    """
    n_clusters = probabilities.shape[1]
    n_classes = int(labels.max()) + 1
    association = np.stack([probabilities[labels == c].mean(axis=0) for c in range(n_classes)])
    matched = linear_sum_assignment(association, maximize=True)[1]
    n_seeds = max(MIN_SEEDS, round((labels >= 0).sum() / n_classes))
    seeded = labels.astype(np.int64)
    predicted = probabilities.argmax(axis=1)
    for new, cluster in enumerate(np.setdiff1d(np.arange(n_clusters), matched)):
        free = seeded < 0
        members = np.flatnonzero(free & (predicted == cluster))
        if len(members) == 0:
            members = np.flatnonzero(free)[: MIN_SEEDS * 2]
        order = members[np.argsort(-probabilities[members, cluster], kind="stable")]
        half = order[: max(len(order) // 2, min(n_seeds, len(order)))]
        chosen = half[np.linspace(0, len(half) - 1, min(n_seeds, len(half))).round().astype(int)]
        seeded[chosen] = n_classes + new
    return seeded
