"""Which samples are worth a label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["suggest_samples"]

FLATTENING = 0.1
"""Predictions are raised to this power before their entropy is taken."""


def suggest_samples(
    affinity: sparse.csr_matrix,
    probabilities: NDArray[np.floating],
    labelled: NDArray[np.bool_],
    n_samples: int,
) -> NDArray[np.int64]:
    r"""Choose samples whose labels would say most about the others.

    A label at sample i speaks for the samples j that a lazy random walk of two steps reaches from
    i, with the share :math:`M_{ij}`. Samples are chosen one after the other by

    .. math:: \sum_j M_{ij} u_j r_j,

    where :math:`u_j` is the entropy of the prediction for j, which is raised to the power 1/10 and
    normalised before (a class that was learned wrongly from few labels is surely wrong), and
    :math:`r_j` what has not been said of it yet: it is lowered by every label, given or suggested,
    that speaks for j. So the chosen samples are uncertain, lie where there are many like them, and
    differ from each other.

    Parameters
    ----------
    affinity : csr_matrix of shape (n_samples, n_samples)
        Symmetric, not negative.
    probabilities : ndarray of shape (n_samples, n_classes)
    labelled : bool ndarray of shape (n_samples,)
        These are not chosen.
    n_samples : int
        How many to choose; at most as many as are not labelled.

    Returns
    -------
    indices : ndarray of shape (n_samples,), dtype int64
        The most useful first.
    """
    size = len(labelled)
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    step = sparse.diags(1 / np.where(degrees > 0, degrees, 1)) @ affinity
    step = 0.5 * (step + sparse.identity(size, format="csr"))
    reach = (step @ step).tocsr()
    # what a sample hears of a label at its own place is all there is to hear
    heard = sparse.diags(1 / reach.diagonal()) @ reach.T.tocsr()
    told = heard.T.tocsr()
    p = np.clip(probabilities, 1e-12, 1).astype(np.float64) ** FLATTENING
    p /= p.sum(axis=1, keepdims=True)
    uncertainty = -(p * np.log(p)).sum(axis=1)
    left = np.ones(size)
    for sample in np.flatnonzero(labelled).tolist():
        _tell(told, sample, left)
    open_ = ~labelled
    chosen = np.empty(n_samples, dtype=np.int64)
    for i in range(n_samples):
        gain = told @ (uncertainty * left)
        # without gain anywhere the most uncertain ones come first
        gain = np.where(open_, gain + 1e-9 * uncertainty, -1)
        chosen[i] = gain.argmax()
        open_[chosen[i]] = False
        _tell(told, int(chosen[i]), left)
    return chosen


def _tell(told: sparse.csr_matrix, sample: int, left: NDArray[np.floating]) -> None:
    row = slice(told.indptr[sample], told.indptr[sample + 1])
    left[told.indices[row]] *= 1 - np.minimum(told.data[row], 1)
