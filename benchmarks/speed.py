"""How fast each stage is, beside peers: alternating rounds, medians and spread.

    python benchmarks/speed.py                          all stages, on STL-10
    python benchmarks/speed.py --stages neighbors heads
    python benchmarks/speed.py --generated              without any data: stages that need no images
    python benchmarks/speed.py --write                  into docs/benchmarks/speed.md too

Stages on features take 13,000 x 128: STL-10 by the embedded network, which was trained with
ImageNet labels (no matter to speed). Images are every thirteenth. The rounds of a stage alternate,
so that a change in the speed of the machine meets all; ratios are of one round, to the first method
of the stage. Peers that are not installed are named and left out. Whole runs of the command are in
`benchmarks/main_job.py`, neighbours of more samples in `benchmarks/neighbors.py`.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

import joblib
import numpy as np
from datasets import image_paths, zip_features
from sklearn.datasets import make_blobs
from speed_parts import peers

from skscan import FeatureScaler

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks" / "speed.md"
K = 10
ON_FEATURES = ("neighbors", "heads", "sorting", "first_calls")
ON_IMAGES = ("extraction", "one_pass")
TITLES = {
    "neighbors": "20 nearest neighbours of 13,000 x 128 features",
    "heads": "24 heads on 13,000 x 128 features",
    "sorting": "13,000 x 128 features to labels",
    "extraction": "1,000 images to features, start-up of the network included",
    "one_pass": f"Learning from {peers.N_TRAINED} images: features once, or encoded in every pass",
    "first_calls": "The first call in a process, imports included, and the next",
}


def seconds(job: peers.Job) -> float:
    """Time one call."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def alternate(jobs: dict[str, peers.Job], n_rounds: int) -> dict[str, np.ndarray]:
    """Seconds of each job in each round, after one that warms up."""
    for job in jobs.values():
        job()
    rounds = [{name: seconds(job) for name, job in jobs.items()} for _ in range(n_rounds)]
    return {name: np.array([times[name] for times in rounds]) for name in jobs}


def as_table(times: dict[str, np.ndarray], missing: list[str]) -> list[str]:
    """Lay out medians, spread and ratios to the first method."""
    first = next(iter(times.values()))
    lines = [
        "| method | seconds, median | from | to | ratio to the first |",
        "|---|---|---|---|---|",
    ]
    for name, values in times.items():
        figures = f"{np.median(values):.2f} | {values.min():.2f} | {values.max():.2f}"
        lines.append(f"| {name} | {figures} | {np.median(values / first):.2f} |")
    return [*lines, *(f"\nNot installed, so not run: {name}." for name in missing)]


def measure(stage: str, X: np.ndarray, paths: list[str], n_rounds: int) -> list[str]:
    """Run one stage; return its part of the page."""
    lines = [f"\n## {TITLES[stage]}\n"]
    if stage == "first_calls":
        lines += ["| method | first, s | next, s |", "|---|---|---|"]
        for name, (first, later) in peers.first_calls(X, K).items():
            lines.append(f"| {name} | {first:.2f} | {later:.2f} |")
        return lines
    if stage == "neighbors":
        jobs, missing = peers.neighbors(X)
    elif stage == "heads":
        jobs, missing = peers.heads(X, K)
    elif stage == "sorting":
        jobs, missing = peers.sorting(X, K)
    elif stage == "extraction":
        jobs, missing = peers.extraction(paths)
    else:
        jobs, missing = peers.one_pass(paths, X, K)
    times = alternate(jobs, n_rounds)
    lines += as_table(times, missing)
    if stage == "neighbors" and "pynndescent (approximate)" in jobs:
        lines.append(f"\nRecall at 20 of pynndescent: {peers.recall_of_pynndescent(X):.3f}.")
    if stage == "one_pass":
        heads, again = (float(np.median(values)) for values in times.values())
        scaled = again * len(X) / peers.N_TRAINED
        lines.append(
            f"\nOne pass over {len(X):,} images would take {scaled / 60:.0f} minutes the second "
            f"way ({len(X) / peers.N_TRAINED:.0f} times what was measured); a pass of a head over "
            f"the features of {peers.N_TRAINED} takes {1000 * heads / 300:.2f} ms."
        )
    return lines


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stages", nargs="+", choices=TITLES, default=list(TITLES))
    parser.add_argument("--generated", action="store_true", help="a mixture instead of STL-10")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.name}")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    paths: list[str] = []
    if options.generated:
        X = make_blobs(13_000, 128, centers=K, cluster_std=4, random_state=0)[0]
    else:
        paths = image_paths("stl10")[0][::13]
        X = FeatureScaler().fit_transform(zip_features("stl10")[0])
    X = X.astype(np.float32)
    lines = [
        "# Speed",
        "",
        f"By `python benchmarks/speed.py` on {joblib.cpu_count()} cores, {options.rounds} "
        "alternating rounds; times vary from machine to machine, ratios less. Features are those "
        "of the embedded network, which was trained with ImageNet labels.",
    ]
    print("\n".join(lines))
    for stage in options.stages:
        if stage in ON_IMAGES and options.generated:
            continue
        part = measure(stage, X, paths, options.rounds)
        part.append(f"\nLoad of the machine afterwards: {os.getloadavg()[0]:.1f}.")
        print("\n".join(part), flush=True)
        lines += part
    if options.write:
        PAGE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
