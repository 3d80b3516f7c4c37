"""Images to features: images a second at 128 px, decoding included, beside the plain loop.

    python benchmarks/extraction.py [--n 2000]

The plain loop decodes and resizes one batch, then runs the same network on it (eager, NCHW, weights
that are random, which changes nothing in its speed). The two alternate, so that a change in the
speed of the machine meets both.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from zipfile import ZipFile

import numpy as np
import timm
import torch
from datasets import image_paths
from PIL import Image

from skscan import TimmFeatureExtractor

SIZE = 128


def plain_loop(paths: list[str]) -> np.ndarray:
    """Extract features as a first version would."""
    network = timm.create_model("tf_efficientnet_lite0", num_classes=0).eval()
    archive = ZipFile(paths[0][: paths[0].index(".zip") + 4])
    features = []
    with torch.inference_mode():
        for start in range(0, len(paths), 64):
            batch = []
            for path in paths[start : start + 64]:
                with archive.open(path[path.index(".zip") + 5 :]) as file:
                    image = Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.BICUBIC)
                batch.append(np.asarray(image))
            pixels = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float()
            features.append(network((pixels / 127.5 - 1).contiguous()).numpy())
    return np.concatenate(features)


def rate(function: Callable[[list[str]], np.ndarray], paths: list[str]) -> float:
    """Images a second."""
    start = time.perf_counter()
    function(paths)
    return len(paths) / (time.perf_counter() - start)


def main() -> None:
    """Print the median rates and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    paths, _ = image_paths("stl10")
    paths = paths[:: max(1, len(paths) // options.n)][: options.n]
    ours = TimmFeatureExtractor(image_size=SIZE)
    for function in (ours.transform, plain_loop):
        function(paths[:64])  # load and warm up
    rates = [(rate(ours.transform, paths), rate(plain_loop, paths)) for _ in range(options.rounds)]
    skscan, plain = np.median(rates, axis=0)
    ratio = np.median([a / b for a, b in rates])
    print(f"{len(paths)} images of STL-10, {options.rounds} alternating rounds, {SIZE} px")
    print(f"skscan {skscan:.0f} images/s, plain loop {plain:.0f} images/s, ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
