"""What clusters are compared with: k-means, and a linear classifier that is given labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from skscan.metrics import clustering_accuracy

__all__ = ["K_MEANS_RUNS", "few_labels_scores", "k_means_scores"]

#: Runs of k-means on the same features, each from one start.
K_MEANS_RUNS = 10

_MANY_SAMPLES = 100_000


def k_means_scores(
    train: NDArray[np.float32],
    test: NDArray[np.float32],
    y_test: NDArray[np.integer],
    n_clusters: int,
    seed: int,
) -> dict[str, list[float]]:
    """Fit k-means on the training features, apply it to the test split, and score it there.

    Above 100,000 training images, k-means of mini-batches takes its place.

    Parameters
    ----------
    train : ndarray of shape (n_train, n_features)
        Features, at length 1.
    test : ndarray of shape (n_test, n_features)
    y_test : ndarray of shape (n_test,)
        Classes of the test split; the fit does not see them.
    n_clusters : int
    seed : int
        Of the first run; the others take the next.

    Returns
    -------
    scores : dict of str to list of float
        accuracy, nmi and ari of each of the `K_MEANS_RUNS` runs.
    """
    kind = MiniBatchKMeans if len(train) > _MANY_SAMPLES else KMeans
    scores: dict[str, list[float]] = {"accuracy": [], "nmi": [], "ari": []}
    for run in range(K_MEANS_RUNS):
        k_means = kind(n_clusters, n_init=1, random_state=seed * K_MEANS_RUNS + run).fit(train)
        labels = k_means.predict(test)
        scores["accuracy"].append(clustering_accuracy(y_test, labels))
        scores["nmi"].append(float(normalized_mutual_info_score(y_test, labels)))
        scores["ari"].append(float(adjusted_rand_score(y_test, labels)))
    return scores


def few_labels_scores(
    train: NDArray[np.float32],
    y_train: NDArray[np.integer],
    test: NDArray[np.float32],
    y_test: NDArray[np.integer],
    share: float,
    random_state: np.random.RandomState,
) -> dict[str, Any]:
    """Fit a linear classifier with a share of the labels, and score it on the test split.

    Parameters
    ----------
    train : ndarray of shape (n_train, n_features)
        Features, at length 1.
    y_train : ndarray of shape (n_train,)
    test : ndarray of shape (n_test, n_features)
    y_test : ndarray of shape (n_test,)
    share : float
        Share of the labels of each class that the classifier is given, at least one.
    random_state : RandomState
        Draws whose label it is given.

    Returns
    -------
    result : dict
        n_labels; scores: accuracy and top_k_accuracy; k.
    """
    classes = np.unique(y_train)
    chosen = np.concatenate(
        [
            random_state.choice(members, max(1, round(share * len(members))), replace=False)
            for members in (np.flatnonzero(y_train == number) for number in classes)
        ]
    )
    # Features of length 1 are small: the usual strength of the penalty would drown them.
    classifier = LogisticRegression(C=100.0, max_iter=1000).fit(train[chosen], y_train[chosen])
    scores = classifier.decision_function(test)
    if scores.ndim == 1:  # two classes
        scores = np.column_stack([-scores, scores])
    k = min(5, scores.shape[1])
    top = classifier.classes_[np.argsort(-scores, axis=1, kind="stable")[:, :k]]
    return {
        "n_labels": len(chosen),
        "k": k,
        "scores": {
            "accuracy": float((top[:, 0] == y_test).mean()),
            "top_k_accuracy": float((top == y_test[:, None]).any(axis=1).mean()),
        },
    }
