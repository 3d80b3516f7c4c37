"""Momentum contrast: two views of an image are to agree, against a queue of earlier images."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from skscan.networks.modules import ContrastiveNetwork
from skscan.training.augmentations import Augmentation
from skscan.training.contrastive import TwoViewTask
from skscan.training.pixels import PixelStore

__all__ = ["MoCoTask", "MomentumNetwork", "default_queue_size", "moco_loss"]

LARGEST_QUEUE = 65_536
_SHARE_IN_QUEUE = 10


def moco_loss(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float = 0.2) -> Tensor:
    r"""InfoNCE of queries with their keys, against the keys of a queue.

    .. math::
        L = -\tfrac{1}{B} \sum_i \log \frac{\exp(q_i \cdot k_i / \tau)}
            {\exp(q_i \cdot k_i / \tau) + \sum_j \exp(q_i \cdot u_j / \tau)}

    Parameters
    ----------
    queries, keys : Tensor of shape (batch, n_features)
        L2-normalised; row i of both belongs to the same image.
    queue : Tensor of shape (queue_size, n_features)
        The :math:`u_j`, L2-normalised.
    temperature : float, default=0.2
        :math:`\tau`.

    Returns
    -------
    loss : Tensor scalar

    References
    ----------
    He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020,
    eq. 1.
    """
    to_own_key = (queries * keys).sum(dim=1, keepdim=True)
    similarities = torch.cat([to_own_key, queries @ queue.T], dim=1) / temperature
    own_key = torch.zeros(len(queries), dtype=torch.int64, device=queries.device)
    return cross_entropy(similarities, own_key)


def default_queue_size(n_samples: int, batch_size: int) -> int:
    """Return how many keys to keep.

    The 65,536 of the paper are a twentieth of ImageNet: few keys of an image meet its next query.
    A queue as long as the data would hold a key of each image among its own negatives.

    Parameters
    ----------
    n_samples, batch_size : int

    Returns
    -------
    queue_size : int
        Whole batches of at most a tenth of the samples and at most 65,536; at least one batch.
    """
    most = min(LARGEST_QUEUE, n_samples // _SHARE_IN_QUEUE)
    return max(most // batch_size, 1) * batch_size


class MomentumNetwork(nn.Module):
    """An encoder, a second one that follows it slowly, and the queue of what the second gave.

    Parameters
    ----------
    encoder : ContrastiveNetwork
        The one that is trained. The second begins as its copy.
    n_features : int
        What the encoder gives.
    queue_size : int

    Notes
    -----
    The queue begins with random directions, drawn from torch's global generator.
    """

    queue: Tensor
    position: Tensor

    def __init__(self, encoder: ContrastiveNetwork, n_features: int, queue_size: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.momentum_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.register_buffer("queue", normalize(torch.randn(queue_size, n_features), dim=1))
        self.register_buffer("position", torch.zeros((), dtype=torch.int64))

    def forward(self, views: Tensor) -> Tensor:
        """Encode pairs of views.

        Parameters
        ----------
        views : Tensor of shape (2 * b, 3, h, w)
            Both views of each image, side by side.

        Returns
        -------
        features : Tensor of shape (2 * b, n_features)
            Of first views by the encoder, of second views by the one that follows, to which no
            gradient flows; each of length 1.
        """
        queries = self.encoder(views[0::2])
        with torch.no_grad():
            keys = self.momentum_encoder(views[1::2])
        return torch.stack([queries, keys], dim=1).flatten(0, 1)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """Move each weight of the second encoder to momentum * itself + (1 - momentum) * the first.

        Running statistics of normalisation are the second encoder's own.
        """
        pairs = zip(self.momentum_encoder.parameters(), self.encoder.parameters(), strict=True)
        for following, leading in pairs:
            following.lerp_(leading, 1.0 - momentum)

    @torch.no_grad()
    def enqueue(self, keys: Tensor) -> None:
        """Replace the oldest keys of the queue.

        Parameters
        ----------
        keys : Tensor of shape (b, n_features)
            At most as many as the queue holds.
        """
        numbers = torch.arange(len(keys), device=keys.device)
        self.queue[(self.position + numbers) % len(self.queue)] = keys
        self.position.add_(len(keys)).remainder_(len(self.queue))


class MoCoTask(TwoViewTask):
    """MoCo v2 (He et al., CVPR 2020; Chen et al., arXiv 2003.04297).

    Parameters
    ----------
    network : MomentumNetwork
    pixels, augmentation, temperature
        See `TwoViewTask`.
    momentum : float
        Share of its own weights that the second encoder keeps in a step.

    Notes
    -----
    Keys are normalised by the statistics of their whole batch. The original trains on several
    devices with statistics for each and shuffles keys between them, so that an image's query and
    key never share statistics; here, one process or several, they do.
    """

    name = "moco"
    network: MomentumNetwork

    def __init__(
        self,
        network: MomentumNetwork,
        pixels: PixelStore,
        augmentation: Augmentation,
        temperature: float,
        momentum: float,
    ) -> None:
        super().__init__(network, pixels, augmentation, temperature)
        self._momentum = momentum
        self._keys = torch.empty(0)

    def loss(self, outputs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Contrast queries and keys of the whole batch with the queue."""
        queries, keys = outputs[0].unflatten(0, (-1, 2)).unbind(dim=1)
        self._keys = keys.detach()
        return moco_loss(queries, self._keys, self.network.queue, self._temperature), {}

    def after_step(self) -> None:
        """Let the second encoder follow, and put the keys of the step into the queue."""
        self.network.follow(self._momentum)
        self.network.enqueue(self._keys)
