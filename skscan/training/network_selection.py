"""Which epoch and which head of a network to keep, by the SCAN loss of images as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skscan.networks.modules import ClusteringNetwork
from skscan.training.augmentations import CenterCrop
from skscan.training.losses import scan_losses
from skscan.training.pixels import PixelStore

__all__ = ["BestEpoch", "predict_logits"]

_IMAGES_AT_ONCE = 256
# Of all probabilities that are held at once, 1 GiB as float32; beyond, a part of the images judges.
_MAX_ENTRIES = 2**28


class BestEpoch:
    """Keeps the weights of the best epoch, judged without labels (SCAN, section 3.2).

    The loss has entropy weight 1 and is taken over all images and all their near neighbors,
    themselves included, in the evaluation transform. Heads that leave clusters empty lose against
    those that use more.

    Parameters
    ----------
    pixels : PixelStore
    table : int ndarray of shape (len(pixels), width)
        Neighbors of each image, usually itself first.
    view : CenterCrop
        The evaluation transform.
    """

    def __init__(self, pixels: PixelStore, table: NDArray[np.integer], view: CenterCrop) -> None:
        self._pixels = pixels
        self._table = table
        self._view = view
        self._best: dict[str, Any] = {}

    def arrays(self) -> dict[str, NDArray]:
        """Return the images and neighbors that it judges by."""
        return {"judging pixels": self._pixels.pixels, "judging neighbors": self._table}

    def look(self, epoch: int, network: ClusteringNetwork, sizes: Tensor) -> dict[str, float]:
        """Judge the heads of an epoch, and keep its weights if one is the best so far.

        Parameters
        ----------
        epoch : int
            -1 before the first.
        network : ClusteringNetwork
        sizes : Tensor of shape (n_heads, n_clusters)
            Sizes of clusters that heads expect, as shares.

        Returns
        -------
        seen : dict
            Of the best head: validation_loss, clusters_used.
        """
        anchors, images = self._sample(sizes.numel())
        logits = predict_logits(network, self._pixels.subset(images), self._view)
        place = np.zeros(len(self._pixels), dtype=np.int64)
        place[images] = np.arange(len(images))
        losses, used = _judge(logits, place[anchors], place[self._table[anchors]], sizes)
        order = sorted(range(len(losses)), key=lambda head: (-used[head], losses[head]))
        head = order[0]
        score = (-used[head], losses[head])
        if not self._best or score < tuple(self._best["score"]):
            self._best = {
                "score": list(score),
                "epoch": epoch,
                "head": head,
                "weights": {
                    name: parameter.detach().cpu().clone()
                    for name, parameter in network.trained_state().items()
                },
            }
        return {"validation_loss": losses[head], "clusters_used": used[head]}

    def _sample(self, n_outputs: int) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Anchors, and all images that are needed to judge them."""
        width = self._table.shape[1]
        n_affordable = max(_MAX_ENTRIES // (n_outputs * width), 1)
        if len(self._table) * n_outputs <= _MAX_ENTRIES:
            n_affordable = len(self._table)
        n_anchors = min(n_affordable, len(self._table))
        anchors = np.linspace(0, len(self._table) - 1, n_anchors).astype(np.int64)
        return anchors, np.unique(np.concatenate([anchors, self._table[anchors].ravel()]))

    def restore_best(self, network: ClusteringNetwork) -> int:
        """Bring the weights of the best epoch back; return its head."""
        network.load_state_dict(self._best["weights"], strict=False)
        return int(self._best["head"])

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint has to hold."""
        return self._best

    def load_state(self, state: dict[str, Any]) -> None:
        """Take back what `state` gave."""
        self._best = state


@torch.no_grad()
def predict_logits(network: ClusteringNetwork, pixels: PixelStore, view: CenterCrop) -> Tensor:
    """Return the logits of images as they are, in evaluation mode.

    Parameters
    ----------
    network : ClusteringNetwork
        Its mode is left as it was.
    pixels : PixelStore
    view : CenterCrop

    Returns
    -------
    logits : Tensor of shape (len(pixels), n_heads, n_clusters), float32
        On the CPU.
    """
    was_training = network.training
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(view(pixels.take(rows, device), {})).float().cpu()
        for rows in torch.arange(len(pixels)).split(_IMAGES_AT_ONCE)
    ]
    network.train(was_training)
    return torch.cat(parts)


def _judge(
    logits: Tensor, anchors: NDArray[np.integer], table: NDArray[np.integer], sizes: Tensor
) -> tuple[list[float], list[int]]:
    """SCAN loss with entropy weight 1, and number of clusters in use, of each head."""
    weights = torch.ones(len(sizes))
    terms = [scan_losses(logits[anchors], logits[column], weights, sizes)[0] for column in table.T]
    losses = torch.stack(terms).mean(dim=0)
    labels = logits.argmax(dim=2)
    return losses.tolist(), [len(labels[:, head].unique()) for head in range(len(sizes))]
