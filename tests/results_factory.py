"""Results of a small run, without training anything: a clusterer whose answers are made up."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import csr_matrix

from skscan import NeighborMiner, SCANClusterer, save
from skscan.images import SkippedImage
from skscan.networks.heads import LinearHeads


def write_results(
    out: Path,
    paths: list[str],
    clusters: np.ndarray,
    *,
    n_clusters: int,
    skipped: list[tuple[str, str]] = (),
    summary: dict | None = None,
    **attributes,
) -> Path:
    """Write what ``skscan cluster`` would for these clusters; skipped images come last."""
    n = len(paths)
    random = np.random.RandomState(0)
    Z = (random.normal(0, 0.3, (n, 4)) + np.eye(4)[clusters % 4] * 3).astype(np.float32)
    confidence = np.linspace(0.99, 0.4, n)
    total = n + len(skipped)
    graph = csr_matrix((total, total))
    if n > 2:
        small = NeighborMiner(min(5, n - 1)).fit_transform(Z).tocoo()
        graph = csr_matrix((small.data, (small.row, small.col)), shape=(total, total))
    model = SCANClusterer(n_clusters)
    model.labels_ = np.concatenate([clusters, np.full(len(skipped), -1)]).astype(np.int64)
    model.neighbors_ = graph
    model.heads_ = LinearHeads(
        np.zeros((1, n_clusters, 4), np.float32), np.zeros((1, n_clusters), np.float32)
    )
    model.best_head_ = 0
    model.skipped_ = [SkippedImage(n + i, p, r) for i, (p, r) in enumerate(skipped)]
    for name, value in attributes.items():
        setattr(model, name, value)
    out.mkdir(parents=True, exist_ok=True)
    save(model, out / "model")
    rows = [
        (path, int(c), f"{p:.6g}", (int(c) + 1) % n_clusters if n_clusters > 1 else "")
        for path, c, p in zip(paths, clusters, confidence, strict=True)
    ]
    _write(out / "clusters.csv", ("path", "cluster", "confidence", "second_cluster"), rows)
    _write(out / "skipped.csv", ("path", "reason"), skipped)
    content = {"format": "skscan results", "format_version": 1, "folder": "photos"}
    content |= {"n_images": total, "n_clusters": n_clusters, "seconds": {"total": 1.5}}
    (out / "summary.json").write_text(json.dumps(content | (summary or {})))
    return out


def _write(path: Path, header, rows) -> None:
    with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(header)
        writer.writerows(rows)


def write_photos(folder: Path) -> list[str]:
    """Twelve small pictures in two folders, the same file names in both."""
    paths = []
    for number in range(12):
        path = folder / ("one" if number < 6 else "two") / f"{number % 6}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 16), (20 * number, 100, 255 - 20 * number)).save(path)
        paths.append(str(path))
    return paths
