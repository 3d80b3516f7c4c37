"""Many linear heads trained at once, as one matrix product per step.

Gradients are derived by hand: for softmax outputs they are short, and they cost a third of what
automatic differentiation does. The tests hold them against `skscan.training.losses`.
Tensors of probabilities keep heads in the last dimension: a softmax over few clusters is several
times faster there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan.networks.heads import LinearHeads
from skscan.training.losses import SMALLEST_PROBABILITY
from skscan.training.scan_step import (
    SMALLEST_AGREEMENT,
    ScanStep,
    row_pieces,
    rows_of_a_piece,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["Adam", "BatchedHeads", "ScanLosses", "center_heads", "scan_gradient"]

SMALLEST_PRIOR = 1e-6


class ScanLosses(NamedTuple):
    """Terms of the SCAN loss, one value for each head."""

    consistency: Any
    entropy: Any
    total: Any


def scan_gradient(
    probabilities: Tensor, entropy_weight: Tensor, log_prior: Tensor
) -> tuple[Tensor, ScanLosses, Tensor]:
    r"""Gradient of the SCAN loss of every head with respect to its logits.

    The entropy term is generalised to a prior :math:`\pi` over the C clusters,

    .. math:: \lambda \sum_c \bar p_c \log \frac{\bar p_c}{C \pi_c},

    which is the paper's :math:`-\lambda H(\bar p)` when the prior is uniform.

    Parameters
    ----------
    probabilities : Tensor of shape (2 * batch, n_clusters, n_heads)
        Softmax outputs: anchors first, then one neighbor of each.
    entropy_weight : Tensor of shape (n_heads,)
        :math:`\lambda`.
    log_prior : Tensor of shape (n_clusters, n_heads)
        :math:`\log \pi`.

    Returns
    -------
    gradient : Tensor of shape (2 * batch, n_clusters, n_heads)
    losses : ScanLosses of Tensors of shape (n_heads,)
    mean_probability : Tensor of shape (n_clusters, n_heads)
        Mean prediction for the anchors.
    """
    batch = len(probabilities) // 2
    anchors, neighbors = probabilities[:batch], probabilities[batch:]
    joint = anchors * neighbors
    agreement = joint.sum(dim=1, keepdim=True).clamp_(min=SMALLEST_AGREEMENT)
    mean_probability = anchors.mean(dim=0).clamp_(min=SMALLEST_PROBABILITY)
    log_mean = mean_probability.log()
    n_clusters = probabilities.shape[1]
    log_ratio = log_mean - log_prior - math.log(n_clusters)

    gradient = probabilities.clone()
    joint.div_(agreement)
    gradient[:batch] -= joint
    gradient[batch:] -= joint
    pull = anchors * (entropy_weight * log_ratio)
    gradient[:batch] += pull.addcmul_(anchors, pull.sum(dim=1, keepdim=True), value=-1)

    consistency = -agreement.log().mean(dim=0).squeeze(0)
    entropy = -(mean_probability * log_mean).sum(dim=0)
    total = consistency + entropy_weight * (mean_probability * log_ratio).sum(dim=0)
    losses = ScanLosses(consistency, entropy, total)
    return gradient.div_(batch), losses, mean_probability


class BatchedHeads:
    """Linear heads on frozen features, with Adam for all of them.

    Parameters
    ----------
    heads : LinearHeads
        Where training starts.
    device : str or torch.device
    """

    def __init__(self, heads: LinearHeads, device: str | torch.device = "cpu") -> None:
        import torch

        self.n_heads, self.n_clusters, n_features = heads.weights.shape
        stacked = np.concatenate([heads.weights, heads.biases[:, :, None]], axis=2)
        flat = stacked.transpose(2, 1, 0).reshape(n_features + 1, -1)
        self.parameters = torch.tensor(flat, dtype=torch.float32, device=device)

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits of all heads, shape (batch, n_clusters, n_heads)."""
        import torch

        flat = torch.addmm(self.parameters[-1], features, self.parameters[:-1])
        return flat.view(len(features), self.n_clusters, self.n_heads)

    def to_numpy(self) -> LinearHeads:
        """Return the present parameters as `LinearHeads`."""
        flat = self.parameters.detach().cpu().numpy()
        stacked = flat.reshape(-1, self.n_clusters, self.n_heads).transpose(2, 1, 0)
        return LinearHeads(stacked[:, :, :-1].copy(), stacked[:, :, -1].copy())

    def fit_scan(
        self,
        features: Tensor,
        neighbors: Tensor,
        entropy_weight: NDArray[np.floating],
        prior: NDArray[np.floating],
        prior_rate: NDArray[np.floating],
        *,
        n_epochs: int,
        batch_size: int,
        learning_rate: float,
        generator: torch.Generator,
    ) -> Iterator[ScanLosses]:
        """Train with the SCAN loss; yield the losses of each head after each pass.

        Parameters
        ----------
        features : Tensor of shape (n_samples, n_features)
        neighbors : int Tensor of shape (n_samples, k)
            One of the k is drawn for each anchor, fresh in each pass.
        entropy_weight : ndarray of shape (n_heads,)
        prior : ndarray of shape (n_heads, n_clusters)
            Sizes of the clusters, as shares, that the mean prediction is drawn to.
        prior_rate : ndarray of shape (n_heads,)
            How far the prior moves to the mean prediction in each step; 0 keeps it.
        """
        import torch

        device = features.device
        weight = torch.as_tensor(entropy_weight, dtype=torch.float32, device=device)
        sizes = torch.as_tensor(prior.T, dtype=torch.float32, device=device)
        rate = torch.as_tensor(prior_rate, dtype=torch.float32, device=device)
        n_batches = max(len(features) // batch_size, 1)
        adam = Adam(self.parameters, learning_rate, n_epochs * n_batches)
        largest = -(-len(features) // n_batches)
        step = ScanStep(self.parameters, self.n_clusters, self.n_heads, weight, largest)
        for _ in range(n_epochs):
            columns = _draw_columns(neighbors, generator)
            order = _draw_order(features, generator)
            sums = torch.zeros(3, self.n_heads, device=device)
            for anchors in torch.tensor_split(order, n_batches):
                partners = neighbors[anchors, columns[anchors]]
                log_prior = sizes.clamp(min=SMALLEST_PRIOR).log()
                gradient, losses, mean_probability = step(features, anchors, partners, log_prior)
                adam.step(gradient)
                sizes = sizes + rate * (mean_probability - sizes)
                sums += torch.stack(losses) * (len(anchors) / len(features))
            yield ScanLosses(*sums.cpu().numpy())

    def fit_labels(
        self,
        features: Tensor,
        labels: Tensor,
        *,
        n_epochs: int,
        batch_size: int,
        learning_rate: float,
        generator: torch.Generator,
    ) -> None:
        """Fit every head to labels of its own by cross-entropy.

        Parameters
        ----------
        features : Tensor of shape (n_samples, n_features)
        labels : int Tensor of shape (n_samples, n_heads)
        """
        import torch

        n_batches = max(len(features) // batch_size, 1)
        adam = Adam(self.parameters, learning_rate, n_epochs * n_batches)
        gradient = torch.empty_like(self.parameters)
        by_head = labels.T.contiguous()
        piece = rows_of_a_piece(self.parameters.shape[1])
        for _ in range(n_epochs):
            order = _draw_order(features, generator)
            for batch in torch.tensor_split(order, n_batches):
                gradient.zero_()
                for part in row_pieces(len(batch), piece):
                    self._add_label_gradient(
                        features[batch[part]], by_head[:, batch[part]], gradient
                    )
                adam.step(gradient.div_(len(batch)))

    def _add_label_gradient(self, rows: Tensor, labels: Tensor, gradient: Tensor) -> None:
        """Add the gradient of the cross-entropy, summed over rows; labels: (n_heads, n_rows)."""
        import torch

        errors = torch.addmm(self.parameters[-1][:, None], self.parameters[:-1].T, rows.T)
        errors = torch.softmax(errors.view(self.n_clusters, -1), 0)
        at_label = torch.full((1, labels.numel()), -1.0, device=rows.device)
        errors.scatter_add_(0, labels.reshape(1, -1), at_label)
        flat = errors.view(-1, len(rows))
        gradient[:-1].addmm_(rows.T, flat.T)
        gradient[-1] += flat.sum(dim=1)


def center_heads(
    features: NDArray[np.float32], labels: NDArray[np.integer], n_clusters: int
) -> LinearHeads:
    """Make heads that assign to the nearest center, soft enough to be moved.

    Parameters
    ----------
    features : ndarray of shape (n_samples, n_features), float32
        With a mean square near 1.
    labels : int ndarray of shape (n_samples, n_heads)
        The partition whose centers each head takes.
    n_clusters : int
    """
    sharpness = np.float32(0.02)
    weights, biases = [], []
    for head_labels in labels.T:
        members = sparse.csr_matrix(
            (np.ones(len(features), np.float32), (head_labels, np.arange(len(features)))),
            shape=(n_clusters, len(features)),
        )
        sizes = np.maximum(np.bincount(head_labels, minlength=n_clusters), 1)
        centers = (members @ features) / sizes[:, None].astype(np.float32)
        weights.append(sharpness * centers)
        biases.append(-sharpness / 2 * np.square(centers).sum(axis=1))
    return LinearHeads(np.stack(weights), np.stack(biases))


def _draw_columns(neighbors: Tensor, generator: torch.Generator) -> Tensor:
    """Draw a column of the table of neighbors for each sample."""
    import torch

    n_samples, k = neighbors.shape
    columns = torch.randint(k, (n_samples,), generator=generator, dtype=torch.int32)
    return columns.to(neighbors.device)


def _draw_order(features: Tensor, generator: torch.Generator) -> Tensor:
    import torch

    order = torch.randperm(len(features), generator=generator, dtype=torch.int32)
    return order.to(features.device)


class Adam:
    """Adam (Kingma and Ba, 2015) on one tensor, with a cosine schedule down to zero."""

    def __init__(
        self,
        parameters: Tensor,
        learning_rate: float,
        n_steps: int,
        decay: tuple[float, float] = (0.9, 0.99),
    ) -> None:
        import torch

        self.parameters = parameters
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.decay = decay
        self.mean = torch.zeros_like(parameters)
        self.mean_square = torch.zeros_like(parameters)
        self.steps_done = 0

    def rate(self) -> float:
        """Return the learning rate of the step that is being made."""
        return 0.5 * self.learning_rate * (1 + math.cos(math.pi * self.steps_done / self.n_steps))

    def step(self, gradient: Tensor) -> None:
        """Change the parameters by one step."""
        first, second = self.decay
        self.steps_done += 1
        self.mean.lerp_(gradient, 1 - first)
        self.mean_square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        scale = self.rate() / (1 - first**self.steps_done)
        root = self.mean_square.div(1 - second**self.steps_done).sqrt_().add_(1e-8)
        self.parameters.addcdiv_(self.mean, root, value=-scale)
