"""The methods that are compared, each with the settings that its authors recommend."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from quality_parts.method import Method, MethodUnavailableError, Outcome, Task

__all__ = ["METHODS", "OURS"]

#: The method that the others are compared with.
OURS = "skscan"


def skscan_clusterer(task: Task, **trainer: Any) -> Outcome:
    """Run SCANClusterer with its defaults, or as a method of others with these parameters.

    The third stage of the latter is the paper's, not our own.
    """
    from skscan import ClusterTrainer, SCANClusterer, SelfLabelTrainer

    stages: dict[str, Any] = {}
    if trainer:
        stages = {
            "cluster_trainer": ClusterTrainer(**trainer),
            "self_label_trainer": SelfLabelTrainer(),
        }
    clusterer = SCANClusterer(task.n_clusters, **stages, random_state=task.seed).fit(task.X)

    def pool() -> list[np.ndarray]:
        from pool import labels_of_heads

        return labels_of_heads(clusterer, clusterer.transform(task.X))

    return Outcome(clusterer.labels_, pool=pool)


def prepare_skscan(objective: str | None = None) -> None:
    """Import what a fit on features needs, and see whether the objective is there."""
    import torch  # noqa: F401

    from skscan import ClusterTrainer, SCANClusterer  # noqa: F401

    if objective is not None and "objective" not in ClusterTrainer().get_params():
        raise MethodUnavailableError(f"this skscan has no ClusterTrainer(objective={objective!r})")


def scikit_learn(
    task: Task, estimator: str, number: str | None = "n_clusters", seeded: bool = True, **more: Any
) -> Outcome:
    """Run a clusterer of scikit-learn, named as "module.Class"."""
    module, name = estimator.rsplit(".", 1)
    if number is not None:
        more[number] = task.n_clusters
    if seeded:
        more["random_state"] = task.seed
    return Outcome(getattr(import_module(f"sklearn.{module}"), name)(**more).fit_predict(task.Z))


def density_settings(task: Task) -> dict[str, int]:
    """Return HDBSCAN's parameters of UMAP's tutorial on clustering, in proportion.

    There the smallest cluster is 500 of 70,000 images of ten classes: a fourteenth of the mean
    size of a class.
    """
    smallest = max(round(len(task.Z) / (14 * task.n_clusters)), 5)
    return {"min_samples": min(10, smallest), "min_cluster_size": smallest}


def hdbscan(task: Task) -> Outcome:
    """Run HDBSCAN on the features."""
    from sklearn.cluster import HDBSCAN

    return Outcome(HDBSCAN(**density_settings(task), copy=True).fit_predict(task.Z))


def umap_embedding(task: Task) -> np.ndarray:
    """Embed with UMAP as its documentation sets it for clustering."""
    from umap import UMAP

    umap = UMAP(n_neighbors=30, min_dist=0.0, n_components=10, random_state=task.seed, n_jobs=1)
    return umap.fit_transform(task.Z)


def umap_kmeans(task: Task) -> Outcome:
    """Run UMAP, then k-means with ten starts."""
    from sklearn.cluster import KMeans

    kmeans = KMeans(task.n_clusters, n_init=10, random_state=task.seed)
    return Outcome(kmeans.fit_predict(umap_embedding(task)))


def umap_hdbscan(task: Task) -> Outcome:
    """Run UMAP, then HDBSCAN."""
    from sklearn.cluster import HDBSCAN

    embedding = umap_embedding(task)
    labels = HDBSCAN(**density_settings(task), copy=True).fit_predict(embedding)
    return Outcome(labels, space=embedding)


def evoc(task: Task, given: bool) -> Outcome:
    """Run EVoC, with or without the number of clusters, on what it is made for: raw embeddings."""
    from evoc import EVoC

    number = {"approx_n_clusters": task.n_clusters} if given else {}
    return Outcome(EVoC(random_state=task.seed, **number).fit_predict(task.X), space=task.X)


def clustpy(task: Task, name: str) -> Outcome:
    """Run a deep method of ClustPy with its defaults, on the CPU."""
    method = getattr(import_module("clustpy.deep"), name)
    clusterer = method(task.n_clusters, device="cpu", random_state=task.seed)
    return Outcome(clusterer.fit_predict(task.Z))


def n2d(task: Task) -> Outcome:
    """Run ClustPy's N2D with the manifold of its paper: t-SNE cannot have k dimensions."""
    from clustpy.deep import N2D
    from umap import UMAP

    clusterer = N2D(
        task.n_clusters,
        manifold_class=UMAP,
        manifold_params={
            "n_components": task.n_clusters,
            "n_neighbors": 20,
            "min_dist": 0.0,
            "random_state": task.seed,
        },
        device="cpu",
        random_state=task.seed,
    )
    return Outcome(clusterer.fit_predict(task.Z))


