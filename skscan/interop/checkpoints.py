"""Checkpoints of the authors and of MoCo as networks of ours."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skscan.exceptions import ModelFileError
from skscan.extractors.checkpoint_files import KeyReport, read_checkpoint, weights_by_our_names
from skscan.extractors.pretext import Normalization
from skscan.interop.architectures import check_options, detect_architecture, input_settings
from skscan.networks.checkpoint_names import CLUSTER_HEAD
from skscan.networks.heads import LinearHeads
from skscan.networks.trained import BACKBONE, TrainedNetwork

__all__ = ["KeyReport", "ScanCheckpoint", "load_scan_checkpoint"]


@dataclass(frozen=True, eq=False)
class ScanCheckpoint:
    """A network with its heads, as read from a file of the authors or of MoCo.

    Attributes
    ----------
    kind : {"pretext", "moco", "scan", "self-label"}
        The stage that the file comes from.
    network : TrainedNetwork
        Backbone and projection head.
    heads : LinearHeads or None
        The cluster heads, on the backbone's features; None before the clustering stage.
    best_head : int
        Which head predicts; 0 where there is one head or none.
    report : KeyReport
        What became of each entry of the file.
    """

    kind: str
    network: TrainedNetwork
    heads: LinearHeads | None
    best_head: int
    report: KeyReport

    @cached_property
    def backbone(self) -> nn.Module:
        """From normalised images (b, 3, h, w) to features (b, d); CPU, evaluation mode."""
        return self.network.backbone("cpu")

    @cached_property
    def projection_head(self) -> nn.Module | None:
        """From features (b, d) to projections (b, 128), not normalised; None if there is none."""
        return self.network.projection_head("cpu")

    @cached_property
    def cluster_heads(self) -> list[nn.Module]:
        """From features (b, d) to logits (b, n_clusters), one module for each head."""
        return [] if self.heads is None else _linear_modules(self.heads)

    def to_estimator(self) -> Any:
        """Make the fitted estimator that the file stands for.

        Returns
        -------
        estimator : SCANClusterer or a feature extractor
            For the stages of clustering and self-labelling a clusterer that predicts on images; it
            knows no training images, so that `labels_` is empty. Before, an extractor of features.
        """
        from skscan.interop.estimators import estimator_from_checkpoint

        return estimator_from_checkpoint(self)


def load_scan_checkpoint(
    path: str | os.PathLike,
    stem: str | None = None,
    *,
    image_size: int | None = None,
    normalization: str | Normalization | None = None,
) -> ScanCheckpoint:
    """Load a checkpoint of the authors' code of SCAN, or of MoCo-v2.

    All that their code writes is taken: the pretext stage (the released plain state dict, the
    checkpoint with the state of the optimiser), clustering (with one head or several, with and
    without the names of data-parallel training), self-labelling, and the file of MoCo-v2. No code
    in a file is run.

    Parameters
    ----------
    path : str or path-like
        The file (``.pth.tar``, a torch file despite the name).
    stem : {"cifar", "stl"} or None, default=None
        Which network for small images it is; the names in the file cannot tell. None for a ResNet
        for large images, which is recognised.
    image_size : int or None, default=None
        Side in pixels of the images that the network was trained on; None is what the authors use:
        32 (stem ``"cifar"``), 96 (stem ``"stl"``) or 224, cut out of images that are resized to 256
        first. With another size the images are resized to that.
    normalization : {"cifar10", "cifar100", "imagenet"}, (mean, std) or None, default=None
        Mean and standard deviation of its images, by name or as three numbers each for pixels in
        0..1; None is that of CIFAR-10 for the stem ``"cifar"``, otherwise that of ImageNet. For
        CIFAR-100-20 give ``"cifar100"``.

    Returns
    -------
    checkpoint : ScanCheckpoint

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or unsafe, or holds another network.
    ValueError
        If a parameter is none of the above, `stem` is None for a network for small images or
        given for another.

    Warnings
    --------
    The ``checkpoint.pth.tar`` of the clustering stage holds the weights of the last epoch, while
    its best head is that of the best epoch; take ``model.pth.tar``, where both belong together.

    Examples
    --------
    >>> from skscan.interop import load_scan_checkpoint
    >>> checkpoint = load_scan_checkpoint("scan_stl-10.pth.tar", "stl")  # doctest: +SKIP
    >>> clusterer = checkpoint.to_estimator()  # doctest: +SKIP
    """
    check_options(stem, image_size, normalization)
    raw = read_checkpoint(path)
    arrays, report = weights_by_our_names(raw)
    shapes = {
        name.removeprefix(BACKBONE): array.shape
        for name, array in arrays.items()
        if name.startswith(BACKBONE)
    }
    architecture = detect_architecture(shapes, stem, raw.path)
    settings = input_settings(architecture, image_size, normalization)
    network = TrainedNetwork(
        architecture,
        settings.image_size,
        *settings.normalization,
        {name: array for name, array in arrays.items() if not name.startswith(CLUSTER_HEAD)},
        settings.resize,
    )
    heads = _heads(arrays, raw.path)
    if heads is not None and raw.best_head >= len(heads):
        raise ModelFileError(
            f"{raw.path!r} names head {raw.best_head} the best, but has {len(heads)}"
        )
    checkpoint = ScanCheckpoint(raw.kind, network, heads, raw.best_head, report)
    _check(checkpoint, raw.path)
    return checkpoint


def _heads(arrays: dict[str, NDArray], path: str) -> LinearHeads | None:
    names = [name for name in arrays if name.startswith(CLUSTER_HEAD)]
    if not names:
        return None
    n_heads = 1 + max(int(re.findall(r"\d+", name)[0]) for name in names)
    if len(names) != 2 * n_heads:
        raise ModelFileError(
            f"{path!r} lacks weights of cluster heads: it has {len(names)} entries for the heads "
            f"0 to {n_heads - 1}, of {2 * n_heads}"
        )
    parts = [
        [arrays[f"{CLUSTER_HEAD}{head}.{part}"] for head in range(n_heads)]
        for part in ("weight", "bias")
    ]
    shapes = {(weight.shape, bias.shape) for weight, bias in zip(*parts, strict=True)}
    (weight, bias), *others = shapes
    if others or len(weight) != 2 or bias != weight[:1]:
        raise ModelFileError(f"{path!r}: the shapes of the cluster heads do not fit together")
    return LinearHeads(np.stack(parts[0]), np.stack(parts[1]))


def _check(checkpoint: ScanCheckpoint, path: str) -> None:
    """Build all modules, which is strict about names and shapes."""
    try:
        n_features: Any = checkpoint.backbone.n_features
        head: Any = checkpoint.projection_head
    except ModelFileError as error:
        raise ModelFileError(f"{path!r}: {error}") from error
    widths = {
        "projection head": None if head is None else head[0].in_features,
        "cluster heads": None if checkpoint.heads is None else checkpoint.heads.weights.shape[2],
    }
    for part, width in widths.items():
        if width not in (None, n_features):
            raise ModelFileError(
                f"{path!r}: the {part} takes {width} features, the backbone gives {n_features}"
            )


def _linear_modules(heads: LinearHeads) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for weight, bias in zip(heads.weights, heads.biases, strict=True):
        module = nn.utils.skip_init(nn.Linear, *weight.shape[::-1])
        module.load_state_dict({"weight": torch.tensor(weight), "bias": torch.tensor(bias)})
        modules.append(module.eval())
    return modules
