"""Stages of a fit, tried on rows of generated features."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from skscan._laws import Line
from skscan.calibration import fit_temperature
from skscan.clusterer import SCANClusterer
from skscan.duplicates import near_duplicates
from skscan.exceptions import SkscanWarning
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.neighbors import NeighborMiner
from skscan.networks.heads import LinearHeads
from skscan.planning.job import N_NEIGHBORS, Job
from skscan.scaling import FeatureScaler
from skscan.selection import criteria_of_heads, scan_terms_of_heads
from skscan.training.batched_heads import BatchedHeads, center_heads
from skscan.training.neighbor_labeling import NeighborLabelTrainer
from skscan.training.starts import StartMaker, auto_starts

__all__ = ["SelfLabelling", "Trial", "line", "mixture", "seconds_of"]

SIZES = (4096, 12_288)
"""Rows that stages are tried on: the difference tells what a row costs, the rest what a call does.
"""

MANY_STEPS, FEW_STEPS = 30, 3
MANY_ENTRIES = 2**22


@dataclass(frozen=True)
class SelfLabelling:
    """Seconds of a row whose labels are made in all rounds, and of a step of the head."""

    labelled_row: float
    step: float


class Trial:
    """Tries stages with the numbers of features, clusters and heads of a job.

    Parameters
    ----------
    job : Job
    clock : callable
        Gives seconds.
    """

    def __init__(self, job: Job, clock: Callable[[], float]) -> None:
        self.job, self.clock = job, clock
        self.features = mixture(max(SIZES), job.n_features)
        self.scaler = FeatureScaler()
        self.scaled = scaled = self.scaler.fit_transform(self.features)
        self.graph = {n: NeighborMiner(N_NEIGHBORS).fit_transform(scaled[:n]) for n in SIZES}
        self.labels = np.random.RandomState(0).randint(job.n_clusters, size=len(scaled))
        self.heads = center_heads(scaled, self.labels[:, None], job.n_clusters)

    def scaling(self) -> Line:
        """Return the seconds of fitting a scaler and of what it makes of the rows."""
        return line(lambda n: FeatureScaler().fit_transform(self.features[:n]), self.clock)

    def starts(self) -> Line:
        """Return the seconds of one start of each kind in use, on average."""
        kinds = auto_starts(self.job.n_clusters)[: self.job.n_starts]

        def make(n: int) -> None:
            affinity = symmetric_affinity(neighbor_table(self.graph[n]))
            state = np.random.RandomState(0)
            StartMaker(self.scaled[:n], affinity, self.job.n_clusters, state).make(kinds)

        law = line(make, self.clock, repeats=1)
        return Line(law.constant / len(kinds), law.slope / len(kinds))

    def steps(self) -> tuple[float, float]:
        """Return the seconds of a step that learns labels and of one of the SCAN loss."""
        import torch

        job = self.job
        n_rows = min(job.batch_size, job.n_samples)
        entries = n_rows * job.n_clusters * job.heads_together
        n_steps = FEW_STEPS if entries > MANY_ENTRIES else MANY_STEPS
        rows = np.random.RandomState(0).randint(len(self.scaled), size=n_rows)
        features = torch.from_numpy(self.scaled[rows])
        labels = np.repeat(self.labels[rows, None], job.heads_together, axis=1)
        neighbors = torch.randint(n_rows, (n_rows, N_NEIGHBORS + 1))
        batched = BatchedHeads(center_heads(self.scaled[rows], labels, job.n_clusters))
        generator = torch.Generator()
        weight = np.ones(job.heads_together)
        prior = np.full((job.heads_together, job.n_clusters), 1 / job.n_clusters)

        def learn(n_epochs: int) -> None:
            targets = torch.from_numpy(labels.astype(np.int64))
            batched.fit_labels(
                features,
                targets,
                n_epochs=n_epochs,
                batch_size=n_rows,
                learning_rate=0.01,
                generator=generator,
            )

        def train(n_epochs: int) -> None:
            passes = batched.fit_scan(
                features,
                neighbors,
                weight,
                prior,
                0 * weight,
                n_epochs=n_epochs,
                batch_size=n_rows,
                learning_rate=0.01,
                generator=generator,
            )
            for _ in passes:
                pass

        learn(1)
        train(1)  # the first steps take longer
        return (
            seconds_of(lambda: learn(n_steps), self.clock) / n_steps,
            seconds_of(lambda: train(n_steps), self.clock) / n_steps,
        )

    def selection(self) -> tuple[Line, Line]:
        """Return the seconds of the criteria of one head, and of the loss among them."""

        def judge(n: int) -> None:
            criteria_of_heads(self.heads, self.scaled[:n], neighbor_table(self.graph[n]))

        def lose(n: int) -> None:
            scan_terms_of_heads(self.heads, self.scaled[:n], neighbor_table(self.graph[n]))

        whole, loss = line(judge, self.clock), line(lose, self.clock)
        others = Line(0.0, max(whole.slope - loss.slope, 0.0))
        return others, Line(0.0, loss.slope)

    def self_labelling(self) -> SelfLabelling:
        """Return the seconds of the training of a head on the labels of neighbors."""
        import torch

        graph = self.graph[len(self.scaled)]
        n_jobs = torch.get_num_threads()  # those of the job, which may be larger
        large = self.job.self_label_batch_size * self.job.n_clusters > MANY_ENTRIES
        n_few, n_many = 1, FEW_STEPS if large else MANY_STEPS

        def train(n_steps: int) -> None:
            # one round: further ones are not made where it leaves a cluster empty
            trainer = NeighborLabelTrainer(n_rounds=1, n_steps=n_steps)
            state = np.random.RandomState(0)
            trainer.train(self.scaled, graph, self.heads, 0, random_state=state, n_jobs=n_jobs)

        few, many = (seconds_of(partial(train, n), self.clock) for n in (n_few, n_many))
        step = max(many - few, 0.1 * many) / (n_many - n_few)
        labelled = max(few - n_few * step, 0.0) * NeighborLabelTrainer().n_rounds
        return SelfLabelling(labelled / len(self.scaled), step)

    def evidence(self) -> tuple[Line, Line]:
        """Return the seconds of all evidence but the agreement of heads, and of that agreement.

        The first is of a number of rows; the second of as many as `fit_temperature` looks at.
        """

        def agree(n: int) -> None:
            fit_temperature(self._all_heads(), 0, self.scaled[:n], neighbor_table(self.graph[n]))

        whole, agreement = line(self.fitted, self.clock), line(agree, self.clock)
        return Line(0.0, max(whole.slope - agreement.slope, 0.1 * whole.slope)), agreement

    def fitted(self, n: int) -> SCANClusterer:
        """Return a clusterer with the evidence on some rows that `fit` gathers."""
        fitted = SCANClusterer(self.job.n_clusters)
        fitted.feature_scaler_, fitted.heads_, fitted.best_head_ = self.scaler, self._all_heads(), 0
        fitted.neighbors_ = self.graph[n]
        fitted.near_duplicates_ = near_duplicates(fitted.neighbors_)
        read = np.ones(n, dtype=bool)
        with warnings.catch_warnings():  # of empty clusters
            warnings.simplefilter("ignore", SkscanWarning)
            fitted._keep_predictions(self.scaled[:n], read)
        fitted._keep_outliers(self.scaled[:n], self.features[:n], self.graph[n], read)
        return fitted

    def _all_heads(self) -> LinearHeads:
        """Return as many heads as the job has; what they take depends on their number alone."""
        n_heads = self.job.n_heads
        weights, biases = self.heads.weights, self.heads.biases
        return LinearHeads(np.repeat(weights, n_heads, axis=0), np.repeat(biases, n_heads, axis=0))


def mixture(n_rows: int, n_features: int) -> NDArray[np.float32]:
    """Make features with groups in few dimensions, as networks give them."""
    rng = np.random.default_rng(0)
    n_latent = min(96, n_features)
    centers = rng.standard_normal((200, n_latent), dtype=np.float32)
    latent = centers[rng.integers(200, size=n_rows)]
    latent = latent + rng.standard_normal(latent.shape, dtype=np.float32)
    axes = rng.standard_normal((n_latent, n_features), dtype=np.float32)
    return latent @ axes + rng.standard_normal((n_rows, n_features), dtype=np.float32)


def seconds_of(run: Callable[[], object], clock: Callable[[], float], repeats: int = 2) -> float:
    """Return the seconds of the quickest of several runs."""
    taken = []
    for _ in range(repeats):
        start = clock()
        run()
        taken.append(clock() - start)
    return min(taken)


def line(run: Callable[[int], object], clock: Callable[[], float], repeats: int = 2) -> Line:
    """Return the law of the seconds that a run takes on a number of rows, from two numbers."""
    small, large = (seconds_of(partial(run, n), clock, repeats) for n in SIZES)
    slope = max(large - small, 0.1 * large) / (SIZES[1] - SIZES[0])
    return Line(max(small - slope * SIZES[0], 0.0), slope)
