"""Eigenvectors of neighbor graphs."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import lobpcg

__all__ = ["diffusion_coordinates", "normalized_eigenvectors", "unit_rows"]

DENSE_LIMIT = 300
"""Up to this many nodes a dense eigensolver is as fast as an iterative one and never fails."""

EXTRA_VECTORS = 5
"""Vectors iterated beyond those wanted, which makes the wanted ones converge faster."""

MAX_ITERATIONS = 25


def normalized_eigenvectors(
    affinity: sparse.csr_matrix,
    n_vectors: int,
    random_state: np.random.RandomState,
    *,
    dense: bool = False,
) -> NDArray[np.floating]:
    """Leading eigenvectors of the affinity scaled by the roots of its degrees on both sides.

    They solve the relaxed normalised cut (Shi and Malik, 2000). Nodes without edges and
    disconnected components are fine: all vectors are iterated as a block, which finds eigenvalues
    that occur several times, where Lanczos iteration from a single vector does not.

    Parameters
    ----------
    affinity : csr_matrix of shape (n_nodes, n_nodes)
        Symmetric, not negative.
    n_vectors : int
        At most n_nodes.
    random_state : RandomState
        Draws the block from which the iterative solver starts.
    dense : bool, default=False
        Solve densely whatever the size.

    Returns
    -------
    vectors : ndarray of shape (n_nodes, n_vectors), float32
        Largest eigenvalue first.
    """
    n_nodes = affinity.shape[0]
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(np.where(degrees > 0, degrees, 1)).astype(np.float32))
    normalised = (scale @ affinity @ scale).astype(np.float64)
    if dense or n_nodes <= max(DENSE_LIMIT, 5 * (n_vectors + EXTRA_VECTORS)):
        _, vectors = np.linalg.eigh(normalised.toarray())
        return vectors[:, ::-1][:, :n_vectors].astype(np.float32)
    guess = random_state.standard_normal((n_nodes, n_vectors + EXTRA_VECTORS))
    guess[:, 0] = np.sqrt(degrees)  # the first eigenvector of a connected graph
    with warnings.catch_warnings():
        # Vectors that are not fully converged serve as well.
        warnings.simplefilter("ignore", UserWarning)
        values, vectors = lobpcg(normalised, guess, largest=True, maxiter=MAX_ITERATIONS, tol=1e-3)
    leading = np.argsort(-values)[:n_vectors]
    return np.asarray(vectors[:, leading], dtype=np.float32)


def diffusion_coordinates(
    affinity: sparse.csr_matrix, vectors: NDArray[np.floating], n_steps: int
) -> NDArray[np.floating]:
    """Place nodes so that distances are those between random walks of so many steps.

    Coordinate j is the j-th right eigenvector of the walk times the n-th power of its eigenvalue
    (Coifman and Lafon, "Diffusion maps", 2006). The first, which is constant, is left out.

    Parameters
    ----------
    affinity : csr_matrix of shape (n_nodes, n_nodes)
    vectors : ndarray of shape (n_nodes, n_vectors)
        From `normalized_eigenvectors` of this affinity.
    n_steps : int

    Returns
    -------
    coordinates : ndarray of shape (n_nodes, n_vectors - 1), float32
    """
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    scale = (1 / np.sqrt(np.where(degrees > 0, degrees, 1))).astype(np.float32)[:, None]
    walked = scale * (affinity @ (scale * vectors))
    squares = np.maximum(np.einsum("ij,ij->j", vectors, vectors), np.finfo(np.float32).tiny)
    eigenvalues = np.clip(np.einsum("ij,ij->j", vectors, walked) / squares, 0, 1)
    return (scale * vectors * eigenvalues**n_steps)[:, 1:].astype(np.float32)


def unit_rows(vectors: NDArray[np.floating]) -> NDArray[np.floating]:
    """Scale rows to length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
