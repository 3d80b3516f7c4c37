"""Places from which heads start: partitions found without labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning

from skscan._files import allocate_array
from skscan.merge_tree import MASS_EXPONENT, grow_merge_tree
from skscan.training.spectral import (
    diffusion_coordinates,
    normalized_eigenvectors,
    unit_rows,
)

__all__ = ["START_KINDS", "Start", "StartMaker", "auto_starts"]

FEW_CLUSTERS_STARTS = (
    "best-k-means",
    "cut",
    "merge",
    "diffusion-cut",
    "fine-cut",
    "rare-merge",
    "coarse-cut",
    "k-means",
)

MANY_CLUSTERS_STARTS = ("smooth-k-means", "k-means", "smoother-k-means")
"""Starts whose cost grows with the product of samples and clusters, and with nothing else."""

MANY_CLUSTERS = 200
"""Beyond this many clusters cuts and merges are left out: eigenvectors cost the square of their
number, merges the cube, and a cut by fewer eigenvectors tells little of so many clusters apart."""

KMEANS_SAMPLE = 30_000
"""k-means is fitted on at most this many samples, drawn at random; all are then assigned."""

EXACT_CUT_LIMIT = 200_000
"""Beyond this many samples the graph is cut between groups of samples instead of samples."""

KMEANS_SAMPLES_PER_CLUSTER = 256
"""With many clusters k-means is fitted on more samples: so many for each cluster."""

CHOICE_SAMPLES_PER_CLUSTER = 20
"""With many clusters k-means++ chooses among so many samples for each cluster, with one trial for
each choice: among all, with several trials, it took longer than the k-means that follows."""

MANY_CLUSTERS_ITERATIONS = 30

BLOCK_ROWS = 16_384

MAX_BYTES_IN_MEMORY = 2**28
"""Larger copies of the features go to a temporary file that is mapped into memory."""

MAX_EIGENVECTORS = 50
"""More eigenvectors than this cost much and add little, also for more clusters."""

MAX_GROUPS = 2_000
"""Largest number of groups for the cut of the coarse graph, which is solved densely."""

DIFFUSION_STEPS = 3
"""Steps of the random walks whose distances `StartMaker.diffusion_cut` goes by."""

MERGED_GROUPS_PER_CLUSTER = 3
"""With fewer groups for each cluster than this there is little to merge."""

RARE_MASS_EXPONENT = 0.4
"""Makes it as dear to merge a rare class away as a common one, nearly."""


@dataclass(frozen=True)
class Start:
    """A partition from which heads are trained.

    Parameters
    ----------
    kind : str
        A key of `START_KINDS`.
    labels : int ndarray of shape (n_samples,)
    """

    kind: str
    labels: NDArray[np.integer]


class StartMaker:
    """Makes starts for one set of features and its neighbor graph.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
    affinity : csr_matrix of shape (n_samples, n_samples)
        Symmetric affinity of the neighbor graph.
    n_clusters : int
    random_state : RandomState
    """

    def __init__(
        self,
        features: NDArray[np.float32],
        affinity: sparse.csr_matrix,
        n_clusters: int,
        random_state: np.random.RandomState,
    ) -> None:
        self.features = features
        self.affinity = affinity
        self.n_clusters = n_clusters
        self.random_state = random_state
        self._coarse: dict[int, tuple[NDArray, NDArray[np.floating], sparse.csr_matrix]] = {}

    def make(self, kinds: Sequence[str]) -> list[Start]:
        """Compute one start for each kind, in this order."""
        return [Start(kind, START_KINDS[kind](self)) for kind in kinds]

    @cached_property
    def embedding(self) -> NDArray[np.floating]:
        """Eigenvectors of the normalised graph, shape (n_samples, <= n_clusters)."""
        return self._eigenvectors[0][:, : self.n_clusters]

    @cached_property
    def _eigenvectors(self) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """One more eigenvector than clusters, and coordinates of the diffusion map."""
        n_vectors = min(self.n_clusters + 1, MAX_EIGENVECTORS, len(self.features))
        if len(self.features) <= EXACT_CUT_LIMIT:
            vectors = normalized_eigenvectors(self.affinity, n_vectors, self.random_state)
            return vectors, diffusion_coordinates(self.affinity, vectors, DIFFUSION_STEPS)
        groups, vectors, between = self._coarse_eigenvectors(MAX_GROUPS)
        vectors = vectors[:, :n_vectors]
        coordinates = diffusion_coordinates(between, vectors, DIFFUSION_STEPS)
        return vectors[groups], coordinates[groups]

    def kmeans(self, n_init: int = 1) -> NDArray[np.integer]:
        """Partition the features by k-means."""
        if self.n_clusters > MANY_CLUSTERS:
            return self._kmeans_of_many(self.features)
        return self._kmeans(self.features, self.n_clusters, n_init=n_init)

    def smooth_kmeans(self, n_steps: int) -> NDArray[np.integer]:
        """Partition by k-means the features, averaged over neighbors so many times."""
        features = self.features
        for _ in range(n_steps):
            features = self._averaged_over_neighbors(features)
        if self.n_clusters > MANY_CLUSTERS:
            return self._kmeans_of_many(features)
        return self._kmeans(features, self.n_clusters)

    def cut(self) -> NDArray[np.integer]:
        """Normalised cut of the graph: k-means on rows of its eigenvectors (Ng et al., 2001)."""
        return self._kmeans(unit_rows(self.embedding), self.n_clusters, n_init=3)

    def diffusion_cut(self) -> NDArray[np.integer]:
        """Partition by k-means on the diffusion map, where large clusters count for more."""
        coordinates = self._eigenvectors[1]
        if coordinates.shape[1] == 0:
            return self.cut()
        return self._kmeans(coordinates, self.n_clusters, n_init=10)

    def merge(self, mass_exponent: float) -> NDArray[np.integer]:
        """Merge small groups of samples that have the same neighbors."""
        tree = grow_merge_tree(
            self.features, self.affinity, self.random_state, mass_exponent=mass_exponent
        )
        if tree.n_groups < MERGED_GROUPS_PER_CLUSTER * self.n_clusters:
            return self.cut()
        return tree.cut(self.n_clusters)

    def coarse_cut(self, groups_per_cluster: int) -> NDArray[np.integer]:
        """Normalised cut of the graph between small groups of samples, which k-means finds."""
        n_groups = min(groups_per_cluster * self.n_clusters, len(self.features) // 5, MAX_GROUPS)
        if n_groups <= self.n_clusters:
            return self.cut()
        groups, vectors, _ = self._coarse_eigenvectors(n_groups)
        vectors = vectors[:, : self.n_clusters]
        sizes = np.bincount(groups, minlength=len(vectors))
        return self._kmeans(unit_rows(vectors), self.n_clusters, n_init=10, weight=sizes)[groups]

    def random(self) -> NDArray[np.integer]:
        """Partition by random directions in feature space."""
        shape = (self.features.shape[1], self.n_clusters)
        directions = self.random_state.standard_normal(shape).astype(np.float32)
        return (self.features @ directions).argmax(axis=1)

    def _averaged_over_neighbors(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Average each sample with its neighbors, weighted by affinity."""
        averaged = allocate_array(
            features.shape, np.float32, "averaged features", MAX_BYTES_IN_MEMORY
        )
        for start in range(0, len(features), BLOCK_ROWS):
            rows = slice(start, start + BLOCK_ROWS)
            near = self.affinity[rows]
            total = near @ features + features[rows]
            averaged[rows] = total / (1 + np.asarray(near.sum(axis=1)))
        return averaged

    def _kmeans_of_many(self, points: NDArray[np.float32]) -> NDArray[np.integer]:
        """Partition points by k-means into many clusters."""
        n_clusters = self.n_clusters
        n_fitted = max(KMEANS_SAMPLE, KMEANS_SAMPLES_PER_CLUSTER * n_clusters)
        sample = points
        if len(points) > n_fitted:
            rows = self.random_state.choice(len(points), n_fitted, replace=False)
            sample = points[np.sort(rows)]
        n_choice = min(CHOICE_SAMPLES_PER_CLUSTER * n_clusters, len(sample))
        choice = sample[self.random_state.choice(len(sample), n_choice, replace=False)]
        seed = self.random_state.randint(2**31 - 1)
        centers, _ = kmeans_plusplus(choice, n_clusters, random_state=seed, n_local_trials=1)
        kmeans = KMeans(
            n_clusters,
            init=centers,
            n_init=1,
            max_iter=MANY_CLUSTERS_ITERATIONS,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            kmeans.fit(sample)
        blocks = (points[i : i + BLOCK_ROWS] for i in range(0, len(points), BLOCK_ROWS))
        return np.concatenate([kmeans.predict(block) for block in blocks])

    def _coarse_eigenvectors(
        self, n_groups: int
    ) -> tuple[NDArray, NDArray[np.floating], sparse.csr_matrix]:
        """Group of each sample; eigenvectors of the graph between groups, and this graph."""
        if n_groups in self._coarse:
            return self._coarse[n_groups]
        groups = self._kmeans(self.features, n_groups, max_iter=10, init="random")
        n_samples = len(groups)
        members = sparse.csr_matrix(
            (np.ones(n_samples, dtype=np.float32), (np.arange(n_samples), groups)),
            shape=(n_samples, n_groups),
        )
        between = (members.T @ self.affinity @ members).tocsr()
        n_vectors = min(self.n_clusters + 1, n_groups)
        vectors = normalized_eigenvectors(between, n_vectors, self.random_state, dense=True)
        self._coarse[n_groups] = groups, vectors, between
        return self._coarse[n_groups]

    def _kmeans(
        self,
        points: NDArray,
        n_clusters: int,
        *,
        n_init: int = 1,
        max_iter: int = 100,
        init: str = "k-means++",
        weight: NDArray | None = None,
    ) -> NDArray[np.integer]:
        sample: slice | NDArray = slice(None)
        if len(points) > max(KMEANS_SAMPLE, 20 * n_clusters):
            size = max(KMEANS_SAMPLE, 20 * n_clusters)
            sample = self.random_state.choice(len(points), size, replace=False)
        kmeans = KMeans(
            n_clusters,
            init=init,
            n_init=n_init,
            max_iter=max_iter,
            random_state=self.random_state.randint(2**31 - 1),
        )
        with warnings.catch_warnings():
            # Duplicates may leave fewer distinct points than clusters: a start may have gaps.
            warnings.simplefilter("ignore", ConvergenceWarning)
            kmeans.fit(points[sample], sample_weight=weight)
        return kmeans.labels_ if isinstance(sample, slice) else kmeans.predict(points)


def auto_starts(n_clusters: int) -> tuple[str, ...]:
    """Return the starts that suit a number of clusters."""
    return MANY_CLUSTERS_STARTS if n_clusters > MANY_CLUSTERS else FEW_CLUSTERS_STARTS


START_KINDS = {
    "k-means": lambda maker: maker.kmeans(),
    "best-k-means": lambda maker: maker.kmeans(n_init=10),
    "cut": lambda maker: maker.cut(),
    "diffusion-cut": lambda maker: maker.diffusion_cut(),
    "merge": lambda maker: maker.merge(MASS_EXPONENT),
    "rare-merge": lambda maker: maker.merge(RARE_MASS_EXPONENT),
    "coarse-cut": lambda maker: maker.coarse_cut(10),
    "fine-cut": lambda maker: maker.coarse_cut(30),
    "smooth-k-means": lambda maker: maker.smooth_kmeans(1),
    "smoother-k-means": lambda maker: maker.smooth_kmeans(2),
    "random": lambda maker: maker.random(),
}
"""How each kind of start is made."""
