"""One step of the SCAN loss for many linear heads, at the cost of its matrix products.

Gradients are derived by hand; `skscan.training.batched_heads.scan_gradient` says the same in plain
operations. Rows of a batch lie in the last dimension, so that every operation runs along memory,
and are worked on in pieces that stay in the cache. The mean prediction, which the entropy term
needs, is that of the whole batch: gradients begin when the last piece has added to it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from skscan.training.losses import SMALLEST_PROBABILITY

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["SMALLEST_AGREEMENT", "ScanStep", "row_pieces", "rows_of_a_piece"]

PIECE_ENTRIES = 2**19
"""Probabilities in a piece: 2 MiB, which stay in the cache with as many of a second tensor."""

MIN_PIECE_ROWS = 128
"""With fewer rows matrix products are slow."""

SMALLEST_AGREEMENT = 1e-30


class ScanStep:
    """Computes losses and gradients of all heads; its memory is used again in each step.

    Parameters
    ----------
    parameters : Tensor of shape (n_features + 1, n_clusters * n_heads)
        Weights and, in the last row, biases, heads varying fastest; read in each step.
    n_clusters, n_heads : int
    entropy_weight : Tensor of shape (n_heads,)
        Weight of the entropy term for each head.
    batch_size : int
        The largest number of anchors in a step.
    """

    def __init__(
        self,
        parameters: Tensor,
        n_clusters: int,
        n_heads: int,
        entropy_weight: Tensor,
        batch_size: int,
    ) -> None:
        import torch

        self._parameters = parameters
        self._n_clusters = n_clusters
        self._n_heads = n_heads
        self._entropy_weight = entropy_weight
        n_outputs = parameters.shape[1]
        self._piece = min(rows_of_a_piece(2 * n_outputs), batch_size)
        self._rows = parameters.new_empty(2 * batch_size * (len(parameters) - 1))
        self._probabilities = parameters.new_empty(2 * batch_size * n_outputs)
        self._scratch = parameters.new_empty(2 * self._piece * n_outputs)
        self._gradient = torch.empty_like(parameters)

    def __call__(
        self, features: Tensor, anchors: Tensor, neighbors: Tensor, log_prior: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], Tensor]:
        """Compute one step.

        Parameters
        ----------
        features : Tensor of shape (n_samples, n_features)
        anchors, neighbors : int Tensor of shape (batch,)
            Rows of the anchors, and of one neighbor of each.
        log_prior : Tensor of shape (n_clusters, n_heads)

        Returns
        -------
        gradient : Tensor of the shape of the parameters
            Overwritten by the next step.
        losses : tuple of three Tensors of shape (n_heads,)
            Consistency, entropy and total.
        mean_probability : Tensor of shape (n_clusters, n_heads)
            Mean prediction for the anchors.
        """
        import torch

        batch = len(anchors)
        pieces = []
        total = torch.zeros_like(log_prior)
        for part in row_pieces(batch, self._piece):
            rows = self._take(features, torch.cat([anchors[part], neighbors[part]]), part)
            probabilities = self._predict(rows, part)
            total += probabilities[:, :, : len(rows) // 2].sum(dim=2)
            pieces.append((rows, probabilities))
        mean_probability = total.div_(batch).clamp_(min=SMALLEST_PROBABILITY)
        log_mean = mean_probability.log()
        log_ratio = log_mean - log_prior - math.log(self._n_clusters)
        pull = (self._entropy_weight * log_ratio).add_(1).unsqueeze(2)
        consistency = torch.zeros_like(self._entropy_weight)
        self._gradient.zero_()
        for rows, probabilities in pieces:
            consistency -= self._turn_into_gradient(probabilities, pull)
            flat = probabilities.view(-1, len(rows))
            self._gradient[:-1].addmm_(rows.T, flat.T)
            self._gradient[-1] += flat.sum(dim=1)
        consistency /= batch
        entropy = -(mean_probability * log_mean).sum(dim=0)
        divergence = (mean_probability * log_ratio).sum(dim=0)
        losses = consistency, entropy, consistency + self._entropy_weight * divergence
        return self._gradient.div_(batch), losses, mean_probability

    def _take(self, features: Tensor, indices: Tensor, part: slice) -> Tensor:
        import torch

        n_features = features.shape[1]
        start, n_rows = 2 * part.start * n_features, len(indices)
        rows = self._rows[start : start + n_rows * n_features].view(n_rows, n_features)
        return torch.index_select(features, 0, indices, out=rows)

    def _predict(self, rows: Tensor, part: slice) -> Tensor:
        """Probabilities of some rows, shape (n_clusters, n_heads, n_rows)."""
        import torch

        n_rows, n_outputs = len(rows), self._parameters.shape[1]
        start = 2 * part.start * n_outputs
        logits = self._scratch[: n_rows * n_outputs].view(n_outputs, n_rows)
        torch.mm(self._parameters[:-1].T, rows.T, out=logits)
        logits += self._parameters[-1][:, None]
        probabilities = self._probabilities[start : start + n_rows * n_outputs]
        by_cluster = probabilities.view(self._n_clusters, -1)
        torch.softmax(logits.view(self._n_clusters, -1), 0, out=by_cluster)
        return probabilities.view(self._n_clusters, self._n_heads, n_rows)

    def _turn_into_gradient(self, probabilities: Tensor, pull: Tensor) -> Tensor:
        """Overwrite probabilities by gradients; return sums of the log agreement, (n_heads,)."""
        import torch

        shape = (*probabilities.shape[:2], probabilities.shape[2] // 2)
        size = math.prod(shape)
        anchors, neighbors = probabilities[..., : shape[2]], probabilities[..., shape[2] :]
        joint = torch.mul(anchors, neighbors, out=self._scratch[:size].view(shape))
        agreement = joint.sum(dim=0).clamp_(min=SMALLEST_AGREEMENT)
        share = agreement.reciprocal().neg_()
        neighbors.addcmul_(joint, share)
        # a (1 + v - <a, v>) - j / s, with 1 + v in `pull` and the sum of a being 1
        pulled = torch.mul(anchors, pull, out=self._scratch[size : 2 * size].view(shape))
        rest = pulled.sum(dim=0).neg_().add_(1)
        pulled.addcmul_(joint, share)
        torch.addcmul(pulled, anchors, rest, out=anchors)
        return agreement.log_().sum(dim=1)


def rows_of_a_piece(entries_per_row: int) -> int:
    """Return how many rows, each with so many entries, are worked on together."""
    return max(PIECE_ENTRIES // entries_per_row // 32 * 32, MIN_PIECE_ROWS)


def row_pieces(n_rows: int, piece: int) -> list[slice]:
    """Cut rows into pieces of at most `piece`."""
    return [slice(start, min(start + piece, n_rows)) for start in range(0, n_rows, piece)]
