"""How well labels can be learned from features: a criterion that sees no true label."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.utils import check_random_state

__all__ = ["learnability"]


def learnability(
    labels: NDArray[np.integer],
    features: NDArray[np.floating],
    *,
    classifier: Any = None,
    spaces: Sequence[int] | None = None,
    n_folds: int = 10,
    max_samples: int | None = 3000,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    """Cross-validated accuracy of a classifier on labels that a clustering gave.

    TURTLE chooses among its runs by this: labels that follow the classes are learned from few
    samples. A single cluster is learned perfectly, so compare only clusterings into as many
    clusters.

    Parameters
    ----------
    labels : int ndarray of shape (n_samples,)
        Clusters.
    features : ndarray of shape (n_samples, n_features)
        On one scale, as `FeatureScaler` gives them.
    classifier : classifier or None, default=None
        Fitted anew in each fold; None is a logistic regression, as in TURTLE.
    spaces : sequence of int or None, default=None
        Widths of feature spaces that stand side by side in the columns; the accuracy is that in
        each, averaged. None is one space.
    n_folds : int, default=10
        At least 2; a sample each at most.
    max_samples : int or None, default=3000
        A random subset of this size is judged when there are more samples; None takes all.
    random_state : int, RandomState instance or None, default=None
        Of the subset and of the folds.

    Returns
    -------
    accuracy : float
        Between 0 and 1; larger is better.

    References
    ----------
    Gadetsky et al., "Let Go of Your Labels with Unsupervised Transfer", ICML 2024, section 3.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> from skscan.learnability import learnability
    >>> X, y = make_blobs(120, centers=3, cluster_std=0.3, random_state=0)
    >>> learnability(y, X, random_state=0)
    1.0
    """
    labels, features = np.asarray(labels), np.asarray(features)
    if len(labels) != len(features):
        raise ValueError(
            f"labels and features must be of as many samples, got {len(labels)} and "
            f"{len(features)}."
        )
    if n_folds < 2 or len(labels) < 2:
        raise ValueError(
            f"learnability needs at least 2 folds and 2 samples, got n_folds={n_folds} and "
            f"{len(labels)} samples."
        )
    rng = check_random_state(random_state)
    if max_samples is not None and len(labels) > max_samples:
        subset = rng.choice(len(labels), max_samples, replace=False)
        labels, features = labels[subset], features[subset]
    folds = KFold(min(n_folds, len(labels)), shuffle=True, random_state=rng)
    splits = list(folds.split(features))
    ends = np.cumsum(spaces if spaces is not None else [features.shape[1]])
    parts = np.split(features, ends[:-1], axis=1)
    if classifier is None:
        classifier = LogisticRegression(max_iter=300)
    return float(np.mean([_accuracy(classifier, part, labels, splits) for part in parts]))


def _accuracy(
    classifier: Any,
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    splits: list[Any],
) -> float:
    """Share of samples whose label is predicted from the other folds."""
    n_right = 0
    for train, test in splits:
        n_classes = len(np.unique(labels[train]))
        if n_classes == 1:  # nothing to tell apart
            predicted = np.full(len(test), labels[train[0]])
        elif n_classes == len(train):  # nothing to learn from
            continue
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of classes with a single sample
                model = clone(classifier).fit(features[train], labels[train])
            predicted = model.predict(features[test])
        n_right += int((predicted == labels[test]).sum())
    return n_right / len(labels)
