"""Network parts: heads and small backbones.

`SmallResNet` is imported when it is first used: the heads work without torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skscan.networks.small_resnet import SmallResNet as SmallResNet

__all__ = ["SmallResNet"]


def __getattr__(name: str) -> object:
    if name != "SmallResNet":
        raise AttributeError(f"module 'skscan.networks' has no attribute {name!r}")
    from skscan.networks.small_resnet import SmallResNet

    return SmallResNet
