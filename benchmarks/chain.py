"""The paper's whole chain from scratch: SimCLR, neighbors, SCAN, self-labelling, on a CPU.

    python benchmarks/chain.py fashion-mnist -o OUT     the first 10,000 training images
    python benchmarks/chain.py cifar10 -o OUT           5,000 training images, 500 of each class

One pretext run, then the later stages with several seeds: the paper's protocol. Everything is
fitted on training images and scored on the 10,000 test images; labels are used by the scores alone.
After each stage the scores stand beside k-means (10 starts, fitted on the training images) on the
same features. The network is narrow and the epochs are few, so that a chain takes less than an hour
on one core: the figures are to be compared with each other, not with the paper's. A run that was
cut off goes on where it stood.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from datasets import fashion_images, image_paths
from sklearn.cluster import KMeans

import skscan
from skscan import (
    ClusterTrainer,
    FeatureScaler,
    NeighborMiner,
    NetworkTraining,
    SelfLabelTrainer,
    SimCLRFeatureExtractor,
)
from skscan.metrics import clustering_report, neighbor_purity

N_CLUSTERS = 10
PRETEXT = {
    "fashion-mnist": {"image_size": 28, "n_epochs": 40},
    "cifar10": {"image_size": 32, "n_epochs": 60},
}
NETWORK = {"stem": "cifar", "depth": 18, "width": 16}
START = {"random": {"starts": ("random",), "class_prior": "uniform", "n_heads": 1}, "frozen": {}}


def load(name: str) -> tuple:
    """Give images and classes to train on, then those to score on."""
    if name == "fashion-mnist":
        images, classes = fashion_images("train")
        return images[:10_000], classes[:10_000], *fashion_images()
    paths, y = image_paths("cifar10", "/train/")
    rows = np.concatenate([np.flatnonzero(y == c)[:500] for c in range(N_CLUSTERS)])
    return [paths[row] for row in rows], y[rows], *image_paths("cifar10", "/test/")


def score(stage: str, seed: int, extractor, heads, data: tuple) -> dict:
    """Score heads and k-means on the features of an extractor, on the test images."""
    train, _, test, y = data
    features, test_features = extractor.transform(train), extractor.transform(test)
    kmeans = KMeans(N_CLUSTERS, n_init=10, random_state=seed).fit(features)
    entry = {"stage": stage, "seed": seed}
    if heads is not None:
        entry["ours"] = clustering_report(y, heads.predict(test_features))
    return {**entry, "k-means": clustering_report(y, kmeans.predict(test_features))}


def pretext(name: str, out: Path, data: tuple):
    """Learn features, or take those that an earlier run has learned."""
    if (out / "pretext").is_dir():
        return skscan.load(out / "pretext")
    extractor = SimCLRFeatureExtractor(
        NETWORK,
        batch_size=256,
        learning_rate=0.2,
        precision="bf16",
        checkpoint_dir=out,
        random_state=0,
        verbose=1,
        **PRETEXT[name],
    ).fit(data[0])
    skscan.save(extractor, out / "pretext")
    return extractor


def chain(
    name: str, out: Path, seeds: range, start: str, epochs: tuple[int, int], batch_size: int
) -> list[dict]:
    """Run all stages, keeping the results after each."""
    data, results, file = load(name), [], out / f"results-{start}.json"
    extractor = pretext(name, out, data)

    def keep(entry: dict, seconds: float, history: list) -> None:
        results.append({**entry, "seconds": round(seconds, 1), "history": history})
        file.write_text(json.dumps(results, indent=1))
        print({k: v for k, v in results[-1].items() if k != "history"}, flush=True)

    for seed in seeds:
        keep(score("pretext", seed, extractor, None, data), 0.0, getattr(extractor, "history_", []))
    features = FeatureScaler().fit_transform(extractor.transform(data[0]))
    graph = NeighborMiner(20).fit_transform(features)
    print(f"purity of the 20 nearest neighbors: {neighbor_purity(graph, data[1]):.3f}", flush=True)
    for seed in seeds:
        rng = np.random.RandomState(seed)
        network = NetworkTraining(precision="bf16", checkpoint_dir=out / f"{start}-{seed}")
        begin = time.perf_counter()
        trainer = ClusterTrainer(
            scope="network", n_epochs=epochs[0], network=network, **START[start]
        )
        scan = trainer.train(
            features, graph, N_CLUSTERS, random_state=rng, images=data[0], extractor=extractor
        )
        best = scan.heads.select(scan.best_head)
        keep(
            score("scan", seed, scan.extractor, best, data),
            time.perf_counter() - begin,
            scan.history[-epochs[0] :],
        )
        begin = time.perf_counter()
        trainer = SelfLabelTrainer(
            scope="network", n_epochs=epochs[1], batch_size=batch_size, network=network
        )
        refined = trainer.train(
            scan.extractor.transform(data[0]),
            graph,
            best,
            0,
            random_state=rng,
            images=data[0],
            extractor=scan.extractor,
        )
        kept = refined.extractor or scan.extractor
        entry = {"accepted": refined.accepted, "reason": refined.reason}
        keep(
            {**score("self-label", seed, kept, refined.heads, data), **entry},
            time.perf_counter() - begin,
            refined.history,
        )
    return results


def table(results: list[dict]) -> str:
    """Give mean and standard deviation over the seeds, in percent."""
    lines = ["stage       ACC          NMI          ARI          k-means ACC"]
    for stage in ("pretext", "scan", "self-label"):
        entries = [entry for entry in results if entry["stage"] == stage]
        cells = [
            [100 * entry.get("ours", entry["k-means"])[key] for entry in entries]
            for key in ("accuracy", "nmi", "ari")
        ]
        cells.append([100 * entry["k-means"]["accuracy"] for entry in entries])
        shown = [f"{np.mean(cell):5.1f} ± {np.std(cell):3.1f}" for cell in cells]
        lines.append(f"{stage:11s} " + "  ".join(shown))
    return "\n".join(lines)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=PRETEXT)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--start", choices=START, default="frozen", help="of the heads in SCAN")
    parser.add_argument("--scan-epochs", type=int, default=8)
    parser.add_argument("--self-label-epochs", type=int, default=5)
    parser.add_argument(
        "--self-label-batch-size", type=int, default=250, help="the paper's 1,000 leave few steps"
    )
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    epochs = arguments.scan_epochs, arguments.self_label_epochs
    seeds = range(arguments.seeds)
    batch_size = arguments.self_label_batch_size
    print(table(chain(arguments.name, arguments.out, seeds, arguments.start, epochs, batch_size)))


if __name__ == "__main__":
    main()
