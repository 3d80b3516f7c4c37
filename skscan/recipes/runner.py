"""The stages of a recipe, cell by cell: a cell is a stage, or a stage with a seed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.preprocessing import normalize

from skscan.evaluation import evaluate_split
from skscan.metrics import neighbor_purity
from skscan.neighbors import NeighborMiner
from skscan.recipes.baselines import few_labels_scores, k_means_scores
from skscan.recipes.data import Images, Split
from skscan.recipes.plan import Plan
from skscan.recipes.recipe import STAGES
from skscan.recipes.store import Store, cell_name
from skscan.recipes.trainers import (
    Clustering,
    Machine,
    load_pretext,
    train_clusters,
    train_pretext,
    train_self_label,
)

__all__ = ["Reproduction"]

_NEEDS = {
    "pretext": (),
    "mining": ("pretext",),
    "scan": ("pretext", "mining"),
    "self-label": ("pretext", "mining", "scan"),
    "overcluster": ("pretext", "mining"),
    "few-labels": ("pretext",),
}
_ONCE = ("pretext", "mining")


class _Features(NamedTuple):
    """Features of a split, and which images they belong to: those that can be read."""

    values: NDArray[np.float32]
    rows: NDArray[np.integer]


class Reproduction:
    """Runs the cells of a plan that are not finished.

    Parameters
    ----------
    plan : Plan
    store : Store
        Entered.
    n_seeds : int
    weights, machine, report
        See `skscan.recipes.reproduce`.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        n_seeds: int,
        weights: str | os.PathLike | None,
        machine: Machine,
        report: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.store = store
        self.n_seeds = n_seeds
        self._weights = weights
        self._machine = machine
        self._report = report

    def run(self, stage: str | None = None) -> None:
        """Run a stage and what it needs, or all stages."""
        wanted = self.plan.recipe.stages if stage is None else (*_NEEDS[stage], stage)
        for name, seed in self._cells(wanted):
            self._run_cell(name, seed)

    def _cells(self, wanted: tuple[str, ...]) -> Iterator[tuple[str, int | None]]:
        """Stages that run once, then seed by seed the others: one seed is whole before the next."""
        in_order = [name for name in STAGES if name in wanted]
        yield from ((name, None) for name in in_order if name in _ONCE)
        for seed in range(self.n_seeds):
            yield from ((name, seed) for name in in_order if name not in _ONCE)

    def _run_cell(self, stage: str, seed: int | None) -> None:
        name = cell_name(stage, seed)
        if name in self.store.cells:
            return
        self._report(f"{name} ...")
        begin = time.perf_counter()
        run: Callable[[int], tuple[dict[str, Any], Any]] = {
            "pretext": self._run_pretext,
            "mining": self._run_mining,
            "scan": self._run_scan,
            "self-label": self._run_self_label,
            "overcluster": self._run_overcluster,
            "few-labels": self._run_few_labels,
        }[stage]
        result, model = run(seed or 0)
        seconds = time.perf_counter() - begin
        result = {"stage": stage, **({} if seed is None else {"seed": seed}), **result}
        self.store.finish(name, {**result, "seconds": round(seconds, 3)}, model)
        self._report(f"{name}: {_brief(result)} ({seconds:.0f} s)")

    # ---------------------------------------------------------------- stages

    def _run_pretext(self, seed: int) -> tuple[dict[str, Any], Any]:
        stage = self.plan.recipe.pretext
        history: list[dict[str, Any]] = []
        if self._weights is not None:
            any_width = self.plan.scale < 1
            extractor = load_pretext(stage, self._weights, self._machine, any_width)
        else:
            extractor, history = train_pretext(
                stage,
                self.plan.data.pretext_images,
                seed=seed,
                checkpoint_dir=self.store.checkpoint_dir("pretext"),
                machine=self._machine,
            )
        self._extractor = extractor
        train, test = self._train_features, self._test_features
        y_test = self.plan.data.test.labels[test.rows]
        scores = k_means_scores(train.values, test.values, y_test, self.plan.n_clusters, seed)
        result = {"scores": scores, **_training(history)}
        return result, extractor

    def _run_mining(self, _: int) -> tuple[dict[str, Any], Any]:
        stage, data = self.plan.recipe.mining, self.plan.data
        train, test = self._train_features, self._test_features
        within_test = NeighborMiner(
            stage.n_neighbors_test, metric="cosine", n_jobs=self._machine.n_jobs
        )
        scores = {
            "purity_train": neighbor_purity(self._graph, data.train.labels[train.rows]),
            "purity_test": within_test.fit(test.values).purity(data.test.labels[test.rows]),
        }
        return {"scores": scores}, None

    def _run_scan(self, seed: int) -> tuple[dict[str, Any], Any]:
        clustering = self._cluster(self.plan.n_clusters, seed, cell_name("scan", seed))
        return self._evaluate(clustering, seed), clustering.model()

    def _run_self_label(self, seed: int) -> tuple[dict[str, Any], Any]:
        model = self.store.load_model(cell_name("scan", seed))
        assert model is not None  # the scan cell comes before
        first = Clustering.from_model(model, self._machine)
        clustering = self._self_label(first, seed, cell_name("self-label", seed))
        return self._evaluate(clustering, seed), clustering.model()

    def _run_overcluster(self, seed: int) -> tuple[dict[str, Any], Any]:
        stage, name = self.plan.recipe.overcluster, cell_name("overcluster", seed)
        assert stage is not None
        first = self._cluster(stage.factor * self.plan.n_clusters, seed, name)
        clustering = self._self_label(first, seed, name)
        result = self._evaluate(clustering, seed, match="majority")
        # the one-to-one match leaves half of the clusters without a class: no figure of the paper
        for score in ("accuracy", "top_k_accuracy"):
            result["scores"].pop(score)
        return {**result, "scan": _training(first.history)}, clustering.model()

    def _run_few_labels(self, seed: int) -> tuple[dict[str, Any], Any]:
        stage, data = self.plan.recipe.few_labels, self.plan.data
        assert stage is not None
        train, test = self._train_features, self._test_features
        result = few_labels_scores(
            train.values,
            data.train.labels[train.rows],
            test.values,
            data.test.labels[test.rows],
            stage.share,
            np.random.RandomState(seed),
        )
        return result, None

    # ------------------------------------------------- what several stages need

    @cached_property
    def _extractor(self) -> Any:
        extractor = self.store.load_model("pretext")
        assert extractor is not None  # the pretext cell comes first
        return extractor.set_params(device=self._machine.device, n_jobs=self._machine.n_jobs)

    @cached_property
    def _train_features(self) -> _Features:
        return _extract(self._extractor, self.plan.data.train.images)

    @cached_property
    def _test_features(self) -> _Features:
        return _extract(self._extractor, self.plan.data.test.images)

    @cached_property
    def _graph(self) -> csr_matrix:
        stage = self.plan.recipe.mining
        miner = self._miner(stage.n_neighbors)
        graph = miner.fit_transform(self._train_features.values)
        return graph if stage.self_included else miner.kneighbors_graph()

    def _miner(self, n_neighbors: int) -> NeighborMiner:
        machine = self._machine
        return NeighborMiner(n_neighbors, metric="cosine", backend="exact", n_jobs=machine.n_jobs)

    def _cluster(self, n_clusters: int, seed: int, name: str) -> Clustering:
        stage, data = self.plan.recipe.scan, self.plan.data
        return train_clusters(
            stage,
            self._extractor,
            data.train.images,
            self._train_features.values,
            self._graph,
            n_clusters,
            validation_images=data.test.images if stage.select_on == "test" else None,
            seed=seed,
            checkpoint_dir=self.store.checkpoint_dir(name),
            machine=self._machine,
        )

    def _self_label(self, clustering: Clustering, seed: int, name: str) -> Clustering:
        stage = self.plan.recipe.self_label
        assert stage is not None
        return train_self_label(
            stage,
            clustering,
            self.plan.data.train.images,
            _extract(clustering.extractor, self.plan.data.train.images, unit=False).values,
            self._graph,
            seed=seed,
            checkpoint_dir=self.store.checkpoint_dir(name),
            machine=self._machine,
        )

    def _evaluate(
        self, clustering: Clustering, seed: int, match: str = "one-to-one"
    ) -> dict[str, Any]:
        """Score the clusters of the test split, and k-means on the same features."""
        data, extractor = self.plan.data, clustering.extractor
        train = _extract(extractor, data.train.images, unit=False)
        test = _extract(extractor, data.test.images, unit=False)
        y_test = data.test.labels[test.rows]
        probabilities = clustering.heads.predict_proba(test.values, clustering.best_head)
        evaluation = evaluate_split(y_test, probabilities, test.values, match=match)
        assert evaluation.prototypes is not None
        prototypes = [_name(data.test, test.rows, row) for row in evaluation.prototypes]
        return {
            "n_test": evaluation.n_samples,
            "n_clusters": evaluation.n_clusters,
            "n_clusters_used": len(np.unique(probabilities.argmax(axis=1))),
            "k": evaluation.k,
            "scores": evaluation.scores(),
            "k_means_scores": k_means_scores(
                normalize(train.values),
                normalize(test.values),
                y_test,
                evaluation.n_clusters,
                seed,
            ),
            "class_of_cluster": evaluation.class_of_cluster,
            "confusion": evaluation.confusion.round(4),
            "prototypes": prototypes,
            **clustering.remarks,
            **_training(clustering.history),
        }