def _imports(*modules: str) -> Any:
    return partial(_import_all, modules)


def _import_all(modules: tuple[str, ...]) -> None:
    for module in modules:
        import_module(module)


def _objective(name: str, schedule: str) -> Method:
    return Method(
        partial(skscan_clusterer, objective=name),
        f'ClusterTrainer(objective="{name}"), its defaults: {schedule}',
        prepare=partial(prepare_skscan, name),
        package="skscan",
        cost="heavy",
    )


def _clustpy(name: str) -> Method:
    return Method(
        partial(clustpy, name=name),
        "defaults: an auto-encoder of its own, trained on the features",
        prepare=_imports("clustpy.deep"),
        package="clustpy",
        cost="heaviest",
    )


_UMAP = "UMAP(n_neighbors=30, min_dist=0, n_components=10)"
_DENSITY = "smallest cluster a fourteenth of n / k, min_samples=10"
_BATTERY = ("sklearn.cluster", "sklearn.mixture")

#: Every method by name.
METHODS: dict[str, Method] = {
    OURS: Method(
        skscan_clusterer,
        "SCANClusterer, defaults; scales the features itself",
        prepare=prepare_skscan,
        package="skscan",
    ),
    "plain SCAN": Method(
        partial(
            skscan_clusterer,
            starts=("random",),
            class_prior="uniform",
            n_heads=10,
            n_epochs=50,
            batch_size=128,
            selection="scan_loss",
        ),
        "ten linear heads from random starts, balanced prior, 50 passes, the lowest loss is kept; "
        "then the paper's self-labelling on frozen features, guarded",
        prepare=prepare_skscan,
        package="skscan",
    ),
    "k-means": Method(
        partial(scikit_learn, estimator="cluster.KMeans", n_init=10),
        "ten starts",
        prepare=_imports(*_BATTERY),
    ),
    "Gaussian mixture": Method(
        partial(
            scikit_learn, estimator="mixture.GaussianMixture", number="n_components", reg_covar=1e-3
        ),
        "full covariances, reg_covar=0.001",
        prepare=_imports(*_BATTERY),
    ),
    "spectral": Method(
        partial(
            scikit_learn,
            estimator="cluster.SpectralClustering",
            affinity="nearest_neighbors",
            n_neighbors=20,
        ),
        "20 nearest neighbours",
        prepare=_imports(*_BATTERY),
        max_samples=20_000,
    ),
    "Ward": Method(
        partial(scikit_learn, estimator="cluster.AgglomerativeClustering", seeded=False),
        "agglomerative clustering, Ward's criterion",
        prepare=_imports(*_BATTERY),
        seeded=False,
        max_samples=20_000,
    ),
    "HDBSCAN": Method(
        hdbscan, _DENSITY, prepare=_imports(*_BATTERY), seeded=False, own_number=True
    ),
    "EVoC": Method(
        partial(evoc, given=True),
        "approx_n_clusters=k; features not scaled, angles between them count",
        prepare=_imports("evoc"),
        package="evoc",
        compiles=True,
    ),
    "EVoC (own k)": Method(
        partial(evoc, given=False),
        "defaults; features not scaled",
        prepare=_imports("evoc"),
        package="evoc",
        compiles=True,
        own_number=True,
    ),
    "UMAP + k-means": Method(
        umap_kmeans,
        f"{_UMAP}, ten starts",
        prepare=_imports("umap", *_BATTERY),
        package="umap-learn",
        cost="medium",
        compiles=True,
    ),
    "UMAP + HDBSCAN": Method(
        umap_hdbscan,
        f"{_UMAP}, {_DENSITY}",
        prepare=_imports("umap", *_BATTERY),
        package="umap-learn",
        cost="medium",
        compiles=True,
        own_number=True,
    ),
    "TEMI": _objective("temi", "a tenth of the paper's steps, at a higher rate"),
    "TURTLE": _objective("turtle", "at most 600 steps for the paper's 6,000"),
    **{name: _clustpy(name) for name in ("DEC", "DCN", "IDEC", "DKM", "ACeDeC", "DipEncoder")},
    "N2D": Method(
        n2d,
        "auto-encoder, then UMAP(n_neighbors=20, min_dist=0, n_components=k), Gaussian mixture",
        prepare=_imports("clustpy.deep", "umap"),
        package="clustpy",
        cost="heaviest",
    ),
}
