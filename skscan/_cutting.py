"""The number of clusters found by search, and clusterers cut from a merge tree."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skscan._device import resolve_device
from skscan._progress import announce
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.cluster_count import ClusterCountCurve, ClusterCountSearch
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.merge_tree import MergeTree, grow_merge_tree
from skscan.networks.heads import LinearHeads
from skscan.training.distillation import distilled_head

__all__ = ["CuttingMixin"]

_OF_A_SEARCH = ("cluster_count_", "merge_tree_", "_training_features", "_cut_seed")
"""Attributes that only a fit with a search for the number of clusters leaves."""


class CuttingMixin(BaseEstimator):
    """Search for the number of clusters, and `cut`, of an estimator with heads.

    It has the parameters `n_clusters`, `device`, `n_jobs` and `verbose`, the attributes `labels_`,
    `heads_`, `best_head_`, `history_` and `n_iter_`, and keeps what heads predict with
    ``_keep_predictions(features, read)``.
    """

    n_clusters: Any
    device: str
    n_jobs: int | None
    verbose: int
    labels_: np.ndarray
    heads_: LinearHeads
    selection_report_: list[dict[str, Any]]
    cluster_count_: ClusterCountCurve
    merge_tree_: MergeTree

    def cut(self, n_clusters: int) -> Self:
        """Give a fitted clusterer of another number of clusters, cut from the merge tree.

        Nothing is clustered again: a linear head is fitted to the clusters of the tree, within
        seconds. ``clone(clusterer.cut(k)).fit(X)`` trains for that number as usual.

        Parameters
        ----------
        n_clusters : int
            From 1 to ``merge_tree_.n_groups``.

        Returns
        -------
        clusterer : SCANClusterer
            Another clusterer, whose `labels_` are what its head predicts on the training samples;
            they differ a little from ``merge_tree_.cut(n_clusters)``. It can be cut again; its
            `selection_report_` and `history_` are empty.

        Raises
        ------
        ValueError
            If the tree has no such cut, or the clusterer was fitted for a given number and has no
            tree.
        """
        check_is_fitted(self, "labels_")
        if not hasattr(self, "merge_tree_"):
            raise ValueError(
                "cut needs the merge tree that fit grows with n_clusters='auto'; this "
                f"{type(self).__name__} was fitted with n_clusters={self.n_clusters}."
            )
        read = self.merge_tree_.groups >= 0
        features = self._training_features
        result = copy.copy(self)
        result.n_clusters = n_clusters
        result.heads_ = distilled_head(
            features,
            self.merge_tree_.cut(n_clusters)[read],
            n_clusters,
            self._cut_seed,
            device=resolve_device(self.device),
            n_jobs=self.n_jobs,
        )
        result.best_head_, result.history_, result.n_iter_ = 0, [], 0
        result.selection_report_ = []
        result._keep_predictions(features, read)
        return result

    def _search_n_clusters(
        self,
        features: np.ndarray,
        neighbors: csr_matrix,
        read: np.ndarray,
        random_state: np.random.RandomState,
    ) -> int:
        """Find the number of clusters; keep the evidence and the merge tree."""
        search = ClusterCountSearch() if self.n_clusters == "auto" else self.n_clusters
        with limit_threads(suitable_n_jobs(self.n_jobs, features)):
            self.cluster_count_ = search.search(features, neighbors, random_state)
            affinity = symmetric_affinity(neighbor_table(neighbors))
            tree = grow_merge_tree(features, affinity, random_state)
        groups = np.full(len(read), -1, dtype=np.int64)
        groups[read] = tree.groups
        self.merge_tree_ = replace(tree, groups=groups)
        self._cut_seed = int(random_state.randint(2**31 - 1))
        first, *others = self.cluster_count_.proposals
        after = f"; next: {', '.join(map(str, others[:2]))}" if others else ""
        announce(f"number of clusters: {first}{after}", self.verbose)
        return first

    def _forget_search(self) -> None:
        for name in _OF_A_SEARCH:
            self.__dict__.pop(name, None)
