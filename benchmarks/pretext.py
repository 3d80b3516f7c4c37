"""SimCLR steps a second, beside the plainest PyTorch loop for the same network and loss.

    python benchmarks/pretext.py [--steps 2] [--rounds 9] [--threads 1 2] [--sides 32 96]

Compared are the training of `SimCLRFeatureExtractor` (in float32 and in bf16) and a loop of a few
lines: with torchvision's augmentation of one PIL image at a time in a `DataLoader` without workers,
as most scripts have it; with our batched augmentation, so that loop and network are compared alone;
and that with the layout of memory that we use (channels_last), so that the loop is compared alone.
All take turns in each round, so that a change in the speed of the machine meets all of them.
Seconds of the processor are given beside those of the clock: they hardly feel what else is running.
The images are generated: their content changes no speed.
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

from skscan.networks.architecture import build_backbone, projection_head
from skscan.networks.modules import ContrastiveNetwork
from skscan.training.augmentations import SimCLRAugmentation
from skscan.training.contrastive import SimCLRTask
from skscan.training.loop import LoopSettings, TrainingLoop, cosine, make_optimizer
from skscan.training.losses import simclr_loss
from skscan.training.pixels import PixelStore

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

# Seconds of a run by the clock, those of them that went into views, and seconds of the processor.
Timing = tuple[float, float, float]


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


def make_network(setting: Setting, memory_format: torch.memory_format) -> ContrastiveNetwork:
    backbone: Any = build_backbone(setting.architecture)
    network = ContrastiveNetwork(backbone, projection_head(backbone.n_features))
    return network.to(memory_format=memory_format)


def plain(make_views: Callable, memory_format: torch.memory_format) -> Callable:
    """Return the plainest loop, with views from somewhere."""

    def run(images: np.ndarray, setting: Setting) -> Timing:
        network = make_network(setting, memory_format)
        optimizer = torch.optim.SGD(network.parameters(), 0.4, momentum=0.9, weight_decay=1e-4)
        begin, begin_cpu, making = time.perf_counter(), time.process_time(), 0.0
        batches = make_views(images, setting.batch_size)
        while True:
            start = time.perf_counter()
            views = next(batches, None)
            making += time.perf_counter() - start
            if views is None:
                return time.perf_counter() - begin, making, time.process_time() - begin_cpu
            features = network(views.flatten(0, 1))
            loss = simclr_loss(features.unflatten(0, (-1, 2)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def ours(precision: str) -> Callable:
    """Return what the extractor trains by, as it sets it up."""

    def run(images: np.ndarray, setting: Setting) -> Timing:
        task = SimCLRTask(
            make_network(setting, torch.channels_last),
            PixelStore(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
            SimCLRAugmentation(setting.side, MEAN, STD),
            temperature=0.1,
        )
        optimizer = make_optimizer("sgd", task.network, weight_decay=1e-4)
        settings = LoopSettings(1, setting.batch_size, cosine(0.4, 1), 0, precision=precision)
        begin_cpu = time.process_time()
        loop = TrainingLoop(task, optimizer, settings)
        loop.run()
        return loop.seconds["total"], loop.seconds["inputs"], time.process_time() - begin_cpu

    return run


VARIANTS = {
    "skscan": ours("no"),
    "plain loop, torchvision's views": plain(views_of_torchvision, torch.contiguous_format),
    "plain loop, our views": plain(views_of_ours, torch.contiguous_format),
    "plain loop, our views, channels_last": plain(views_of_ours, torch.channels_last),
    "skscan, bf16": ours("bf16"),
}


def compare(setting: Setting, n_steps: int, n_rounds: int) -> None:
    """Print steps a second of each variant, and its time as a multiple of that of the first."""
    shape = (n_steps * setting.batch_size, setting.side, setting.side, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    few = images[: setting.batch_size]
    for run in VARIANTS.values():
        run(few, setting)  # warm up
    timings = np.array(
        [[run(images, setting) for run in VARIANTS.values()] for _ in range(n_rounds)]
    )
    clock, views, processor = timings.transpose(2, 1, 0)
    for i, name in enumerate(VARIANTS):
        rates = n_steps / clock[i]
        ratios = clock[i] / clock[0]
        print(
            f"| {name} | {np.median(rates):.2f} ({rates.min():.2f}-{rates.max():.2f}) "
            f"| {np.median(views[i] / clock[i]):.0%} "
            f"| {np.median(ratios):.2f} ({ratios.min():.2f}-{ratios.max():.2f}) "
            f"| {np.median(processor[i] / processor[0]):.2f} |",
            flush=True,
        )


def main() -> None:
    """Print a table for each setting and number of threads."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    sides = [setting.side for setting in SETTINGS]
    parser.add_argument("--sides", type=int, nargs="+", choices=sides, default=sides)
    options = parser.parse_args()
    for n_threads in dict.fromkeys(options.threads):
        torch.set_num_threads(n_threads)
        for setting in [setting for setting in SETTINGS if setting.side in options.sides]:
            print(
                f"\n{setting.architecture}, {setting.side} px, batch {setting.batch_size}, "
                f"{n_threads} thread(s), {options.rounds} rounds of {options.steps} steps\n"
            )
            print("| variant | steps/s | time for views | time / ours | processor time / ours |")
            print("|---|---|---|---|---|")
            compare(setting, options.steps, options.rounds)


if __name__ == "__main__":
    main()
