"""Spreading of a few labels over a neighbor graph, with pairs that go together or do not."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan.constraints import Constraints

__all__ = ["spread", "weighted_affinity"]

SHARPNESS = 4.0
"""A neighbor as far as the farthest one of a sample weighs exp(-SHARPNESS)."""


def weighted_affinity(
    features: NDArray[np.floating], table: NDArray[np.integer], n_neighbors: int = 10
) -> sparse.csr_matrix:
    r"""Turn a table of neighbors into a normalised symmetric affinity.

    The weight of neighbor j of i is :math:`\exp(-4 d_{ij}^2 / r_i^2)` with :math:`r_i` the distance
    of the farthest neighbor in use; both directions are averaged, and the result is scaled by the
    roots of its degrees on both sides.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features)
    table : int ndarray of shape (n_samples, width)
        Neighbors of each sample, nearest first; self is ignored wherever it stands.
    n_neighbors : int, default=10
        Use only so many nearest neighbors.

    Returns
    -------
    affinity : csr_matrix of shape (n_samples, n_samples)
        Largest eigenvalue at most 1.
    """
    n_samples = len(table)
    others = table != np.arange(n_samples)[:, None]
    others &= np.cumsum(others, axis=1) <= n_neighbors
    rows, columns = np.nonzero(others)
    neighbors = table[rows, columns]
    squares = np.empty(len(rows))
    for start in range(0, len(rows), 2**16):
        part = slice(start, start + 2**16)
        offsets = features[rows[part]] - features[neighbors[part]]
        squares[part] = np.einsum("ij,ij->i", offsets, offsets)
    radius = np.zeros(n_samples)
    np.maximum.at(radius, rows, squares)
    reach = radius[rows]
    weights = np.exp(-SHARPNESS * squares / np.where(reach > 0, reach, 1))
    links = sparse.csr_matrix((weights, (rows, neighbors)), shape=(n_samples, n_samples))
    links = (links + links.T) * 0.5
    degrees = np.asarray(links.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(np.where(degrees > 0, degrees, 1)))
    return (scale @ links @ scale).tocsr()


def spread(
    affinity: sparse.csr_matrix,
    probabilities: NDArray[np.floating],
    constraints: Constraints,
    *,
    share: float = 0.85,
    n_iter: int = 30,
) -> NDArray[np.floating]:
    r"""Smooth predictions over a graph while given labels keep their say.

    The iteration is that of label spreading (Zhou et al., 2004),

    .. math:: F \leftarrow \alpha S F + (1 - \alpha) Y,

    but :math:`Y` holds a prediction for each sample instead of zeros, with given labels in place
    of the predictions for labelled samples (as in correct-and-smooth, Huang et al., 2021). After
    each step samples that must be together share their mean, and samples that must be apart lower
    each other's probability of the classes that they favour themselves.

    Parameters
    ----------
    affinity : csr_matrix of shape (n_samples, n_samples)
        Symmetric, with eigenvalues of at most 1.
    probabilities : ndarray of shape (n_samples, n_classes)
        Rows sum to 1.
    constraints : Constraints
        Given labels and pairs.
    share : float, default=0.85
        What the neighbors have to say, :math:`\alpha`, from 0 to below 1.
    n_iter : int, default=30

    Returns
    -------
    smoothed : ndarray of shape (n_samples, n_classes)
        Rows sum to 1; labelled rows are one-hot.

    References
    ----------
    Zhou et al., "Learning with Local and Global Consistency", NeurIPS 2003.

    Huang et al., "Combining Label Propagation and Simple Models Out-performs Graph Neural
    Networks", ICLR 2021.
    """
    own = constraints.impose_labels(probabilities)
    current = own
    for _ in range(n_iter):
        current = share * (affinity @ current) + (1 - share) * own
        if constraints.has_pairs:
            current = constraints.reconcile(current)
    sums = current.sum(axis=1, keepdims=True)
    return constraints.impose_labels(current / np.where(sums > 0, sums, 1))
