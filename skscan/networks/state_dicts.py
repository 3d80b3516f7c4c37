"""Loading of weights into networks: each name and shape has to match."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skscan.exceptions import ModelFileError

if TYPE_CHECKING:
    import torch

__all__ = ["load_in_order", "load_strictly"]

_KEYS_SHOWN = 3


def load_strictly(
    network: torch.nn.Module, weights: dict[str, torch.Tensor], ignored_prefixes: tuple[str, ...]
) -> None:
    """Load weights into a network whose names and shapes they must match.

    Parameters
    ----------
    network : torch.nn.Module
        Loaded in place.

    weights : dict from str to torch.Tensor
        The weights.

    ignored_prefixes : tuple of str
        Names that begin so may be there without use: the classifier.

    Raises
    ------
    ModelFileError
        If names are missing or unexpected, or shapes differ; it says which.
    """
    weights = {
        name: tensor for name, tensor in weights.items() if not name.startswith(ignored_prefixes)
    }
    expected = network.state_dict()
    missing = [name for name in expected if name not in weights]
    unexpected = [name for name in weights if name not in expected]
    differing = [
        f"{name} ({tuple(weights[name].shape)} instead of {tuple(tensor.shape)})"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems = {"missing": missing, "unexpected": unexpected, "of another shape": differing}
    if any(problems.values()):
        report = "; ".join(f"{_some(names)} {what}" for what, names in problems.items() if names)
        raise ModelFileError(f"the weights were made for another network: {report}")
    network.load_state_dict(weights, strict=True)


def load_in_order(network: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Load weights that have other names but the same order and shapes as the network's.

    Parameters
    ----------
    network : torch.nn.Module
        Loaded in place.

    weights : dict from str to torch.Tensor
        As many tensors as the network has, in its order.

    Raises
    ------
    ModelFileError
        If their number or a shape differs.
    """
    expected = network.state_dict()
    if len(weights) != len(expected):
        raise ModelFileError(f"{len(weights)} tensors for a network that has {len(expected)}")
    renamed = dict(zip(expected, weights.values(), strict=True))
    load_strictly(network, renamed, ())


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_KEYS_SHOWN])
    return shown if len(names) <= _KEYS_SHOWN else f"{shown} and {len(names) - _KEYS_SHOWN} more"
