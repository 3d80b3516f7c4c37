"""Accuracy with default settings beside k-means and a supervised probe, in one run.

    python benchmarks/accuracy.py                       every set, 5 seeds
    python benchmarks/accuracy.py --sets "STL-10" --seeds 2 --json accuracy.json

All methods get the same features: those of the embedded backbone, which was trained on ImageNet
with labels (STL-10's images come from ImageNet), or pixels where the name of the set says so. The
probe is a logistic regression that sees the labels of four fifths and is scored on the rest. Macro
is the mean over classes of the accuracy within each. "Two stages" is the accuracy of the head that
was picked, before the third stage trains it further. The gap is the accuracy of the best head of
the pool, which takes labels to know, less that of skscan; only the picked head went through the
third stage, and it counts among the pool both before and after.
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
from pool import labels_of_heads
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score

from skscan import FeatureScaler, SCANClusterer
from skscan.metrics import clustering_accuracy, macro_accuracy

COLUMNS = [
    "set",
    "images",
    "classes",
    "skscan, mean",
    "worst seed",
    "macro",
    "two stages",
    "gap",
    "k-means, 10 starts",
    "macro",
    "supervised probe",
    "s",
]


def accuracies_of_heads(clusterer: SCANClusterer, X: np.ndarray, y: np.ndarray) -> list[float]:
    """Score each head that was trained, the one of the third stage last."""
    pool = labels_of_heads(clusterer, clusterer.transform(X))
    return [clustering_accuracy(y, labels) for labels in pool]


def measure(name: str, n_seeds: int, effort: str) -> dict:
    """Score every method on one set."""
    X, y = DATASETS[name]()
    n_clusters = len(np.unique(y))
    Z = FeatureScaler().fit_transform(X)
    row = {"set": name, "n_samples": len(y), "n_clusters": n_clusters}
    figures = ("skscan", "macro", "two_stages", "best", "seconds", "kmeans", "kmeans_macro")
    row |= {figure: [] for figure in figures}
    for seed in range(n_seeds):
        start = time.perf_counter()
        clusterer = SCANClusterer(n_clusters, effort=effort, random_state=seed).fit(X)
        row["seconds"].append(time.perf_counter() - start)
        row["skscan"].append(clustering_accuracy(y, clusterer.labels_))
        row["macro"].append(macro_accuracy(y, clusterer.labels_))
        of_heads = accuracies_of_heads(clusterer, X, y)
        chosen = [head["chosen"] for head in clusterer.selection_report_].index(True)
        row["two_stages"].append(of_heads[chosen])
        row["best"].append(max(of_heads))
        labels = KMeans(n_clusters, n_init=10, random_state=seed).fit_predict(Z)
        row["kmeans"].append(clustering_accuracy(y, labels))
        row["kmeans_macro"].append(macro_accuracy(y, labels))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    probe = LogisticRegression(C=0.1, max_iter=300)
    row["probe"] = float(cross_val_score(probe, Z, y, cv=folds).mean())
    return row


def line_of(row: dict) -> str:
    """Write a row as a line of the table."""
    picked = np.mean(row["skscan"])
    figures = [picked, min(row["skscan"]), np.mean(row["macro"]), np.mean(row["two_stages"])]
    figures += [np.mean(row["best"]) - picked]
    figures += [np.mean(row["kmeans"]), np.mean(row["kmeans_macro"]), row["probe"]]
    cells = [row["set"], f"{row['n_samples']:,}", str(row["n_clusters"])]
    cells += [f"{figure:.3f}" for figure in figures] + [f"{np.median(row['seconds']):.1f}"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run the sets that were asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=list(DATASETS), default=list(DATASETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--effort", choices=["fast", "default", "best"], default="default")
    parser.add_argument("--json", type=Path, help="also write all figures to this file")
    options = parser.parse_args()
    warnings.simplefilter("ignore")

    print(f"| {' | '.join(COLUMNS)} |")
    print("|---" * len(COLUMNS) + "|")
    results = []
    for name in options.sets:
        try:
            row = measure(name, options.seeds, options.effort)
        except MissingDataError as error:
            print(f"| {name} | not run: {error} |", flush=True)
            continue
        results.append(row)
        print(line_of(row), flush=True)
        if options.json:
            options.json.write_text(json.dumps(results, indent=1))
    if not results:
        sys.exit("no set could be run")


if __name__ == "__main__":
    main()
