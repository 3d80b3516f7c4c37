"""Networks by description: plain data that tells how to build a backbone, and the building."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from torch import nn

from skscan.networks.small_resnet import SmallResNet

__all__ = ["TORCHVISION", "Architecture", "build_backbone", "projection_head"]

#: How to build a backbone: the parameters of `SmallResNet` as a dict, ``"torchvision/<name>"``, or
#: a name of timm.
Architecture = str | dict[str, Any]

#: What names of torchvision's models begin with.
TORCHVISION = "torchvision/"


def build_backbone(architecture: Architecture) -> nn.Module:
    """Build a network from images to features, with random weights.

    Parameters
    ----------
    architecture : dict or str
        A dict holds parameters of `SmallResNet`; ``"torchvision/resnet50"`` is a model of
        torchvision without its classifier; any other str names a model of timm.

    Returns
    -------
    backbone : torch.nn.Module
        In training mode on the CPU, from images (b, 3, h, w) to (b, n_features); has the attribute
        `n_features`. The weights are drawn from torch's global generator.

    Raises
    ------
    ValueError
        If the name is not known, or a parameter is not taken.
    TypeError
        If `architecture` is neither a dict nor a str.
    """
    if isinstance(architecture, dict):
        return _small_resnet(architecture)
    if not isinstance(architecture, str):
        raise TypeError(
            f"architecture is a {type(architecture).__name__}; takes a dict of parameters of "
            f"SmallResNet, '{TORCHVISION}<name>' or a name of timm"
        )
    if architecture.startswith(TORCHVISION):
        return _from_torchvision(architecture)
    return _from_timm(architecture)


def projection_head(n_features: int, n_out: int = 128) -> nn.Sequential:
    """Build the head that contrastive training puts on a backbone: one hidden layer, ReLU.

    Parameters
    ----------
    n_features : int
        What the backbone gives; also the width of the hidden layer.
    n_out : int, default=128
        Dimensions of the projection, which is not normalised here.

    Returns
    -------
    head : torch.nn.Sequential
        From (b, n_features) to (b, n_out), with random weights from torch's global generator.
    """
    return nn.Sequential(nn.Linear(n_features, n_features), nn.ReLU(), nn.Linear(n_features, n_out))


def _small_resnet(parameters: dict[str, Any]) -> nn.Module:
    known = list(inspect.signature(SmallResNet).parameters)
    unknown = [repr(name) for name in parameters if name not in known]
    if unknown:
        raise ValueError(
            f"architecture has the parameter {', '.join(unknown)}; SmallResNet takes "
            f"{', '.join(known)}"
        )
    return SmallResNet(**parameters)


def _from_torchvision(architecture: str) -> nn.Module:
    from torchvision import models

    name = architecture.removeprefix(TORCHVISION)
    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(
            f"architecture={architecture!r} is no classifier of torchvision; "
            + _hint(name, known, TORCHVISION, "torchvision.models.list_models()")
        )
    network = models.get_model(name, weights=None)
    for place in ("fc", "classifier"):
        linear = [m for m in _modules(network, place) if isinstance(m, nn.Linear)]
        # Networks with auxiliary outputs give more than features while they train.
        if len(linear) == 1 and not hasattr(network, "aux_logits"):
            setattr(network, place, nn.Identity())
            return _with_n_features(network, linear[0].in_features)
    raise ValueError(
        f"architecture={architecture!r} has no single layer as its classifier, so it is unknown "
        f"what its features are; take a ResNet such as '{TORCHVISION}resnet50', or a name of timm"
    )


def _from_timm(name: str) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise ValueError(
            f"architecture={name!r} is no model of timm; "
            + _hint(name, timm.list_models(), "", "timm.list_models()")
        )
    network = timm.create_model(name, pretrained=False, num_classes=0)
    # Some have a layer between the pooling and the classifier, which stays.
    n_features: Any = getattr(network, "head_hidden_size", None) or network.num_features
    return _with_n_features(network, n_features)


def _modules(network: nn.Module, place: str) -> list[nn.Module]:
    part = getattr(network, place, None)
    return list(part.modules()) if isinstance(part, nn.Module) else []


def _with_n_features(network: nn.Module, n_features: int) -> nn.Module:
    network.n_features = int(n_features)  # type: ignore[assignment]
    return network


def _hint(name: str, known: list[str], prefix: str, listing: str) -> str:
    close = difflib.get_close_matches(name, known, n=3)
    if not close:
        return f"see {listing}"
    return f"did you mean {' or '.join(repr(prefix + other) for other in close)}?"
