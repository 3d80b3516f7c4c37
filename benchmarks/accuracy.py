"""Accuracy with default settings beside k-means and a supervised probe, in one run.

    python benchmarks/accuracy.py                       every set, 5 seeds
    python benchmarks/accuracy.py --sets "STL-10" --seeds 2 --json accuracy.json

All methods get the same features: those of the embedded backbone, which was trained on ImageNet
with labels (STL-10's images come from ImageNet), or pixels where the name of the set says so. The
probe is a logistic regression that sees the labels of four fifths and is scored on the rest.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from datasets import DATASETS, MissingDataError
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from skscan import FeatureScaler, SCANClusterer
from skscan.metrics import clustering_accuracy


def measure(name: str, n_seeds: int, effort: str) -> dict:
    """Score every method on one set."""
    X, y = DATASETS[name]()
    n_clusters = len(np.unique(y))
    Z = FeatureScaler().fit_transform(X)
    ours, seconds = [], []
    for seed in range(n_seeds):
        start = time.perf_counter()
        labels = SCANClusterer(n_clusters, effort=effort, random_state=seed).fit_predict(X)
        seconds.append(time.perf_counter() - start)
        ours.append(clustering_accuracy(y, labels))
    kmeans = [
        clustering_accuracy(y, KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(Z))
        for seed in range(n_seeds)
    ]
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    probe = cross_val_score(LogisticRegression(C=0.1, max_iter=300), Z, y, cv=folds).mean()
    return {
        "set": name,
        "n_samples": len(y),
        "n_clusters": n_clusters,
        "skscan": ours,
        "kmeans": kmeans,
        "probe": float(probe),
        "seconds": seconds,
    }


def main() -> None:
    """Run the sets that were asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(DATASETS), default=list(DATASETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--effort", choices=["fast", "default", "best"], default="default")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    print("| set | n | k | skscan mean | min | k-means, 10 starts | difference | probe | s |")
    print("|---|---|---|---|---|---|---|---|---|")
    results = []
    for name in options.sets:
        try:
            row = measure(name, options.seeds, options.effort)
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        results.append(row)
        mean, kmeans = np.mean(row["skscan"]), np.mean(row["kmeans"])
        print(
            f"| {name} | {row['n_samples']} | {row['n_clusters']} | {mean:.3f} "
            f"| {min(row['skscan']):.3f} | {kmeans:.3f} | {mean - kmeans:+.3f} "
            f"| {row['probe']:.3f} | {np.median(row['seconds']):.1f} |",
            flush=True,
        )
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    if not results:
        sys.exit("no set could be run")


if __name__ == "__main__":
    main()
