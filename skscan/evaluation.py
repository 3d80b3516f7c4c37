"""The paper's evaluation of one split: every figure of its tables, from labels and probabilities.

What each number means, and how it misleads:

accuracy
    Share of samples that are in the cluster of their class, under the one-to-one match of clusters
    to classes that makes it largest. The match is found **on the very split that is evaluated**,
    as in the paper: labels of the test split choose among all matches. On 10,000 samples of ten
    classes that gains little; on few samples it inflates: random clusters of ten classes have an
    accuracy of 0.11 on 10,000 samples, 0.25 on 100 and 0.46 on 20. Compare only figures
    of splits of about the same size and of as many clusters.
nmi, ari, ami
    Computed on the clusters as they are, without a match. NMI (arithmetic mean, scikit-learn's
    default) grows with the number of clusters even when they are random, so it must not be
    compared between a clustering and an over-clustering; ARI and AMI are corrected for chance.
top_k_accuracy
    Share of samples whose class is matched to one of their k most probable clusters. k is 5, or
    the number of clusters if that is smaller; with ten classes half of all clusters count, and
    with five everything does. A cluster without a class never hits; counting it as class 0, as is
    easily done, inflates the figure.
many_to_one_accuracy
    Accuracy when each cluster stands for its most frequent class on this split: the paper's figure
    for over-clustering. It grows with the number of clusters by itself and reaches 1 with one
    cluster for each sample: compare only equal numbers of clusters.
macro_accuracy
    Mean over classes of the share of their samples that are right: the same as accuracy where
    classes are of equal size; elsewhere it shows what accuracy hides, that a small class is lost.
confusion
    One row for each true class, divided by the size of that class, so that rows sum to 1 also
    where classes are of different size (dividing by column would show shares of clusters).
prototypes
    For each cluster the sample nearest to the mean feature of its ten most confident samples. They
    show what a cluster is about where it is surest, not how it does at its border.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
)
from sklearn.utils import check_array, check_consistent_length, column_or_1d

from skscan.metrics import many_to_one_accuracy, match_clusters, top_k_accuracy
from skscan.prototypes import prototype_indices

__all__ = ["SplitEvaluation", "evaluate_split"]

MATCHES = ("one-to-one", "majority")


@dataclass(frozen=True)
class SplitEvaluation:
    """The figures of one split; see the notes of `skscan.evaluation`.

    Attributes
    ----------
    n_samples, n_classes, n_clusters : int
        Clusters are counted by columns of the probabilities, also empty ones.

    accuracy : float
        Under the best one-to-one match.

    nmi, ari, ami : float
        On the clusters as they are.

    top_k_accuracy : float
        Under the best one-to-one match.

    k : int
        How many clusters may hit: 5, or all if there are fewer.

    many_to_one_accuracy : float
        When each cluster stands for its most frequent class.

    macro_accuracy : float
        Mean over classes of the share of their samples that are right, under `match`.

    match : {"one-to-one", "majority"}
        How clusters became classes in `macro_accuracy`, `class_of_cluster` and `confusion`.

    class_of_cluster : ndarray of shape (n_clusters,), int64
        Place of its class in `classes`; -1 for a cluster that has none.

    classes : ndarray of shape (n_classes,)
        The labels, sorted.

    confusion : ndarray of shape (n_classes, n_classes or more), float64
        Rows are true classes and sum to 1. Column j holds what is in the clusters of class j; then
        follows one column for each cluster that has no class, in their order.

    prototypes : ndarray of shape (n_clusters,), int64, or None
        Row of each cluster's prototype, -1 for an empty cluster; None without features.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan.evaluation import evaluate_split
    >>> evaluation = evaluate_split(["cat", "cat", "dog"], np.eye(2)[[1, 1, 0]])
    >>> evaluation.accuracy, evaluation.classes[evaluation.class_of_cluster].tolist()
    (1.0, ['dog', 'cat'])
    """

    n_samples: int
    n_classes: int
    n_clusters: int
    accuracy: float
    nmi: float
    ari: float
    ami: float
    top_k_accuracy: float
    k: int
    many_to_one_accuracy: float
    macro_accuracy: float
    match: str
    class_of_cluster: NDArray[np.int64]
    classes: NDArray
    confusion: NDArray[np.float64]
    prototypes: NDArray[np.int64] | None

    def scores(self) -> dict[str, float]:
        """Return the figures that are single numbers, by name."""
        names = ("accuracy", "nmi", "ari", "ami", "top_k_accuracy", "many_to_one_accuracy")
        return {name: float(getattr(self, name)) for name in (*names, "macro_accuracy")}


def evaluate_split(
    y_true: Any,
    probabilities: Any,
    features: Any = None,
    *,
    match: str = "one-to-one",
    k: int = 5,
    n_confident: int = 10,
) -> SplitEvaluation:
    """Evaluate the clusters of one split as the paper does (section 3 and its tables).

    Nothing is fitted but the match of clusters to classes, which is found on this split.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels, of any type.

    probabilities : array-like of shape (n_samples, n_clusters)
        Probabilities of clusters, or any score that ranks them.

    features : array-like of shape (n_samples, n_features), default=None
        Features before the head, to find prototypes with.

    match : {"one-to-one", "majority"}, default="one-to-one"
        What clusters stand for in `macro_accuracy` and `confusion`: a class each (Hungarian
        algorithm), or their most frequent class, as for over-clustering. Both accuracies are
        given in either case.

    k : int, default=5
        Clusters that may hit in `top_k_accuracy`; clipped to the number of clusters.

    n_confident : int, default=10
        How many of a cluster's most confident samples are averaged for its prototype.

    Returns
    -------
    evaluation : SplitEvaluation

    Raises
    ------
    ValueError
        If lengths differ, there is no sample, or `match` or `k` is wrong.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan.evaluation import evaluate_split
    >>> evaluation = evaluate_split([0, 0, 1, 1], np.eye(3)[[0, 0, 1, 2]], match="majority")
    >>> evaluation.many_to_one_accuracy, evaluation.class_of_cluster.tolist()
    (1.0, [0, 1, 1])
    """
    if match not in MATCHES:
        raise ValueError(f"match must be one of {list(MATCHES)}, got {match!r}.")
    probabilities = check_array(probabilities, input_name="probabilities")
    y_true = column_or_1d(y_true)
    check_consistent_length(y_true, probabilities)
    n_clusters = probabilities.shape[1]
    labels = probabilities.argmax(axis=1)
    classes, y = np.unique(y_true, return_inverse=True)
    class_of_cluster = match_clusters(y, labels, n_clusters, majority=match == "majority")
    confusion = _confusion(y, labels, class_of_cluster, len(classes))
    prototypes = None
    if features is not None:
        features = check_array(features, input_name="features")
        check_consistent_length(y_true, features)
        prototypes = prototype_indices(features, probabilities, n_confident)
    return SplitEvaluation(
        n_samples=len(y),
        n_classes=len(classes),
        n_clusters=n_clusters,
        accuracy=float((match_clusters(y, labels, n_clusters)[labels] == y).mean()),
        nmi=float(normalized_mutual_info_score(y, labels)),
        ari=float(adjusted_rand_score(y, labels)),
        ami=float(adjusted_mutual_info_score(y, labels)),
        top_k_accuracy=top_k_accuracy(y, probabilities, k),
        k=min(k, n_clusters),
        many_to_one_accuracy=many_to_one_accuracy(y, labels),
        macro_accuracy=float(np.diag(confusion).mean()),
        match=match,
        class_of_cluster=class_of_cluster,
        classes=classes,
        confusion=confusion,
        prototypes=prototypes,
    )


def _confusion(
    y: NDArray[np.integer],
    labels: NDArray[np.integer],
    class_of_cluster: NDArray[np.int64],
    n_classes: int,
) -> NDArray[np.float64]:
    """Return shares of each class by class of cluster, then by cluster without class."""
    classless = np.flatnonzero(class_of_cluster < 0)
    column_of_cluster = class_of_cluster.copy()
    column_of_cluster[classless] = n_classes + np.arange(len(classless))
    counts = np.zeros((n_classes, n_classes + len(classless)))
    np.add.at(counts, (y, column_of_cluster[labels]), 1)
    return counts / counts.sum(axis=1, keepdims=True)
