"""ResNets for small images: those of CIFAR-10, CIFAR-100-20 and STL-10 in the paper."""

from __future__ import annotations

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import conv2d, relu

__all__ = ["DEPTHS", "STEMS", "SmallResNet"]

#: Blocks in each of the four stages.
DEPTHS = {10: (1, 1, 1, 1), 18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}

#: What comes before the four stages.
STEMS = ("cifar", "stl")


class SmallResNet(nn.Module):
    """A residual network whose first layers keep small images at their size.

    A 3x3 convolution, then four stages of basic blocks with `width` times 1, 2, 4 and 8 channels
    and strides 1, 2, 2 and 2, then the mean over all places. With the default `depth` and `width`
    and images of 32 (stem "cifar") or 96 pixels (stem "stl") these are the networks of SCAN [1]_;
    the names in the state dict are those of its authors' files, too.

    Parameters
    ----------
    stem : {"cifar", "stl"}, default="cifar"
        ``"stl"`` halves the side after the first convolution by max-pooling.
    depth : {10, 18, 34}, default=18
        Number of layers, as ResNets are named; 10 has one block in each stage.
    width : int, default=64
        Channels of the first stage.

    Attributes
    ----------
    n_features : int
        Length of a feature vector, ``8 * width``.

    Raises
    ------
    ValueError
        If a parameter is none of the above.

    Notes
    -----
    Convolutions start from normal values of variance 2 / fan-out [2]_ drawn from torch's global
    generator, normalisations as the identity.

    References
    ----------
    .. [1] W. Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020.
    .. [2] K. He et al., "Delving Deep into Rectifiers", ICCV 2015.

    Examples
    --------
    >>> import torch
    >>> from skscan.networks.small_resnet import SmallResNet
    >>> network = SmallResNet(stem="cifar", depth=10, width=8)
    >>> network(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 64])
    """

    def __init__(self, stem: str = "cifar", depth: int = 18, width: int = 64) -> None:
        super().__init__()
        if stem not in STEMS:
            raise ValueError(f"stem={stem!r}: takes {' or '.join(map(repr, STEMS))}")
        if depth not in DEPTHS:
            raise ValueError(f"depth={depth!r}: takes one of {', '.join(map(str, DEPTHS))}")
        if not isinstance(width, int | np.integer) or width < 1:
            raise ValueError(f"width={width!r}: takes a whole number of at least 1")
        width = int(width)
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.pool = nn.Identity() if stem == "cifar" else _halving()
        n_blocks = DEPTHS[depth]
        self.layer1 = _stage(width, width, n_blocks[0], stride=1)
        self.layer2 = _stage(width, 2 * width, n_blocks[1], stride=2)
        self.layer3 = _stage(2 * width, 4 * width, n_blocks[2], stride=2)
        self.layer4 = _stage(4 * width, 8 * width, n_blocks[3], stride=2)
        self.n_features = 8 * width
        _initialize(self)

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.

        Parameters
        ----------
        images : Tensor of shape (b, 3, height, width), floating point

        Returns
        -------
        features : Tensor of shape (b, n_features)
        """
        maps = self.pool(relu(self.bn1(self.conv1(images))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = stage(maps)
        return maps.mean(dim=(2, 3))


def _halving() -> nn.Module:
    # The padding is the authors': 96 pixels become 49.
    return nn.MaxPool2d(kernel_size=2, stride=2, padding=1)


def _stage(n_in: int, n_out: int, n_blocks: int, stride: int) -> nn.Sequential:
    others = [_BasicBlock(n_out, n_out, 1) for _ in range(n_blocks - 1)]
    return nn.Sequential(_BasicBlock(n_in, n_out, stride), *others)


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution; with a stride and few channels, one of the places that are seen.

    For fewer than 8 channels, channels last and AVX2, oneDNN writes the gradient of a strided one
    beyond its memory: https://github.com/uxlfoundation/oneDNN/issues/6035
    """

    def forward(self, maps: Tensor) -> Tensor:
        if self.in_channels >= 8:
            return super().forward(maps)
        rows, columns = self.stride
        return conv2d(maps[:, :, ::rows, ::columns], self.weight)


class _BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut, which is a 1x1 convolution where shapes change."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or n_in != n_out:
            self.shortcut.append(_Pointwise(n_in, n_out, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(n_out))

    def forward(self, maps: Tensor) -> Tensor:
        residual = relu(self.bn1(self.conv1(maps)))
        return relu(self.bn2(self.conv2(residual)) + self.shortcut(maps))


def _initialize(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
