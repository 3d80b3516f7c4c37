"""Measures of agreement between clusters and classes, and of neighbour graphs.

Every figure here needs labels: it serves evaluation and never enters a fit. NMI, ARI and AMI are
scikit-learn's own (:func:`sklearn.metrics.normalized_mutual_info_score`,
:func:`~sklearn.metrics.adjusted_rand_score`, :func:`~sklearn.metrics.adjusted_mutual_info_score`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_matrix
from sklearn.metrics import (
    adjusted_mutual_info_score,
    adjusted_rand_score,
    normalized_mutual_info_score,
)
from sklearn.metrics.cluster import contingency_matrix
from sklearn.utils import check_array, check_consistent_length, column_or_1d


def clustering_accuracy(y_true: Any, y_pred: Any) -> float:
    """Accuracy under the best one-to-one match of clusters to classes.

    The match maximises the agreement (Hungarian algorithm). With more clusters than classes the
    samples of clusters left without a class count as wrong, and the other way round.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels, of any type.
    y_pred : array-like of shape (n_samples,)
        Cluster labels, of any type.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Examples
    --------
    >>> from skscan.metrics import clustering_accuracy
    >>> clustering_accuracy(["cat", "cat", "dog", "dog"], [1, 1, 0, 1])
    0.75
    """
    counts = _counts(y_true, y_pred)
    classes, clusters = linear_sum_assignment(counts, maximize=True)
    return float(counts[classes, clusters].sum() / counts.sum())


def many_to_one_accuracy(y_true: Any, y_pred: Any) -> float:
    """Accuracy when each cluster stands for its most frequent class.

    Several clusters may stand for one class, so this suits over-clustering; it grows with the
    number of clusters by itself.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels.
    y_pred : array-like of shape (n_samples,)
        Cluster labels.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Examples
    --------
    >>> from skscan.metrics import many_to_one_accuracy
    >>> many_to_one_accuracy([0, 0, 1, 1], [0, 1, 2, 3])
    1.0
    """
    counts = _counts(y_true, y_pred)
    return float(counts.max(axis=0).sum() / counts.sum())


def macro_accuracy(y_true: Any, y_pred: Any) -> float:
    """Mean over classes of the share of their samples that are right, under the best match.

    The match of clusters to classes is that of :func:`clustering_accuracy`; where several are
    equally good, the one with the largest mean counts. Every class has the same weight, however
    small it is: this shows what accuracy hides on uneven sets. A class without a cluster counts 0.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels, of any type.
    y_pred : array-like of shape (n_samples,)
        Cluster labels, of any type.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Examples
    --------
    >>> from skscan.metrics import macro_accuracy
    >>> macro_accuracy(["cat", "cat", "cat", "dog"], [1, 1, 1, 1])
    0.5
    """
    counts = _counts(y_true, y_pred)
    recalls = counts / counts.sum(axis=1, keepdims=True)
    # recalls add up to less than what one more sample is worth: they decide between ties alone
    merits = counts * float(len(counts) + 1) + recalls
    classes, clusters = linear_sum_assignment(merits, maximize=True)
    return float(recalls[classes, clusters].sum() / len(counts))


def top_k_accuracy(y_true: Any, probabilities: Any, k: int = 5) -> float:
    """Share of samples whose class is among the k most probable clusters, once matched.

    The match of clusters to classes is that of :func:`clustering_accuracy` for the most probable
    clusters; a cluster without a class never hits.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels.
    probabilities : array-like of shape (n_samples, n_clusters)
        Probabilities, or any score that ranks the clusters of a sample.
    k : int, default=5
        Clusters that may hit; clipped to ``n_clusters``.

    Returns
    -------
    accuracy : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If k is below 1 or the lengths differ.

    Examples
    --------
    >>> from skscan.metrics import top_k_accuracy
    >>> probabilities = [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.5, 0.3], [0.1, 0.2, 0.7]]
    >>> top_k_accuracy(["a", "b", "b", "c"], probabilities, k=1)
    0.75
    >>> top_k_accuracy(["a", "b", "b", "c"], probabilities, k=2)
    1.0
    """
    probabilities = check_array(probabilities, input_name="probabilities")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k!r}.")
    y_true = column_or_1d(y_true)
    check_consistent_length(y_true, probabilities)
    _, y_true = np.unique(y_true, return_inverse=True)
    n_clusters = probabilities.shape[1]
    class_of_cluster = match_clusters(y_true, probabilities.argmax(axis=1), n_clusters)
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, : min(k, n_clusters)]
    return float((class_of_cluster[top] == y_true[:, None]).any(axis=1).mean())


def expected_calibration_error(y_true: Any, probabilities: Any, *, n_bins: int = 15) -> float:
    r"""Mean difference between confidence and accuracy, once clusters are matched to classes.

    The confidence of a sample is its largest probability. Samples are put into bins of equal width
    by confidence, and

    .. math:: \sum_b \frac{n_b}{n} \, \lvert \mathrm{accuracy}_b - \mathrm{confidence}_b \rvert

    is taken over the bins, with the accuracy under the match of :func:`clustering_accuracy`. It is
    0 when of the samples with a confidence of 0.8 eight in ten are right. The fewer samples there
    are for each bin, the larger it is by chance.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels, of any type.
    probabilities : array-like of shape (n_samples, n_clusters)
        Probability of each cluster.
    n_bins : int, default=15
        Number of bins, at least 1.

    Returns
    -------
    error : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If n_bins is below 1, the lengths differ, or a probability is not from 0 to 1.

    References
    ----------
    Naeini et al., "Obtaining Well Calibrated Probabilities Using Bayesian Binning", AAAI 2015.

    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, equation 3.

    Examples
    --------
    >>> from skscan.metrics import expected_calibration_error
    >>> probabilities = [[0.75, 0.25], [0.75, 0.25], [0.25, 0.75], [0.25, 0.75]]
    >>> expected_calibration_error(["cat", "cat", "dog", "cat"], probabilities)
    0.0
    """
    probabilities = check_array(probabilities, input_name="probabilities")
    if n_bins < 1:
        raise ValueError(f"n_bins must be at least 1, got {n_bins!r}.")
    rounding = 1e-3
    if probabilities.min() < -rounding or probabilities.max() > 1 + rounding:
        raise ValueError(
            f"probabilities must be from 0 to 1, got {probabilities.min():.3g} to "
            f"{probabilities.max():.3g}."
        )
    y_true = column_or_1d(y_true)
    check_consistent_length(y_true, probabilities)
    _, y_true = np.unique(y_true, return_inverse=True)
    clusters = probabilities.argmax(axis=1)
    right = match_clusters(y_true, clusters, probabilities.shape[1])[clusters] == y_true
    confidences = probabilities.max(axis=1).astype(np.float64)
    bins = np.clip(np.ceil(confidences * n_bins).astype(int) - 1, 0, n_bins - 1)
    excess = np.bincount(bins, weights=confidences - right)
    return float(np.abs(excess).sum() / len(y_true))


def match_clusters(
    y_true: Any, y_pred: Any, n_clusters: int, *, majority: bool = False
) -> NDArray[np.int64]:
    """Find the class that each cluster stands for.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels, of any type.
    y_pred : array-like of int of shape (n_samples,)
        Clusters, from 0 to ``n_clusters - 1``.
    n_clusters : int
        Number of clusters, empty ones included.
    majority : bool, default=False
        False matches one-to-one so that the agreement is largest (Hungarian algorithm); True gives
        every cluster its most frequent class, the first of them where several are.

    Returns
    -------
    class_of_cluster : ndarray of shape (n_clusters,), int64
        Place of the class among the sorted labels; -1 for a cluster that has none: left over by
        the one-to-one match, or, with `majority`, empty.

    Raises
    ------
    ValueError
        If the lengths differ or a cluster is out of range.

    Examples
    --------
    >>> from skscan.metrics import match_clusters
    >>> match_clusters(["cat", "cat", "dog"], [2, 2, 0], 3).tolist()
    [1, -1, 0]
    """
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    if len(y_pred) and not (y_pred.min() >= 0 and y_pred.max() < n_clusters):
        raise ValueError(
            f"y_pred holds clusters from {y_pred.min()} to {y_pred.max()}; with "
            f"n_clusters={n_clusters}, 0 to {n_clusters - 1} are taken."
        )
    classes, y_true = np.unique(y_true, return_inverse=True)
    counts = np.zeros((n_clusters, len(classes)), dtype=np.int64)
    np.add.at(counts, (y_pred, y_true), 1)
    if majority:
        return np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    class_of_cluster = np.full(n_clusters, -1, dtype=np.int64)
    matched_clusters, matched_classes = linear_sum_assignment(counts, maximize=True)
    class_of_cluster[matched_clusters] = matched_classes
    return class_of_cluster


def neighbor_purity(graph: csr_matrix, y: Any) -> float:
    """Share of neighbour pairs that have the same label.

    Near-duplicates (copies, other crops, shots in a row) are neighbours of each other and have the
    same label: they inflate the purity, and what can be learned from such pairs is little. See
    :func:`skscan.duplicates.near_duplicates`.

    Parameters
    ----------
    graph : csr_matrix of shape (n_samples, n_samples)
        Neighbour graph; entries on the diagonal are not counted.
    y : array-like of shape (n_samples,)
        Labels.

    Returns
    -------
    purity : float
        Between 0 and 1; NaN for a graph without pairs.

    Raises
    ------
    ValueError
        If the graph is not square or y has another length.

    Examples
    --------
    >>> from skscan import NeighborMiner
    >>> from skscan.metrics import neighbor_purity
    >>> graph = NeighborMiner(1).fit_transform([[0.0], [0.1], [5.0], [5.1]])
    >>> neighbor_purity(graph, ["a", "a", "b", "c"])
    0.5
    """
    y = column_or_1d(y)
    if graph.shape != (len(y), len(y)):
        raise ValueError(f"y has {len(y)} labels for a graph of shape {graph.shape}.")
    pairs = graph.tocoo()
    others = pairs.row != pairs.col
    if not others.any():
        return float("nan")
    return float((y[pairs.row[others]] == y[pairs.col[others]]).mean())


#: Every measure by name; each takes ``(y_true, y_pred)``.
CLUSTERING_METRICS: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": clustering_accuracy,
    "many_to_one_accuracy": many_to_one_accuracy,
    "macro_accuracy": macro_accuracy,
    "nmi": normalized_mutual_info_score,
    "ari": adjusted_rand_score,
    "ami": adjusted_mutual_info_score,
}


def clustering_report(y_true: Any, y_pred: Any) -> dict[str, float]:
    """All measures of :data:`CLUSTERING_METRICS` at once.

    Parameters
    ----------
    y_true : array-like of shape (n_samples,)
        Class labels.
    y_pred : array-like of shape (n_samples,)
        Cluster labels.

    Returns
    -------
    report : dict of str to float
        Keys ``accuracy``, ``many_to_one_accuracy``, ``macro_accuracy``, ``nmi``, ``ari`` and
        ``ami``.

    Examples
    --------
    >>> from skscan.metrics import clustering_report
    >>> report = clustering_report([0, 0, 1, 1], [0, 0, 1, 2])
    >>> report["accuracy"], report["many_to_one_accuracy"]
    (0.75, 1.0)
    """
    return {name: float(metric(y_true, y_pred)) for name, metric in CLUSTERING_METRICS.items()}


def get_scorer(name: str) -> Callable[..., float]:
    """Give a measure as a scorer ``(estimator, X, y) -> float`` for model selection.

    Parameters
    ----------
    name : {"accuracy", "many_to_one_accuracy", "macro_accuracy", "nmi", "ari", "ami", \
            "top_5_accuracy"}
        The measure.

    Returns
    -------
    scorer : callable
        Usable as ``GridSearchCV(..., scoring=scorer)``.

    Raises
    ------
    ValueError
        If there is no such measure.

    Examples
    --------
    >>> from skscan.metrics import get_scorer
    >>> scorer = get_scorer("nmi")
    """
    from sklearn.metrics import make_scorer

    if name == "top_5_accuracy":
        return make_scorer(top_k_accuracy, response_method="predict_proba", k=5)
    if name not in CLUSTERING_METRICS:
        accepted = sorted([*CLUSTERING_METRICS, "top_5_accuracy"])
        raise ValueError(f"name must be one of {accepted}, got {name!r}.")
    return make_scorer(CLUSTERING_METRICS[name])


def _counts(y_true: Any, y_pred: Any) -> np.ndarray:
    y_true, y_pred = column_or_1d(y_true), column_or_1d(y_pred)
    check_consistent_length(y_true, y_pred)
    if len(y_true) == 0:
        raise ValueError("y_true and y_pred are empty; at least one label is needed.")
    return contingency_matrix(y_true, y_pred)
