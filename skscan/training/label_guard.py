"""Whether the labels that a network gave itself have made its clusters better or worse."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from skscan.graph import symmetric_affinity
from skscan.networks.modules import ClusteringNetwork
from skscan.selection import modularity, neighbor_information
from skscan.training.augmentations import CenterCrop
from skscan.training.label_thresholds import label_thresholds
from skscan.training.network_selection import predict_logits
from skscan.training.pixels import PixelStore

__all__ = ["LabelGuard", "judge_training"]

LOST_BELOW = 0.1
"""A cluster counts as lost when it has shrunk to less than this share of its size."""

TOLERANCE = 0.01
"""Criteria may fall by this share of themselves: so much is noise."""

_CRITERIA = ("modularity", "information")


class LabelGuard:
    """Looks at the clusters of all images, without labels.

    Parameters
    ----------
    pixels : PixelStore
    table : int ndarray of shape (len(pixels), width)
        Neighbors of each image from before the training, nearest first.
    view : CenterCrop
        The evaluation transform.
    threshold : float or "adaptive"
        See `skscan.training.label_thresholds.label_thresholds`.

    Attributes
    ----------
    thresholds : ndarray of shape (n_clusters,)
        From the last look: what a prediction of each cluster has to exceed to become a label.
    """

    thresholds: NDArray[np.float32]

    def __init__(
        self,
        pixels: PixelStore,
        table: NDArray[np.integer],
        view: CenterCrop,
        threshold: float | str,
    ) -> None:
        self._pixels = pixels
        self._view = view
        self._threshold = threshold
        self._nearest, self._near = symmetric_affinity(table, 3), symmetric_affinity(table, 5)
        self._first_sizes: NDArray[np.integer] | None = None

    def look(self, network: ClusteringNetwork) -> dict[str, float]:
        """Judge the clusters; the first look is what later ones are compared with.

        Returns
        -------
        seen : dict
            clusters_used, clusters_lost (since the first look), modularity and information.
        """
        logits = predict_logits(network, self._pixels, self._view)[:, 0]
        probabilities = torch.softmax(logits, dim=1).numpy()
        self.thresholds = label_thresholds(self._threshold, probabilities)
        labels = probabilities.argmax(axis=1)
        sizes = np.bincount(labels, minlength=probabilities.shape[1])
        if self._first_sizes is None:
            self._first_sizes = sizes
        return {
            "clusters_used": int((sizes > 0).sum()),
            "clusters_lost": int((sizes < LOST_BELOW * self._first_sizes).sum()),
            "modularity": modularity(labels, self._nearest),
            "information": neighbor_information(labels, self._near),
        }


def judge_training(before: dict[str, float], after: dict[str, float]) -> tuple[bool, str]:
    """Tell whether the clusters after a training are to be trusted, and why.

    The criteria look at neighbors of the features from before the training, and noise in these is
    what the training mends: one of them may fall. When both fall, or a cluster is lost, the labels
    have fed on their own errors.

    Parameters
    ----------
    before, after : dict
        From `LabelGuard.look`.

    Returns
    -------
    better : bool
    reason : str
    """
    if after["clusters_lost"]:
        return False, (
            f"{after['clusters_lost']:.0f} of {before['clusters_used']:.0f} clusters shrank to "
            "less than a tenth of their size"
        )
    changes = {name: after[name] - before[name] for name in _CRITERIA}
    fell = [name for name in _CRITERIA if changes[name] < -TOLERANCE * abs(before[name])]
    shown = ", ".join(f"{name} {before[name]:.3g} -> {after[name]:.3g}" for name in _CRITERIA)
    if len(fell) == len(_CRITERIA):
        return False, f"all label-free criteria fell ({shown})"
    return True, f"no cluster was lost, not all label-free criteria fell ({shown})"
