"""Which network a state dict belongs to, told from its names and shapes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from skscan.exceptions import ModelFileError
from skscan.extractors.pretext import NORMALIZATIONS, Normalization
from skscan.networks.architecture import TORCHVISION, Architecture
from skscan.networks.small_resnet import DEPTHS, STEMS

__all__ = ["InputSettings", "check_options", "detect_architecture", "input_settings"]

# Has the blocks' third convolution, blocks of each stage: the name.
_LARGE_RESNETS: dict[tuple[bool, tuple[int, ...]], str] = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.conv(\d)\.weight")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class InputSettings:
    """What a network is given.

    Attributes
    ----------
    image_size : int
        Side in pixels.
    resize : int or None
        Length of the shorter side before the centre is cut out.
    normalization : tuple of 3 floats twice
        Mean and standard deviation of each color.
    """

    image_size: int
    resize: int | None
    normalization: Normalization


def detect_architecture(shapes: Mapping[str, Shape], stem: str | None, path: str) -> Architecture:
    """Tell the architecture of a backbone.

    Parameters
    ----------
    shapes : mapping from str to tuple of int
        Names without prefix, and shapes.
    stem : {"cifar", "stl"} or None
        What comes first in a small ResNet, which has no weights and therefore no name.
    path : str
        The file, for errors.

    Returns
    -------
    architecture : dict or str
        See `skscan.networks.architecture.build_backbone`. That all names and shapes fit is left to
        the loading.

    Raises
    ------
    ModelFileError
        If it is neither a small ResNet nor one of torchvision.
    ValueError
        If `stem` is None for a small ResNet, or given for another.
    """
    blocks: list[set[int]] = [set(), set(), set(), set()]
    three_convolutions = False
    for name in shapes:
        match = _BLOCK.fullmatch(name)
        if match:
            blocks[int(match[1]) - 1].add(int(match[2]))
            three_convolutions |= match[3] == "3"
    depth = tuple(len(stage) for stage in blocks)
    first = shapes.get("conv1.weight", ())
    if first[1:] == (3, 3, 3) and not three_convolutions and depth in DEPTHS.values():
        return _small_resnet(depth, first[0], stem, path)
    large = _LARGE_RESNETS.get((three_convolutions, depth))
    if large is None or first != (64, 3, 7, 7):
        raise ModelFileError(
            f"{path!r} holds another network: its backbone is neither a ResNet for small images "
            f"(first convolution 3x3, {depth} blocks) nor one of torchvision's ResNets"
        )
    if stem is not None:
        raise ValueError(
            f"stem={stem!r} is for ResNets for small images, but {path!r} holds a ResNet for "
            f"large ones ({large}); leave stem out"
        )
    return TORCHVISION + large


def input_settings(
    architecture: Architecture, image_size: int | None, normalization: str | Normalization | None
) -> InputSettings:
    """Return what a network is given: what the authors give it, unless told otherwise.

    Parameters
    ----------
    architecture : dict or str
        From `detect_architecture`.
    image_size : int or None
        Side in pixels; None is the authors'.
    normalization : str, (mean, std) or None
        Name in `skscan.extractors.pretext.NORMALIZATIONS`, or numbers; None is the authors'.

    Returns
    -------
    settings : InputSettings
    """
    if isinstance(architecture, str):
        usual = InputSettings(224, 256, NORMALIZATIONS["imagenet"])
    elif architecture["stem"] == "stl":
        usual = InputSettings(96, None, NORMALIZATIONS["imagenet"])
    else:
        usual = InputSettings(32, None, NORMALIZATIONS["cifar10"])
    if image_size is not None:
        usual = replace(usual, image_size=int(image_size), resize=None)
    if isinstance(normalization, str):
        normalization = NORMALIZATIONS[normalization]
    if normalization is None:
        return usual
    mean, std = ((float(red), float(green), float(blue)) for red, green, blue in normalization)
    return replace(usual, normalization=(mean, std))


def check_options(
    stem: str | None, image_size: int | None, normalization: str | Normalization | None
) -> None:
    """Raise ValueError for an option that is never right, whatever the file holds."""
    if stem is not None and stem not in STEMS:
        raise ValueError(f"stem={stem!r}: takes {', '.join(map(repr, STEMS))} or None")
    if image_size is not None and (not isinstance(image_size, int | np.integer) or image_size < 1):
        raise ValueError(f"image_size={image_size!r}: takes a whole number of at least 1, or None")
    if isinstance(normalization, str):
        known = normalization in NORMALIZATIONS
    else:
        known = normalization is None or _is_mean_and_std(normalization)
    if not known:
        raise ValueError(
            f"normalization={normalization!r}: takes {', '.join(map(repr, NORMALIZATIONS))}, None, "
            "or a mean and a positive standard deviation for each of the 3 colors: "
            "((r, g, b), (r, g, b))"
        )


def _is_mean_and_std(value: object) -> bool:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return numbers.shape == (2, 3) and bool(np.isfinite(numbers).all() and numbers[1].min() > 0)


def _small_resnet(
    n_blocks: tuple[int, ...], width: int, stem: str | None, path: str
) -> Architecture:
    if stem is None:
        raise ValueError(
            f"{path!r} holds a ResNet for small images, and its keys cannot tell whether stem is "
            "'cifar' (32 pixels: CIFAR-10, CIFAR-100-20) or 'stl' (96 pixels: STL-10); say which"
        )
    depth = next(depth for depth, blocks in DEPTHS.items() if blocks == n_blocks)
    return {"stem": stem, "depth": depth, "width": width}
