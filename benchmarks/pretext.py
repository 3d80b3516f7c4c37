"""SimCLR steps a second, beside the plainest PyTorch loop for the same network and loss.

    python benchmarks/pretext.py [--steps 4] [--rounds 5]

Compared are `SimCLRFeatureExtractor` (in float32 and in bf16) and a loop of a few lines: with
torchvision's augmentation of one PIL image at a time in a `DataLoader` without workers, as most
scripts have it; with our batched augmentation, so that loop and network are compared alone; and
that with the layout of memory that we use (channels_last), so that the loop is compared alone. All
take turns in each round, so that a change in the speed of the machine meets all of them. The images
are generated: their content changes no speed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from skscan import SimCLRFeatureExtractor
from skscan.networks.architecture import build_backbone, projection_head
from skscan.networks.modules import ContrastiveNetwork
from skscan.training.augmentations import SimCLRAugmentation
from skscan.training.losses import simclr_loss

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@dataclass(frozen=True)
class Setting:
    """What is trained."""

    architecture: dict[str, Any]
    side: int
    batch_size: int


SETTINGS = [
    Setting({"stem": "cifar", "depth": 18, "width": 16}, side=32, batch_size=256),
    Setting({"stem": "stl", "depth": 18, "width": 16}, side=96, batch_size=64),
]

# Seconds of a run in all, and of those the seconds that views took.
Timing = tuple[float, float]


class TwoViews(Dataset):
    """Two views of each image, by torchvision."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = [Image.fromarray(image) for image in images]
        jitter = transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)
        self._transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(images.shape[1], scale=(0.2, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.RandomApply([jitter], p=0.8),
                transforms.RandomGrayscale(p=0.2),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, row: int) -> Tensor:
        return torch.stack([self._transform(self._images[row]) for _ in range(2)])


def views_of_torchvision(images: np.ndarray, batch_size: int) -> Iterator[Tensor]:
    yield from DataLoader(TwoViews(images), batch_size, shuffle=True, drop_last=True)


def views_of_ours(images: np.ndarray, batch_size: int) -> Iterator[Tensor]:
    side = images.shape[1]
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    augment = SimCLRAugmentation(side, MEAN, STD)
    generator = torch.Generator().manual_seed(0)
    for rows in torch.randperm(len(images), generator=generator).split(batch_size):
        draws = augment.draw(2 * batch_size, side, side, generator)
        views = augment(pixels[rows].repeat_interleave(2, dim=0), draws)
        yield views.unflatten(0, (batch_size, 2))


def plain(make_views: Callable, memory_format: torch.memory_format) -> Callable:
    """Return the plainest loop, with views from somewhere."""

    def run(images: np.ndarray, setting: Setting) -> Timing:
        backbone: Any = build_backbone(setting.architecture)
        network = ContrastiveNetwork(backbone, projection_head(backbone.n_features))
        network = network.to(memory_format=memory_format)
        optimizer = torch.optim.SGD(network.parameters(), 0.4, momentum=0.9, weight_decay=1e-4)
        begin = time.perf_counter()
        batches = make_views(images, setting.batch_size)
        making = 0.0
        while True:
            start = time.perf_counter()
            views = next(batches, None)
            making += time.perf_counter() - start
            if views is None:
                return time.perf_counter() - begin, making
            features = network(views.flatten(0, 1))
            loss = simclr_loss(features.unflatten(0, (-1, 2)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def ours(precision: str) -> Callable:
    """Return the training of the extractor."""

    def run(images: np.ndarray, setting: Setting) -> Timing:
        extractor = SimCLRFeatureExtractor(
            setting.architecture,
            image_size=setting.side,
            n_epochs=1,
            batch_size=setting.batch_size,
            normalization=(MEAN, STD),
            precision=precision,
            device="cpu",
        ).fit(images)
        return extractor.timings_["total"], extractor.timings_["inputs"]

    return run


VARIANTS = {
    "SimCLRFeatureExtractor": ours("no"),
    "plain loop, torchvision's views": plain(views_of_torchvision, torch.contiguous_format),
    "plain loop, our views": plain(views_of_ours, torch.contiguous_format),
    "plain loop, our views, channels_last": plain(views_of_ours, torch.channels_last),
    "SimCLRFeatureExtractor, bf16": ours("bf16"),
}


def compare(setting: Setting, n_steps: int, n_rounds: int) -> None:
    """Print steps a second of each variant, and how many times those of the first are."""
    shape = (n_steps * setting.batch_size, setting.side, setting.side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    few = images[: setting.batch_size]
    for run in VARIANTS.values():
        run(few, setting)  # warm up
    timings = np.array(
        [[run(images, setting) for run in VARIANTS.values()] for _ in range(n_rounds)]
    )
    rates = n_steps / timings[:, :, 0]
    for i, name in enumerate(VARIANTS):
        ratios = rates[:, 0] / rates[:, i]
        share = np.median(timings[:, i, 1] / timings[:, i, 0])
        print(
            f"| {name} | {np.median(rates[:, i]):.2f} | {rates[:, i].min():.2f}-"
            f"{rates[:, i].max():.2f} | {share:.0%} | {np.median(ratios):.2f} "
            f"({ratios.min():.2f}-{ratios.max():.2f}) |",
            flush=True,
        )


def main() -> None:
    """Print a table for each setting and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for n_threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(n_threads)
        for setting in SETTINGS:
            print(
                f"\n{setting.architecture}, {setting.side} px, batch {setting.batch_size}, "
                f"{n_threads} thread(s), {options.rounds} rounds of {options.steps} steps"
            )
            print("| variant | steps/s | spread | time for views | ours / this (spread) |")
            print("|---|---|---|---|---|")
            compare(setting, options.steps, options.rounds)


if __name__ == "__main__":
    main()
