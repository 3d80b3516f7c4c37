"""Which epoch and which head of a network to keep, by the SCAN loss of images as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skscan._files import allocate_array
from skscan.networks.modules import ClusteringNetwork
from skscan.training.augmentations import CenterCrop
from skscan.training.losses import log_agreement, prior_divergence
from skscan.training.pixels import PixelStore

__all__ = ["BestEpoch", "predict_logits"]

_IMAGES_AT_ONCE = 256
# Probabilities that are held at once, 256 MiB as float32.
_MAX_ENTRIES = 2**26
_MAX_BYTES_IN_MEMORY = 2**32


class BestEpoch:
    """Keeps the weights of the best epoch, judged without labels (SCAN, section 3.2).

    The loss has entropy weight 1 and is taken over all images and all their near neighbors,
    themselves included, in the evaluation transform.

    Parameters
    ----------
    pixels : PixelStore
    table : int ndarray of shape (len(pixels), width)
        Neighbors of each image, usually itself first.
    view : CenterCrop
        The evaluation transform.
    full_heads_first : bool, default=True
        Whether heads that leave clusters empty lose against those that use more, whatever their
        loss.
    """

    def __init__(
        self,
        pixels: PixelStore,
        table: NDArray[np.integer],
        view: CenterCrop,
        full_heads_first: bool = True,
    ) -> None:
        self._pixels = pixels
        self._table = table
        self._view = view
        self._full_heads_first = full_heads_first
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
        features = _backbone_features(network, self._pixels, self._view)
        losses, used = _judge(network, features, self._table, sizes)
        scores = [
            (-n_used if self._full_heads_first else 0, loss)
            for n_used, loss in zip(used, losses, strict=True)
        ]
        head = min(range(len(scores)), key=scores.__getitem__)
        score = scores[head]
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

    @property
    def best_epoch(self) -> int:
        """Number of the best epoch so far; -1 for what training began with."""
        return int(self._best["epoch"])

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
    features = torch.from_numpy(_backbone_features(network, pixels, view))
    device = network.weights.device
    return torch.cat(
        [network.logits(part.to(device)).cpu() for part in features.split(_IMAGES_AT_ONCE)]
    )


@torch.no_grad()
def _backbone_features(
    network: ClusteringNetwork, pixels: PixelStore, view: CenterCrop
) -> NDArray[np.float32]:
    """Features of images as they are, in evaluation mode; past 4 GiB in a temporary file."""
    was_training = network.training
    network.eval()
    device = network.weights.device
    shape = (len(pixels), network.weights.shape[2])
    features = allocate_array(shape, np.float32, "features", _MAX_BYTES_IN_MEMORY)
    for rows in torch.arange(len(pixels)).split(_IMAGES_AT_ONCE):
        images = view(pixels.take(rows, device), {})
        features[rows] = network.backbone(images).float().cpu().numpy()
    network.train(was_training)
    return features


@torch.no_grad()
def _judge(
    network: ClusteringNetwork,
    features: NDArray[np.float32],
    table: NDArray[np.integer],
    sizes: Tensor,
) -> tuple[list[float], list[int]]:
    """SCAN loss with entropy weight 1, and number of clusters in use, of each head.

    Probabilities are computed anew for each part of the images and their neighbors: those of all
    images would not fit where there are many heads and clusters.
    """
    n_samples, width = table.shape
    rows_at_once = max(_MAX_ENTRIES // (sizes.numel() * (width + 1)), 1)
    consistency = torch.zeros(len(sizes), dtype=torch.float64)
    mean = torch.zeros(sizes.shape, dtype=torch.float64)
    used = torch.zeros(sizes.shape, dtype=torch.bool)
    for rows in np.array_split(np.arange(n_samples), -(-n_samples // rows_at_once)):
        log_p, *others = (
            torch.log_softmax(_logits(network, features[which]), dim=2)
            for which in (rows, *table[rows].T)
        )
        for log_q in others:
            consistency -= log_agreement(log_p, log_q).sum(dim=0, dtype=torch.float64).cpu()
        mean += log_p.exp().sum(dim=0, dtype=torch.float64).cpu() / n_samples
        labels = log_p.argmax(dim=2).cpu()
        used |= torch.zeros_like(used).scatter(1, labels.T, True)
    divergence, _ = prior_divergence(mean.float(), sizes)
    losses = (consistency / (n_samples * width)).float() + divergence
    return losses.tolist(), used.sum(dim=1).tolist()


def _logits(network: ClusteringNetwork, features: NDArray[np.float32]) -> Tensor:
    return network.logits(torch.from_numpy(features).to(network.weights.device)).float()
