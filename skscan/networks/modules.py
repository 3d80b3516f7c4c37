"""Networks that are trained: a backbone with what stands on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skscan.networks.heads import LinearHeads

__all__ = ["ClusteringNetwork", "ContrastiveNetwork"]


class ContrastiveNetwork(nn.Module):
    """A backbone and a projection head; gives L2-normalised features.

    Parameters
    ----------
    backbone : Module
        From images (b, 3, h, w) to (b, n_features).
    projection_head : Module or None
        From (b, n_features) to (b, n_out); None normalises the backbone's own features.
    """

    def __init__(self, backbone: nn.Module, projection_head: nn.Module | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.projection_head = projection_head

    def forward(self, images: Tensor) -> Tensor:
        """Return features of shape (b, n_out), each of length 1."""
        features = self.backbone(images).float()
        if self.projection_head is not None:
            features = self.projection_head(features).float()
        return nn.functional.normalize(features, dim=1)


class ClusteringNetwork(nn.Module):
    """A backbone and several linear cluster heads.

    Parameters
    ----------
    backbone : Module
        From images (b, 3, h, w) to (b, n_features).
    heads : LinearHeads
        Where the heads start.
    update : {"all", "heads"}
        With ``"heads"`` the backbone is frozen: no gradient, and its normalisation layers keep
        their running statistics.
    """

    def __init__(self, backbone: nn.Module, heads: LinearHeads, update: str) -> None:
        super().__init__()
        self.backbone = backbone
        self.weights = nn.Parameter(torch.from_numpy(heads.weights.copy()))
        self.biases = nn.Parameter(torch.from_numpy(heads.biases.copy()))
        self._frozen = update == "heads"
        self.backbone.requires_grad_(not self._frozen)

    def train(self, mode: bool = True) -> ClusteringNetwork:
        """Switch the mode of all that is updated."""
        super().train(mode)
        self.backbone.train(mode and not self._frozen)
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape (b, n_heads, n_clusters)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self._frozen):
            features = self.backbone(images)
        return self.logits(features)

    def logits(self, features: Tensor) -> Tensor:
        """Return logits of features of the backbone, shape (b, n_heads, n_clusters)."""
        logits = nn.functional.linear(features, self.weights.flatten(0, 1), self.biases.flatten())
        return logits.unflatten(1, self.biases.shape)

    def trained_state(self) -> dict[str, Tensor]:
        """Return the part of the state dict that training changes."""
        state = self.state_dict()
        if self._frozen:
            return {name: state[name] for name in ("weights", "biases")}
        return state

    def to_heads(self) -> LinearHeads:
        """Return the heads as they are now."""
        return LinearHeads(
            self.weights.detach().float().cpu().numpy().copy(),
            self.biases.detach().float().cpu().numpy().copy(),
        )
