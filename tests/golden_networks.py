"""The reference networks: names, shapes, weights and input by formula."""

import json
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"
SIDES = {"cifar": 32, "stl": 96}


def names_and_shapes(stem: str, kind: str) -> dict[str, list[int]]:
    """Return the entries of the authors' ``pretext`` or ``cluster`` network, in order."""
    return json.loads((GOLDEN / f"state_dict_{stem}.json").read_text())[kind]


def golden_weights(stem: str, kind: str) -> dict[str, torch.Tensor]:
    """Return the weights that the reference outputs belong to."""
    shapes = names_and_shapes(stem, kind)
    return {name: weight(j, name, shape) for j, (name, shape) in enumerate(shapes.items())}


def weight(j: int, name: str, shape: list[int]) -> torch.Tensor:
    if name.endswith("num_batches_tracked"):
        return torch.tensor(0)
    x = np.sin(0.7 * np.arange(np.prod(shape)) + j).reshape(shape)
    if len(shape) > 1:
        x = 1.4 * x / np.sqrt(np.prod(shape[1:]))
    elif name.endswith(("running_var", "weight")):
        x = 1 + 0.1 * x
    else:
        x = 0.1 * x
    return torch.tensor(x, dtype=torch.float32)


def golden_images(stem: str) -> torch.Tensor:
    """Return the images that the reference outputs belong to."""
    shape = (2, 3, SIDES[stem], SIDES[stem])
    x = np.sin(0.37 * np.arange(np.prod(shape))).reshape(shape)
    return torch.tensor(x, dtype=torch.float32)


def golden_outputs(stem: str, name: str) -> np.ndarray:
    """Return ``backbone_output``, ``pretext_output`` or ``cluster_logits``."""
    with np.load(GOLDEN / "networks.npz") as arrays:
        return arrays[f"{stem}_{name}"]