def _extract(extractor: Any, images: Images, unit: bool = True) -> _Features:
    """Compute features of the images that can be read, at length 1 or as they are."""
    features = extractor.transform(images)
    rows = np.flatnonzero(np.isfinite(features).all(axis=1))
    values = features if len(rows) == len(features) else features[rows]
    return _Features(normalize(values) if unit else values, rows)


def _name(split: Split, rows: NDArray[np.integer], row: int) -> Any:
    """Path of an image, or its number where images are an array; None for no image."""
    if row < 0:
        return None
    number = int(rows[row])
    return split.images[number] if isinstance(split.images, list) else number


def _training(history: list[dict[str, Any]]) -> dict[str, Any]:
    """How training went: epochs with their losses, and the number of optimiser steps."""
    return {"n_steps": sum(int(entry.get("steps", 0)) for entry in history), "history": history}


def _brief(result: dict[str, Any]) -> str:
    """Give the most telling scores of a cell in one line."""
    titles = {
        "accuracy": "ACC",
        "many_to_one_accuracy": "ACC (majority)",
        "nmi": "NMI",
        "ari": "ARI",
        "purity_train": "same class, train",
        "purity_test": "same class, test",
    }
    scores = ", ".join(
        f"{title} {100 * float(np.mean(result['scores'][score])):.1f}"
        for score, title in titles.items()
        if score in result["scores"]
    )
    return scores if result.get("accepted", True) else f"undone; {scores}"
