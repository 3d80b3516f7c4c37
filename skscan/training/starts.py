"""Places from which heads start: partitions found without labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import eigsh

__all__ = ["START_KINDS", "Start", "make_starts", "spectral_embedding"]

DENSE_EIGENSOLVER_LIMIT = 300
"""Up to this many nodes a dense eigensolver is both faster and safer than Lanczos."""


class Start(NamedTuple):
    """A partition from which a head is trained."""

    kind: str
    labels: NDArray[np.intp]


def spectral_embedding(
    affinity: sparse.csr_matrix, n_components: int, random_state: np.random.RandomState
) -> NDArray[np.float32]:
    """Leading eigenvectors of the normalised affinity, shape (n_samples, n_components).

    The affinity is scaled by the square roots of its degrees on both sides, so its eigenvectors
    are those of the normalised cut (Shi and Malik, 2000), largest eigenvalue first. Nodes without
    edges and several connected components are fine.
    """
    n_samples = affinity.shape[0]
    degrees = np.asarray(affinity.sum(axis=1)).ravel()
    scale = sparse.diags(1.0 / np.sqrt(np.maximum(degrees, np.finfo(np.float32).tiny ** 0.5)))
    normalised = (scale @ affinity @ scale).astype(np.float32)
    if n_samples <= max(DENSE_EIGENSOLVER_LIMIT, 3 * n_components):
        _, vectors = np.linalg.eigh(normalised.toarray().astype(np.float64))
        return vectors[:, ::-1][:, :n_components].astype(np.float32)
    first_vector = random_state.uniform(-1, 1, n_samples).astype(np.float32)
    n_lanczos = min(n_samples, max(2 * n_components + 1, 30))
    _, vectors = eigsh(
        normalised, k=n_components, which="LA", v0=first_vector, tol=1e-3, ncv=n_lanczos
    )
    return vectors[:, ::-1]


def _kmeans_start(features, affinity, n_clusters, random_state):
    from sklearn.cluster import KMeans

    kmeans = KMeans(n_clusters, n_init=1, random_state=random_state.randint(2**31 - 1))
    return kmeans.fit(features).labels_


def _normalised_cut_start(features, affinity, n_clusters, random_state):
    from sklearn.cluster import KMeans

    n_clusters = min(n_clusters, len(features))
    vectors = spectral_embedding(affinity, n_clusters, random_state)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    directions = vectors / np.maximum(lengths, np.finfo(np.float32).eps)
    kmeans = KMeans(n_clusters, n_init=3, random_state=random_state.randint(2**31 - 1))
    return kmeans.fit(directions).labels_


def _random_start(features, affinity, n_clusters, random_state):
    directions = random_state.standard_normal((features.shape[1], n_clusters))
    return (features @ directions.astype(np.float32)).argmax(axis=1)


START_KINDS = {
    "k-means": _kmeans_start,
    "ncut": _normalised_cut_start,
    "random": _random_start,
}


def make_starts(
    features: NDArray[np.float32],
    affinity: sparse.csr_matrix,
    n_clusters: int,
    kinds: list[str],
    random_state: np.random.RandomState,
) -> list[Start]:
    """Compute one start for each name in `kinds`, in this order."""
    return [
        Start(kind, START_KINDS[kind](features, affinity, n_clusters, random_state))
        for kind in kinds
    ]
