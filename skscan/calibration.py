"""How far to trust probabilities: a temperature chosen by agreement, without labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, linear_sum_assignment

from skscan._blocks import row_blocks
from skscan._files import release_pages
from skscan._subset import some_rows
from skscan.networks.heads import Heads

__all__ = ["ambiguous_rows", "calibrated", "expected_agreement", "fit_temperature"]

SAMPLES = 5000
"""Agreement is estimated on so many samples and their neighbors: to a hundredth or better."""

TEMPERATURES = (0.25, 16.0)
"""Bounds of the temperature: where everything agrees, or nothing, none would fit."""


def calibrated(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """Softmax of ``logits / temperature``, shape (n_samples, n_clusters), float32.

    Temperatures above 1 make probabilities more even; the largest of each row stays the largest.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, section 4.2.
    """
    logits = np.asarray(logits, dtype=np.float32)
    scaled = (logits - logits.max(axis=1, keepdims=True)) / np.float32(temperature)
    probabilities = np.exp(scaled, out=scaled)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(
    heads: Heads,
    best_head: int,
    features: NDArray[np.floating],
    table: NDArray[np.integer],
) -> float:
    r"""Choose the temperature at which the mean confidence is what can be expected to agree.

    The confidence of a sample is its largest probability. The temperature T solves

    .. math:: \frac{1}{n} \sum_i \max_c \operatorname{softmax}(z_i / T)_c = a

    for the logits z of the head that predicts and the `expected_agreement` a. No label is used.

    Parameters
    ----------
    heads : Heads
    best_head : int
        The one that predicts.
    features : ndarray of shape (n_samples, n_features)
    table : int ndarray of shape (n_samples, width)
        Neighbors of each sample; self is ignored wherever it stands.

    Returns
    -------
    temperature : float
        From 0.25 to 16; 1 for a single cluster.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skscan import SCANClusterer
    >>> X, _ = load_digits(return_X_y=True)
    >>> SCANClusterer(n_clusters=10, random_state=0).fit(X).temperature_ > 1
    True
    """
    if heads.n_clusters == 1:
        return 1.0
    rows = some_rows(len(features), SAMPLES)
    agreement = expected_agreement(heads, best_head, features, table, rows)
    logits = heads.logits(features[rows], best_head)

    def excess(log_temperature: float) -> float:
        confidences = calibrated(logits, np.exp(log_temperature)).max(axis=1)
        return float(confidences.mean(dtype=np.float64)) - agreement

    lowest, highest = np.log(TEMPERATURES)
    if excess(lowest) <= 0:
        return TEMPERATURES[0]
    if excess(highest) >= 0:
        return TEMPERATURES[1]
    return float(np.exp(brentq(excess, lowest, highest, xtol=1e-4)))


def expected_agreement(
    heads: Heads,
    best_head: int,
    features: NDArray[np.floating],
    table: NDArray[np.integer],
    rows: NDArray[np.integer] | None = None,
) -> float:
    """Share of neighbors that another head puts into the same cluster as the best head a sample.

    Heads that were trained from other starts disagree where classes are hard to tell apart, and
    neighbors where clusters border on each other: both say how often a cluster is wrong. Clusters
    of another head are matched one-to-one to those of the best head, so that most samples agree.
    Some heads may have failed: the median over the half with the larger modularity (the share of
    neighbors that the head itself puts together, less what that share would be by chance) is taken.
    Without other heads it is the best head that judges the neighbors.

    Parameters
    ----------
    heads : Heads
    best_head : int
    features : ndarray of shape (n_samples, n_features)
    table : int ndarray of shape (n_samples, width)
        Neighbors of each sample; self is ignored wherever it stands.
    rows : int ndarray or None, default=None
        Samples to judge; None is all.

    Returns
    -------
    agreement : float
        From 0 to 1; 1 if no sample has a neighbor.

    References
    ----------
    Jiang et al., "Assessing Generalization of SGD via Disagreement", ICLR 2022, estimates the
    error on unlabelled data by the disagreement of two networks.
    """
    if rows is None:
        rows = np.arange(len(features))
    near = table[rows]
    is_other = near != rows[:, None]
    if not is_other.any():
        return 1.0
    needed, places = np.unique(np.concatenate([rows, near.ravel()]), return_inverse=True)
    places, near_places = places[: len(rows)], places[len(rows) :].reshape(near.shape)
    inputs = features[needed]
    best = heads.predict(inputs, best_head)
    own = best[places][:, None]
    modularities, shares = [], []
    for head in [head for head in range(len(heads)) if head != best_head] or [best_head]:
        clusters = heads.predict(inputs, head)
        together = clusters[near_places] == clusters[places][:, None]
        sizes = np.bincount(clusters) / len(clusters)
        modularities.append(together[is_other].mean() - np.square(sizes).sum())
        labels = _matched(clusters, best, heads.n_clusters)[clusters]
        shares.append((labels[near_places] == own)[is_other].mean())
    better = np.argsort(-np.array(modularities), kind="stable")[: (len(shares) + 1) // 2]
    return float(np.median(np.array(shares)[better]))


def ambiguous_rows(probabilities: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return the rows whose second cluster is at least half as probable as the first.

    Parameters
    ----------
    probabilities : ndarray of shape (n_samples, n_clusters)
        Rows of NaN are left out.

    Returns
    -------
    rows : ndarray of shape (n_ambiguous,), int64
        The one with the most nearly equal pair first. None with a single cluster.
    """
    if probabilities.shape[1] < 2:
        return np.empty(0, dtype=np.int64)
    found, ratios = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=probabilities.dtype)]
    for block in row_blocks(*probabilities.shape):
        second, first = np.partition(probabilities[block], -2, axis=1)[:, -2:].T
        near = np.flatnonzero(second >= first / 2)
        found.append(near + block.start)
        ratios.append(second[near] / first[near])
        release_pages(probabilities)
    return np.concatenate(found)[np.argsort(-np.concatenate(ratios), kind="stable")]


def _matched(
    labels: NDArray[np.integer], others: NDArray[np.integer], n_clusters: int
) -> NDArray[np.integer]:
    """Return the cluster of `others` that each cluster of `labels` is matched to."""
    counts = np.zeros((n_clusters, n_clusters), dtype=np.int64)
    np.add.at(counts, (labels, others), 1)
    return linear_sum_assignment(counts, maximize=True)[1]
