"""One fit on generated features, with what each stage takes written down as it ends."""

from __future__ import annotations

import argparse
import json
import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from million_parts.generated import N_FEATURES, write_features

SAMPLING_SECONDS = 0.2


class Watch:
    """Wall seconds, processor seconds and memory of stages, a line for each in a file.

    Parameters
    ----------
    path : Path
        Lines are added to it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._peaks: list[int] = []
        threading.Thread(target=self._sample, daemon=True).start()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Watch a stage; stages may lie within each other."""
        place = len(self._peaks)
        self._peaks.append(own_memory())
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        peak = max(self._peaks[place], own_memory())
        del self._peaks[place:]
        entry = {
            "stage": name,
            "wall_s": round(time.perf_counter() - wall, 2),
            "cpu_s": round(time.process_time() - cpu, 2),
            "peak_own_gib": round(peak / 2**30, 3),
            "peak_resident_gib": round(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3
            ),
            "load": round(os.getloadavg()[0], 1),
        }
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        print(entry, flush=True)

    def _sample(self) -> None:
        while True:
            now = own_memory()
            self._peaks[:] = [max(peak, now) for peak in self._peaks]
            time.sleep(SAMPLING_SECONDS)


def own_memory() -> int:
    """Bytes of the process in memory that are not pages of files."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/self/status has no RssAnon; this benchmark needs Linux")


def fit(
    folder: Path, n_samples: int, n_clusters: int, n_heads: int, n_latent: int, seed: int
) -> dict:
    """Generate, fit, score; return the figures."""
    watch = Watch(folder / "stages.jsonl")
    if not (folder / "features.npy").exists():
        with watch.stage("generate"):
            write_features(folder, n_samples, n_clusters, n_latent)
    from million_parts.noted_miner import NotedMiner
    from skscan import ClusterTrainer, SCANClusterer
    from skscan.metrics import clustering_accuracy
    from skscan.training.steps import KeptSteps

    class Watched(SCANClusterer):
        """A clusterer whose stages are written down."""

        @contextmanager
        def _stage(self, name: str) -> Iterator[None]:
            with watch.stage(name), super()._stage(name):
                yield

    run = KeptSteps.run

    def watched_run(self: KeptSteps, name: str, *arguments: object) -> object:
        with watch.stage(f"clustering/{name}"):
            return run(self, name, *arguments)

    KeptSteps.run = watched_run
    features = np.load(folder / "features.npy", mmap_mode="r")
    clusterer = Watched(
        n_clusters,
        cluster_trainer=ClusterTrainer(n_heads=n_heads),
        self_label_trainer="skip",
        neighbor_miner=NotedMiner(20, note=str(folder / "mining.json")),
        memory=str(folder / "memory"),
        random_state=seed,
        verbose=1,
    )
    with watch.stage("fit"):
        clusterer.fit(features)
    classes = np.load(folder / "classes.npy")
    near = clusterer.neighbors_[:50_000]
    rows = np.repeat(np.arange(near.shape[0]), np.diff(near.indptr))
    others = rows != near.indices
    same = classes[rows[others]] == classes[near.indices[others]]
    np.save(folder / "labels.npy", clusterer.labels_)
    Z = clusterer.transform(features)
    return {
        "n_samples": n_samples,
        "n_clusters": n_clusters,
        "n_heads": n_heads,
        "n_latent": n_latent,
        "accuracy": clustering_accuracy(classes, clusterer.labels_),
        "accuracy_of_heads": [
            clustering_accuracy(classes, clusterer.heads_.predict(Z, i))
            for i in range(min(len(clusterer.heads_), 3))
        ],
        **json.loads((folder / "mining.json").read_text()),
        "neighbor_purity": float(same.mean()),
        "mean_confidence": float(clusterer.probabilities_.max(axis=1).mean()),
        "temperature": clusterer.temperature_,
        "n_outliers": len(clusterer.outlier_indices_),
        "n_near_duplicates": len(clusterer.near_duplicates_),
        "probabilities_on_disk": isinstance(clusterer.probabilities_, np.memmap),
    }


def compare(folder: Path, n_clusters: int, seed: int) -> dict:
    """Score k-means by minibatches on the same scaled features."""
    from sklearn.cluster import MiniBatchKMeans

    from skscan import FeatureScaler
    from skscan.metrics import clustering_accuracy

    watch = Watch(folder / "stages.jsonl")
    features = np.load(folder / "features.npy", mmap_mode="r")
    scaled = FeatureScaler(random_state=seed).fit_transform(features)
    kmeans = MiniBatchKMeans(
        n_clusters, batch_size=10 * n_clusters, init="random", n_init=1, random_state=seed
    )
    with watch.stage("minibatch k-means"):
        labels = kmeans.fit(scaled).labels_
    classes = np.load(folder / "classes.npy")
    return {"accuracy_of_minibatch_kmeans": clustering_accuracy(classes, labels)}


def foretell(folder: Path, n_samples: int, n_clusters: int, n_heads: int) -> dict:
    """Plan the fit, in processor seconds."""
    from skscan.planning import measure_machine, plan_fit
    from skscan.planning.job import Job

    job = Job(n_samples, N_FEATURES, n_clusters, n_heads)
    features = np.load(folder / "features.npy", mmap_mode="r")
    plan = plan_fit(job, measure_machine(job, features=features, clock=time.process_time))
    return {
        "n_samples": n_samples,
        "stages": {
            stage.name: {"seconds": stage.seconds, "memory_gib": stage.memory_bytes / 2**30}
            for stage in plan.stages
        },
        "searches_approximately": plan.searches_approximately,
        "advice": plan.advice,
    }


def main() -> None:
    """Run one fit or comparison under a limit; write its figures to a file of that name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["fit", "plan", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, required=True)
    parser.add_argument("--clusters", type=int, required=True)
    parser.add_argument("--heads", type=int, default=10)
    parser.add_argument("--latent", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-gib", type=float, default=6)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    limit = int(options.limit_gib * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if options.what == "fit":
        sizes = options.n, options.clusters, options.heads
        found = fit(options.folder, *sizes, options.latent, options.seed)
    elif options.what == "plan":
        found = foretell(options.folder, options.n, options.clusters, options.heads)
    else:
        found = compare(options.folder, options.clusters, options.seed)
    found["limit_gib"] = options.limit_gib
    print(found)
    (options.folder / f"{options.what}.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
