"""Eigenvectors of neighbor graphs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, eigsh

__all__ = ["normalised_eigenvectors", "unit_rows"]

DENSE_LIMIT = 300
"""Up to this many nodes a dense eigensolver is as fast as Lanczos and never fails."""


def normalised_eigenvectors(
    affinity: sparse.csr_matrix,
    n_vectors: int,
    random_state: np.random.RandomState,
    *,
    dense: bool = False,
) -> NDArray[np.float32]:
    """Leading eigenvectors of the affinity scaled by the roots of its degrees on both sides.

    They solve the relaxed normalised cut (Shi and Malik, 2000). Nodes without edges and
    disconnected components are fine: an eigenvalue may occur several times.

    Parameters
    ----------
    affinity : csr_matrix of shape (n_nodes, n_nodes)
        Symmetric, not negative.
    n_vectors : int
        At most n_nodes.
    random_state : RandomState
        Draws the first vector of the iterative solver.
    dense : bool, default=False
        Solve densely whatever the size.

    Returns
    -------
    vectors : ndarray of shape (n_nodes, n_vectors), float32
        Largest eigenvalue first. Vectors that did not converge are left zero.
    """
    n_nodes = affinity.shape[0]
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(np.where(degrees > 0, degrees, 1)).astype(np.float32))
    normalised = scale @ affinity @ scale
    if dense or n_nodes <= max(DENSE_LIMIT, 3 * n_vectors):
        _, vectors = np.linalg.eigh(normalised.toarray().astype(np.float64))
        return vectors[:, ::-1][:, :n_vectors].astype(np.float32)
    first_vector = random_state.uniform(-1, 1, n_nodes).astype(np.float32)
    n_lanczos = min(n_nodes, max(2 * n_vectors + 1, 30))
    try:
        _, vectors = eigsh(
            normalised, k=n_vectors, which="LA", v0=first_vector, tol=1e-3, ncv=n_lanczos
        )
    except ArpackNoConvergence as error:
        vectors = error.eigenvectors
    except ArpackError:
        vectors = np.empty((n_nodes, 0), dtype=np.float32)
    padding = np.zeros((n_nodes, n_vectors - vectors.shape[1]), dtype=np.float32)
    found: NDArray[np.float32] = vectors[:, ::-1].astype(np.float32)
    return np.concatenate([found, padding], axis=1)


def unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
