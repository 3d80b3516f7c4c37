"""The figures of one cell. This is where labels come in, after everything is done."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier

from quality_parts.method import Outcome
from skscan.metrics import clustering_accuracy, macro_accuracy, many_to_one_accuracy

__all__ = ["score", "with_noise_assigned"]


def score(y: np.ndarray, outcome: Outcome, Z: np.ndarray) -> dict[str, float | int | None]:
    """Score an outcome.

    Samples that were left out as noise get the cluster of their nearest sample that was not, in
    all figures but `accuracy_noise_wrong`.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Classes.
    outcome : Outcome
        What the method found.
    Z : ndarray of shape (n_samples, n_components)
        Scaled features.

    Returns
    -------
    figures : dict
        accuracy, macro_accuracy, many_to_one, nmi, ari, accuracy_noise_wrong, noise (share left
        out), n_found (clusters), best_of_pool (accuracy of the best candidate, or None).
    """
    found = outcome.labels >= 0
    labels = with_noise_assigned(outcome.labels, Z if outcome.space is None else outcome.space)
    right = clustering_accuracy(y[found], outcome.labels[found]) if found.any() else 0.0
    best = None
    if outcome.pool is not None:
        best = max(clustering_accuracy(y, candidate) for candidate in outcome.pool())
    return {
        "accuracy": clustering_accuracy(y, labels),
        "macro_accuracy": macro_accuracy(y, labels),
        "many_to_one": many_to_one_accuracy(y, labels),
        "nmi": float(normalized_mutual_info_score(y, labels)),
        "ari": float(adjusted_rand_score(y, labels)),
        "accuracy_noise_wrong": right * float(found.mean()),
        "noise": float(1 - found.mean()),
        "n_found": len(np.unique(outcome.labels[found])),
        "best_of_pool": best,
    }


def with_noise_assigned(labels: np.ndarray, space: np.ndarray) -> np.ndarray:
    """Give noise (-1) the label of the nearest other sample; noise alone is one cluster."""
    found = labels >= 0
    if found.all() or not found.any():
        return np.maximum(labels, 0)
    assigned = labels.copy()
    nearest = KNeighborsClassifier(1).fit(space[found], labels[found])
    assigned[~found] = nearest.predict(space[~found])
    return assigned
