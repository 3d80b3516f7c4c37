"""What the stages are held against: other libraries, and plain loops written anew.

Each function makes the jobs of one stage: a name and a call without arguments. The first is what
the others are compared with. Jobs of packages that are missing are left out by name.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

Job = Callable[[], object]
N_NEIGHBORS = 20
#: Images whose network is trained, one pass, as the authors' way does many times.
N_TRAINED = 128


def installed(names: dict[str, Job], packages: dict[str, str]) -> tuple[dict[str, Job], list[str]]:
    """Leave out the jobs whose package is missing; name them."""
    missing = [name for name in names if name in packages and find_spec(packages[name]) is None]
    return {name: job for name, job in names.items() if name not in missing}, missing


def neighbors(X: np.ndarray) -> tuple[dict[str, Job], list[str]]:
    """20 nearest neighbours of scaled features."""
    from sklearn.neighbors import NearestNeighbors

    from skscan import NeighborMiner

    def faiss_flat() -> object:
        import faiss

        index = faiss.IndexFlatL2(X.shape[1])
        index.add(X)
        return index.search(X, N_NEIGHBORS + 1)

    def pynndescent() -> object:
        from pynndescent import NNDescent

        return NNDescent(X, n_neighbors=N_NEIGHBORS + 1, random_state=0).neighbor_graph

    jobs: dict[str, Job] = {
        "skscan, exact": lambda: NeighborMiner(N_NEIGHBORS).fit_transform(X),
        "scikit-learn, brute force": lambda: (
            NearestNeighbors(n_neighbors=N_NEIGHBORS, algorithm="brute").fit(X).kneighbors()
        ),
        "faiss-cpu, flat": faiss_flat,
        "pynndescent (approximate)": pynndescent,
    }
    return installed(jobs, {"faiss-cpu, flat": "faiss", "pynndescent (approximate)": "pynndescent"})


def recall_of_pynndescent(X: np.ndarray) -> float:
    """Share of the 20 true neighbours that pynndescent finds with its defaults."""
    from pynndescent import NNDescent
    from sklearn.neighbors import NearestNeighbors

    rows = np.arange(0, len(X), 10)
    true = NearestNeighbors(n_neighbors=N_NEIGHBORS + 1, algorithm="brute").fit(X)
    expected = true.kneighbors(X[rows], return_distance=False)
    found = NNDescent(X, n_neighbors=N_NEIGHBORS + 1, random_state=0).neighbor_graph[0][rows]
    return float(np.mean([np.isin(e, f).mean() for e, f in zip(expected, found, strict=True)]))


def heads(X: np.ndarray, k: int) -> tuple[dict[str, Job], list[str]]:
    """24 linear heads with the SCAN loss, 300 steps of 512; skscan also makes starts and picks."""
    import torch
    from plain_job import N_HEADS, mine, train_head

    from skscan import ClusterTrainer, NeighborMiner

    graph = NeighborMiner(N_NEIGHBORS).fit_transform(X)
    inputs, table = torch.from_numpy(X), torch.from_numpy(mine(X).astype(np.int64))

    def batched() -> object:
        return ClusterTrainer().train(
            X, graph, k, random_state=np.random.RandomState(0), device="cpu"
        )

    jobs: dict[str, Job] = {
        "skscan: starts, 24 heads, choice": batched,
        "plain autograd loop, 24 heads": lambda: [
            train_head(inputs, table, k) for _ in range(N_HEADS)
        ],
    }
    return jobs, []


def sorting(X: np.ndarray, k: int) -> tuple[dict[str, Job], list[str]]:
    """Features to labels, end to end."""
    from skscan import SCANClusterer

    def umap_hdbscan() -> object:
        from sklearn.cluster import HDBSCAN
        from umap import UMAP

        return HDBSCAN(min_cluster_size=50, copy=True).fit_predict(
            UMAP(n_components=10, n_neighbors=30, min_dist=0.0).fit_transform(X)
        )

    def evoc() -> object:
        from evoc import EVoC

        return EVoC().fit_predict(X)

    jobs: dict[str, Job] = {
        "skscan": lambda: SCANClusterer(k, random_state=0).fit(X),
        'skscan, effort="fast"': lambda: SCANClusterer(k, effort="fast", random_state=0).fit(X),
        "UMAP + HDBSCAN": umap_hdbscan,
        "EVoC": evoc,
    }
    return installed(jobs, {"UMAP + HDBSCAN": "umap", "EVoC": "evoc"})


def extraction(paths: list[str]) -> tuple[dict[str, Job], list[str]]:
    """Images to features: with skscan, and with a DataLoader and the eager network."""
    from plain_job import extract

    from skscan import TimmFeatureExtractor

    archive = Path(paths[0][: paths[0].index(".zip") + 4])
    names = [path[len(str(archive)) + 1 :] for path in paths]
    jobs: dict[str, Job] = {
        "skscan": lambda: TimmFeatureExtractor().transform(paths),
        "plain PyTorch": lambda: extract(str(archive), names),
    }
    return jobs, []


def one_pass(paths: list[str], X: np.ndarray, k: int) -> tuple[dict[str, Job], list[str]]:
    """One pass of the heads over features, and of network and head over the images themselves.

    The second is the authors' way in its plainest form: each image and a neighbour are decoded,
    encoded and learned from anew in every pass; of their augmentations it has a mirror image.
    """
    import torch
    from plain_job import Zip, network, train_head
    from torch.utils.data import DataLoader

    archive = Path(paths[0][: paths[0].index(".zip") + 4])
    names = [path[len(str(archive)) + 1 :] for path in paths[: 2 * N_TRAINED]]
    half = np.full(3, 0.5, dtype=np.float32)
    data = Zip(str(archive), names, half, half)
    inputs = torch.from_numpy(X[:N_TRAINED].copy())
    table = torch.randint(N_TRAINED, (N_TRAINED, N_NEIGHBORS))

    model, head = network().train(), torch.nn.Linear(1280, k)
    optimizer = torch.optim.Adam([*model.parameters(), *head.parameters()], lr=1e-4)

    def encode_again() -> None:
        for batch in DataLoader(data, batch_size=64):  # 32 images, and a neighbour of each
            batch = torch.cat([batch, batch.flip(3)])[: len(batch)]
            anchor, other = torch.softmax(head(model(batch)), dim=1).chunk(2)
            mean = anchor.mean(dim=0)
            loss = -(anchor * other).sum(1).log().mean() + 5 * (mean * mean.log()).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    jobs: dict[str, Job] = {
        "a head on features, 300 passes": lambda: train_head(inputs, table, k),
        "network and head on images, 1 pass": encode_again,
    }
    return jobs, []


_TWICE = """
import time
import numpy as np

X = np.load({features!r})
for _ in range(2):
    started = time.perf_counter()
    {call}
    print(time.perf_counter() - started)
"""


def first_calls(X: np.ndarray, k: int) -> dict[str, tuple[float, float]]:
    """Seconds of the first call in a process, imports included, and of the next one."""
    import subprocess
    import sys

    calls = {
        "skscan": f"from skscan import SCANClusterer; SCANClusterer({k}, random_state=0).fit(X)",
        "EVoC": "from evoc import EVoC; EVoC().fit_predict(X)",
    }
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        features = Path(folder, "features.npy")
        np.save(features, X)
        for name, call in calls.items():
            if find_spec(name.lower()) is None:
                continue
            script = _TWICE.format(features=str(features), call=call)
            done = subprocess.run(
                [sys.executable, "-c", script], capture_output=True, text=True, check=True
            )
            first, later = map(float, done.stdout.split())
            found[name] = first, later
    return found
