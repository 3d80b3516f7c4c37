"""How much memory a step of training needs, calculated without making one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["StepMemory", "moco_network", "simclr_network", "step_memory"]

#: Numbers that an optimiser keeps for each weight.
_KEPT_BY = {"sgd": 1, "adam": 2}


@dataclass(frozen=True)
class StepMemory:
    """Bytes that a step of training needs at most, besides what Python, torch and pixels need.

    Parameters
    ----------
    weights : int
        Parameters and buffers.
    gradients : int
    optimizer : int
        What it keeps for each weight.
    inputs : int
        Augmented views of the whole batch.
    activations : int
        What the backward pass needs of the forward pass, of the images that are in the network at
        once.
    workspace : int
        For gradients of activations on their way.
    """

    weights: int
    gradients: int
    optimizer: int
    inputs: int
    activations: int
    workspace: int

    @property
    def total(self) -> int:
        """Sum of all."""
        return sum(vars(self).values())


def step_memory(
    make_network: Callable[[], nn.Module],
    image_size: int,
    batch_size: int,
    micro_batch_size: int | None = None,
    n_views: int = 2,
    optimizer: str = "sgd",
    n_views_without_gradient: int = 0,
) -> StepMemory:
    """Calculate the memory of a step in float32, on one process.

    The network is built and called on torch's meta device, where tensors have shapes but no
    content; what autograd keeps of a forward pass is counted there.

    Parameters
    ----------
    make_network : callable
        Returns the network; called without arguments.
    image_size : int
        Side of the views in pixels.
    batch_size : int
        Images in a step.
    micro_batch_size : int or None, default=None
        Images that go through the network at once.
    n_views : int, default=2
        Views of each image (SimCLR), or images for each row (an anchor and its neighbor).
    optimizer : {"sgd", "adam"}, default="sgd"
    n_views_without_gradient : int, default=0
        Further views of each image, from which only labels or keys come.

    Returns
    -------
    memory : StepMemory

    Examples
    --------
    >>> from skscan.training.memory import simclr_network, step_memory
    >>> network = simclr_network({"stem": "cifar", "depth": 10, "width": 4})
    >>> whole = step_memory(network, 32, batch_size=256)
    >>> parts = step_memory(network, 32, batch_size=256, micro_batch_size=64)
    >>> round(whole.activations / parts.activations)
    4
    """
    with torch.device("meta"):
        network = make_network().train()
        at_once = n_views * min(micro_batch_size or batch_size, batch_size)
        views = torch.empty(at_once, 3, image_size, image_size)
    own = {_place(tensor) for tensor in (*network.parameters(), *network.buffers(), views)}
    kept: dict[int, Tensor] = {}

    def note(tensor: Tensor) -> Tensor:
        kept[_place(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        network(views)
    sizes = [_n_bytes(tensor) for place, tensor in kept.items() if place not in own]
    trained = sum(_n_bytes(p) for p in network.parameters() if p.requires_grad)
    return StepMemory(
        weights=sum(map(_n_bytes, (*network.parameters(), *network.buffers()))),
        gradients=trained,
        optimizer=_KEPT_BY[optimizer] * trained,
        inputs=_n_bytes(views) // at_once * (n_views + n_views_without_gradient) * batch_size,
        activations=sum(sizes),
        # The gradients that come into the largest layer and go out of it, and the copies of both in
        # the layout that convolutions work in (measured on CPUs).
        workspace=4 * max(sizes, default=0),
    )


def simclr_network(architecture: dict[str, Any] | str) -> Callable[[], nn.Module]:
    """Return a function that builds what `SimCLRFeatureExtractor` trains.

    Parameters
    ----------
    architecture : dict or str
        See `skscan.networks.architecture.build_backbone`.
    """

    def build() -> nn.Module:
        from skscan.networks.architecture import build_backbone, projection_head
        from skscan.networks.modules import ContrastiveNetwork

        backbone: Any = build_backbone(architecture)
        return ContrastiveNetwork(backbone, projection_head(backbone.n_features))

    return build


def moco_network(
    architecture: dict[str, Any] | str, queue_size: int, n_out: int = 128
) -> Callable[[], nn.Module]:
    """Return a function that builds what `MoCoFeatureExtractor` holds: keys and queue too.

    Parameters
    ----------
    architecture : dict or str
        See `skscan.networks.architecture.build_backbone`.
    queue_size, n_out : int
        Keys in the queue, and features of each.
    """
    build = simclr_network(architecture)

    class QueryOfTwo(nn.Module):
        """Trains the one network; the other and the queue only take room."""

        def __init__(self) -> None:
            super().__init__()
            self.query, self.key = build(), build().requires_grad_(False)
            self.register_buffer("queue", torch.empty(queue_size, n_out))

        def forward(self, views: Tensor) -> Tensor:
            return self.query(views)

    return QueryOfTwo


def _place(tensor: Tensor) -> int:
    """Where a tensor is, so that views of one are not counted twice."""
    return tensor.untyped_storage()._cdata


def _n_bytes(tensor: Tensor) -> int:
    return tensor.untyped_storage().nbytes()
