"""What files of the authors' code hold, with small networks."""

from typing import Any

import torch
from golden_networks import names_and_shapes, weight

#: The networks of the reference with a sixteenth of the channels: 32 features.
SHRINK = 16


def small_weights(kind: str) -> dict[str, torch.Tensor]:
    """Return a ``pretext`` or ``cluster`` state dict by the authors' names."""
    shapes = {
        name: [size // SHRINK if size >= 64 else size for size in shape]
        for name, shape in names_and_shapes("cifar", kind).items()
    }
    return {name: weight(j, name, shape) for j, (name, shape) in enumerate(shapes.items())}


def parallel(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the names that data-parallel training gives."""
    return {f"module.{name}": tensor for name, tensor in weights.items()}


def optimizer_state() -> dict[str, Any]:
    """Return the state of an optimiser after a step."""
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    parameter.sum().backward()
    optimizer.step()
    return optimizer.state_dict()
