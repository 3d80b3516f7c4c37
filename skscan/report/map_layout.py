"""A map of all images: places in the plane where neighbours lie together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan._threads import one_blas_thread
from skscan.graph import neighbor_table, symmetric_affinity

__all__ = ["MAX_ON_MAP", "map_layout", "sampled_affinity"]

MAX_ON_MAP = 50_000
"""Of more images, so many are drawn at random."""

N_NEIGHBORS = 15
POWER_ITERATIONS = 100
N_PASSES, N_PASSES_LARGE, LARGE = 100, 60, 20_000
SAMPLES_PER_PASS = 5
REPULSION = 5.0
"""How much all images push each other away beside the pull of neighbours, as in UMAP."""

STEP = 2.0
LARGEST_PUSH = 4.0


def map_layout(affinity: sparse.csr_matrix, random_state: int = 0) -> NDArray[np.floating]:
    r"""Place samples in the plane so that those with high affinity come to lie together.

    Neighbours pull each other, random others push, with the forces of UMAP (McInnes et al., 2018)
    at a = b = 1, in whole passes instead of single edges:

    .. math:: F_i = \sum_j \frac{w_{ij}}{\sum_l w_{il}} \frac{y_j - y_i}{1 + d_{ij}^2}
        + \rho\,\mathrm{E}_s \frac{y_i - y_s}{(0.01 + d_{is}^2)(1 + d_{is}^2)}

    from the leading eigenvectors of the random walk on the graph.

    Parameters
    ----------
    affinity : csr_matrix of shape (n_samples, n_samples)
        Symmetric, not negative.
    random_state : int, default=0

    Returns
    -------
    places : ndarray of shape (n_samples, 2), dtype float32
        Between 0 and 1.
    """
    n_samples = affinity.shape[0]
    random = np.random.RandomState(random_state)
    if n_samples < 3:
        return np.linspace(0.25, 0.75, max(n_samples, 1), dtype=np.float32)[
            :n_samples, None
        ].repeat(2, axis=1)
    affinity = affinity.tocsr().astype(np.float32)
    with one_blas_thread():  # several get in each other's way with a few vectors
        places = _start(affinity, random)
    x, y = np.ascontiguousarray(places[:, 0]), np.ascontiguousarray(places[:, 1])
    rows = np.repeat(np.arange(n_samples, dtype=np.int32), np.diff(affinity.indptr))
    columns = affinity.indices
    weights = affinity.data / np.maximum(_degrees(affinity), 1e-6)[rows]
    n_passes = N_PASSES if n_samples <= LARGE else N_PASSES_LARGE
    for number in range(n_passes):
        to_x, to_y = x[columns] - x[rows], y[columns] - y[rows]
        pull = weights / (1 + to_x * to_x + to_y * to_y)
        force_x = np.bincount(rows, pull * to_x, minlength=n_samples).astype(float)
        force_y = np.bincount(rows, pull * to_y, minlength=n_samples).astype(float)
        for _ in range(SAMPLES_PER_PASS):
            others = random.randint(0, n_samples, n_samples)
            from_x, from_y = x - x[others], y - y[others]
            squared = from_x * from_x + from_y * from_y
            push = (REPULSION / SAMPLES_PER_PASS) / ((0.01 + squared) * (1 + squared))
            bound = LARGEST_PUSH / SAMPLES_PER_PASS
            force_x += np.clip(push * from_x, -bound, bound)
            force_y += np.clip(push * from_y, -bound, bound)
        step = STEP * (1 - number / n_passes)
        x += (step * force_x).astype(np.float32)
        y += (step * force_y).astype(np.float32)
    return _fit_into_square(np.column_stack([x, y]))


def _degrees(affinity: sparse.csr_matrix) -> NDArray[np.floating]:
    return np.asarray(affinity.sum(axis=1), dtype=np.float32).ravel()


def _start(affinity: sparse.csr_matrix, random: np.random.RandomState) -> NDArray[np.floating]:
    """Leading eigenvectors of the lazy random walk, by power iteration on a block of vectors."""
    n_samples = affinity.shape[0]
    degrees = np.maximum(_degrees(affinity), 1e-6)
    scale = sparse.diags(1 / np.sqrt(degrees))
    walk = (scale @ affinity @ scale + sparse.identity(n_samples)) * 0.5
    walk = walk.tocsr().astype(np.float32)
    block = random.standard_normal((n_samples, min(8, n_samples))).astype(np.float32)
    block[:, 0] = np.sqrt(degrees)  # the first eigenvector is known, and says nothing
    for number in range(POWER_ITERATIONS):
        block = walk @ block
        if number % 5 == 4:
            block = np.linalg.qr(block)[0]
    block = np.linalg.qr(block)[0]
    rotation = np.linalg.eigh(block.T @ (walk @ block))[1]
    vectors = (block @ rotation[:, ::-1])[:, 1:3] / np.sqrt(degrees)[:, None]
    vectors = 10 * vectors / np.maximum(np.abs(vectors).max(axis=0), 1e-12)
    return (vectors + random.normal(0, 0.05, vectors.shape)).astype(np.float32)


def _fit_into_square(places: NDArray[np.floating]) -> NDArray[np.floating]:
    """Shift and scale places into the unit square, a few stray ones drawn to its border."""
    low, high = np.percentile(places, [0.1, 99.9], axis=0)
    side = max(float((high - low).max()), 1e-6)
    centered = (places - (low + high) / 2) / side * 0.94 + 0.5
    return np.clip(centered, 0, 1).astype(np.float32)


def sampled_affinity(
    neighbors: sparse.csr_matrix, rows: NDArray[np.integer] | None = None
) -> sparse.csr_matrix:
    """Return the affinity of samples for their map.

    Parameters
    ----------
    neighbors : csr_matrix of shape (n_samples, n_samples)
        Distances to the mined neighbours.
    rows : int ndarray or None, default=None
        The samples on the map; None is all. Few of a sample's neighbours are drawn with it, so
        that drawn samples are also joined where they share a neighbour.

    Returns
    -------
    affinity : csr_matrix of shape (n_rows, n_rows)
    """
    affinity = symmetric_affinity(neighbor_table(neighbors), N_NEIGHBORS)
    if rows is None:
        return affinity
    steps = affinity[rows]
    two_steps = (steps @ affinity[:, rows]).tocsr()
    joined = (steps[:, rows] + 0.1 * two_steps).tocsr()
    joined.setdiag(0)
    joined.eliminate_zeros()
    strongest = _strongest(joined, N_NEIGHBORS)
    return strongest.maximum(strongest.T).tocsr()


def _strongest(affinity: sparse.csr_matrix, n_links: int) -> sparse.csr_matrix:
    """Keep the strongest links of each sample: two steps lead to hundreds of others."""
    counts = np.diff(affinity.indptr)
    rows = np.repeat(np.arange(affinity.shape[0]), counts)
    order = np.lexsort((-affinity.data, rows))
    rank = np.arange(len(order)) - affinity.indptr[rows]
    kept = order[rank < n_links]
    return sparse.csr_matrix(
        (affinity.data[kept], (rows[kept], affinity.indices[kept])), shape=affinity.shape
    )
