"""Images augmented a second beside torchvision's pipeline, and the share of a training step.

    python benchmarks/augmentation.py [--rounds 5] [--threads 1]

The plain pipeline is what a data set usually runs: Pillow images, one by one, through
torchvision's transforms. SCAN's fourteen operations are in no version of torchvision; there, each
image goes through Pillow's functions. The runs alternate, so that a change in the speed of the
machine meets all of them. The second table times whole steps of SimCLR on a SmallResNet: two
views, one forward and backward pass, and the optimizer.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor
from torchvision import transforms as T  # noqa: N812

from skscan.networks.architecture import projection_head
from skscan.networks.small_resnet import SmallResNet
from skscan.training.augmentations import (
    Augmentation,
    SimCLRAugmentation,
    StandardAugmentation,
    StrongAugmentation,
)
from skscan.training.augmentations.operations import OPERATIONS
from skscan.training.losses import simclr_loss

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
AFFINE = Image.Transform.AFFINE
PILLOW: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "identity": lambda image, v: image,
    "autocontrast": lambda image, v: ImageOps.autocontrast(image),
    "equalize": lambda image, v: ImageOps.equalize(image),
    "rotate": lambda image, v: image.rotate(v),
    "solarize": lambda image, v: ImageOps.solarize(image, v),
    "color": lambda image, v: ImageEnhance.Color(image).enhance(v),
    "contrast": lambda image, v: ImageEnhance.Contrast(image).enhance(v),
    "brightness": lambda image, v: ImageEnhance.Brightness(image).enhance(v),
    "sharpness": lambda image, v: ImageEnhance.Sharpness(image).enhance(v),
    "shear_x": lambda image, v: image.transform(image.size, AFFINE, (1, v, 0, 0, 1, 0)),
    "shear_y": lambda image, v: image.transform(image.size, AFFINE, (1, 0, 0, v, 1, 0)),
    "translate_x": lambda image, v: image.transform(
        image.size, AFFINE, (1, 0, v * image.width, 0, 1, 0)
    ),
    "translate_y": lambda image, v: image.transform(
        image.size, AFFINE, (1, 0, 0, 0, 1, v * image.height)
    ),
    "posterize": lambda image, v: ImageOps.posterize(image, int(v)),
}


def strong_operations(image: Image.Image) -> Image.Image:
    """Run four random operations on one image."""
    for name in random.choices(list(OPERATIONS), k=4):
        image = PILLOW[name](image, random.uniform(OPERATIONS[name].low, OPERATIONS[name].high))
    return image


def cut_out(image: Tensor) -> Tensor:
    """Cut a hole of up to 16 pixels into one image."""
    size, half = image.shape[-1], random.randint(1, 16) // 2
    row, column = random.randrange(size), random.randrange(size)
    rows = slice(max(row - half, 0), row + half)
    image[:, rows, max(column - half, 0) : column + half] = 0
    return image


def plain_pipelines(size: int) -> dict[str, Callable[[Image.Image], Tensor]]:
    """Return torchvision's pipelines for one image."""
    crop = [T.RandomResizedCrop(size, scale=(0.2, 1.0)), T.RandomHorizontalFlip()]
    colors = [
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
        T.RandomGrayscale(0.2),
    ]
    strong = [T.RandomHorizontalFlip(), T.RandomCrop(size), T.Lambda(strong_operations)]
    end = [T.ToTensor(), T.Normalize(MEAN, STD)]
    return {
        "standard": T.Compose(crop + end),
        "SimCLR": T.Compose(crop + colors + end),
        "strong": T.Compose([*strong, *end, T.Lambda(cut_out)]),
    }


def noise_and_ramps(n: int, size: int) -> Tensor:
    """Return pixels that have all colours."""
    pixels = torch.randint(64, (n, 3, size, size))
    pixels += torch.arange(size) * 128 // size + torch.arange(size).unsqueeze(1) * 64 // size
    return pixels.byte()


def views(augmentation: Augmentation, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw and augment."""
    n, _, height, width = pixels.shape
    return augmentation(pixels, augmentation.draw(n, height, width, generator))


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def throughput(size: int, batch: int, rounds: int) -> None:
    """Print images a second of every augmentation, both ways."""
    pixels = noise_and_ramps(batch, size)
    arrays = pixels.permute(0, 2, 3, 1).contiguous().numpy()
    generator = torch.Generator().manual_seed(0)
    batched = {
        "standard": StandardAugmentation(size, MEAN, STD),
        "SimCLR": SimCLRAugmentation(size, MEAN, STD),
        "strong": StrongAugmentation(size, MEAN, STD),
    }
    plain = plain_pipelines(size)

    def one_by_one(name: str) -> Tensor:
        return torch.stack([plain[name](Image.fromarray(array)) for array in arrays])

    for name, augmentation in batched.items():
        views(augmentation, pixels, generator), one_by_one(name)  # warm up
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(batch / seconds(lambda: views(augmentation, pixels, generator)))  # noqa: B023
            theirs.append(batch / seconds(lambda: one_by_one(name)))  # noqa: B023
        ratio = np.median(np.array(ours) / np.array(theirs))
        print(
            f"{size:3d} px, batch {batch}  {name:9s} {np.median(ours):8.0f} images/s batched"
            f"  {np.median(theirs):7.0f} one by one  ratio {ratio:5.1f}"
        )


def share(stem: str, size: int, width: int, batch: int, rounds: int) -> None:
    """Print how much of a SimCLR step is augmentation."""
    pixels = noise_and_ramps(batch, size)
    generator = torch.Generator().manual_seed(0)
    augmentation = SimCLRAugmentation(size, MEAN, STD)
    backbone = SmallResNet(stem=stem, width=width)
    network = torch.nn.Sequential(backbone, projection_head(backbone.n_features))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    shares, totals = [], []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        both = torch.cat([views(augmentation, pixels, generator) for _ in range(2)])
        augmented = time.perf_counter()
        features = torch.nn.functional.normalize(network(both), dim=1)
        loss = simclr_loss(torch.stack(features.chunk(2), dim=1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        end = time.perf_counter()
        shares.append((augmented - start) / (end - start))
        totals.append(end - start)
    print(
        f"{size:3d} px, batch {batch:3d}, width {width}: {np.median(totals[1:]):6.2f} s a step, "
        f"{100 * np.median(shares[1:]):4.1f} % of it augmentation"
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{options.threads} thread(s), medians of {options.rounds} alternating rounds")
    throughput(32, 512, options.rounds)
    throughput(96, 128, options.rounds)
    share("cifar", 32, 16, 512, options.rounds)
    share("cifar", 32, 64, 64, options.rounds)
    share("stl", 96, 16, 128, options.rounds)
    share("stl", 96, 64, 32, options.rounds)


if __name__ == "__main__":
    main()
