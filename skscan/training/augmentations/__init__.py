"""Batched augmentations that run where the images are: on the CPU or on the training device."""

from skscan.training.augmentations.base import Augmentation, Draws
from skscan.training.augmentations.strong import StrongAugmentation
from skscan.training.augmentations.views import (
    CenterCrop,
    SimCLRAugmentation,
    StandardAugmentation,
)

__all__ = [
    "Augmentation",
    "CenterCrop",
    "Draws",
    "SimCLRAugmentation",
    "StandardAugmentation",
    "StrongAugmentation",
]
