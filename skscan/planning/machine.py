"""How quick this machine is at the stages of a fit, from seconds of trying them on little data."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skscan._blocks import row_blocks
from skscan._laws import Line
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.calibration import ambiguous_rows, calibrated
from skscan.duplicates import near_duplicates
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.neighbors import EXACT_LIMIT, NeighborMiner
from skscan.outliers import OutlierScorer
from skscan.planning.job import N_NEIGHBORS, Job
from skscan.planning.mining import (
    APPROXIMATE_ROWS,
    EXACT_ROWS,
    ApproximateMining,
    ExactMining,
    try_approximate_mining,
    try_exact_mining,
)
from skscan.scaling import FeatureScaler
from skscan.selection import criteria_of_heads, scan_terms_of_heads
from skscan.training.batched_heads import BatchedHeads, center_heads
from skscan.training.starts import StartMaker, auto_starts

__all__ = ["Machine", "measure_machine"]

SIZES = (4096, 12_288)
"""Rows that stages are tried on: the difference tells what a row costs, the rest what a call does.
"""

CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
DISK_BYTES = 2**27
N_IMAGES = 64
MANY_STEPS, FEW_STEPS = 30, 3
MANY_ENTRIES = 2**22


@dataclass(frozen=True)
class Machine:
    """What was measured, in seconds.

    Parameters
    ----------
    scaling, results : Line
        Of a number of rows.
    exact_mining : ExactMining
    approximate_mining : ApproximateMining or None
        None where it is not installed, or so few samples are searched exactly.
    starts : Line
        Of one start, of the rows that it is made on.
    label_step, head_step : float
        Of a group of heads.
    selection, loss : Line
        Of one head, of a number of rows: of all criteria but the loss, and of the loss.
    image : float
        Of an image through decoding and network, of JPEG files of 320 x 240 pixels: larger ones
        take longer to decode. NaN if it was not asked for.
    disk_byte : float
        Written to the folder for temporary files.
    memory_bytes, disk_bytes : int
        Of the machine, or of the container, in all; free in the folder for temporary files.
    """

    scaling: Line
    exact_mining: ExactMining
    approximate_mining: ApproximateMining | None
    starts: Line
    label_step: float
    head_step: float
    selection: Line
    loss: Line
    results: Line
    image: float
    disk_byte: float
    memory_bytes: int
    disk_bytes: int


def measure_machine(
    job: Job,
    *,
    images: bool = False,
    features: NDArray[np.float32] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Machine:
    """Try each stage of a plan on little data.

    Parameters
    ----------
    job : Job
        What is planned: its numbers of features, clusters and heads are those of the trials.
    images : bool, default=False
        Whether to measure the extraction with the embedded backbone too, on generated JPEG files.
    features : ndarray of shape (n_rows, n_features), default=None
        Features like those of the job, 40,000 rows at least, for the trial of mining: how long an
        approximate search takes depends on them. None generates some with clear groups, as those
        of trained networks have.
    clock : callable, default=time.perf_counter
        Gives seconds; ``time.process_time`` adds up those of all processors, whatever else runs.

    Returns
    -------
    machine : Machine
    """
    generated = _mixture(max(SIZES), job.n_features)
    scaler = FeatureScaler()
    scaling = _line(lambda n: scaler.fit_transform(generated[:n]), clock)
    trial = _Trial(scaler.fit_transform(generated), job, clock)
    like_the_job = np.broadcast_to(np.float32(0), (job.n_samples, job.n_components))
    with limit_threads(suitable_n_jobs(None, like_the_job)):
        label_step, head_step = trial.steps()
        starts = trial.starts()
        selection, loss = trial.selection()
    exact_mining, approximate_mining = _mining(job, features, clock)
    return Machine(
        scaling=scaling,
        exact_mining=exact_mining,
        approximate_mining=approximate_mining,
        starts=starts,
        label_step=label_step,
        head_step=head_step,
        selection=selection,
        loss=loss,
        results=trial.results(),
        image=_image_seconds(clock) if images else float("nan"),
        disk_byte=_disk_seconds() / DISK_BYTES,
        memory_bytes=_memory_bytes(),
        disk_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
    )


class _Trial:
    """Stages after the scaling, on rows of scaled features."""

    def __init__(self, scaled: NDArray[np.float32], job: Job, clock: Callable[[], float]) -> None:
        self.scaled, self.job, self.clock = scaled, job, clock
        self.graph = {n: NeighborMiner(N_NEIGHBORS).fit_transform(scaled[:n]) for n in SIZES}
        self.labels = np.random.RandomState(0).randint(job.n_clusters, size=len(scaled))
        self.heads = center_heads(scaled, self.labels[:, None], job.n_clusters)

    def starts(self) -> Line:
        """Return the seconds of one start of each kind in use, on average."""
        kinds = auto_starts(self.job.n_clusters)[: self.job.n_starts]

        def make(n: int) -> None:
            affinity = symmetric_affinity(neighbor_table(self.graph[n]))
            state = np.random.RandomState(0)
            StartMaker(self.scaled[:n], affinity, self.job.n_clusters, state).make(kinds)

        line = _line(make, self.clock, repeats=1)
        return Line(line.constant / len(kinds), line.slope / len(kinds))

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
            _seconds(lambda: learn(n_steps), self.clock) / n_steps,
            _seconds(lambda: train(n_steps), self.clock) / n_steps,
        )

    def selection(self) -> tuple[Line, Line]:
        """Return the seconds of the criteria of one head, and of the loss among them."""

        def judge(n: int) -> None:
            criteria_of_heads(self.heads, self.scaled[:n], neighbor_table(self.graph[n]))

        def lose(n: int) -> None:
            scan_terms_of_heads(self.heads, self.scaled[:n], neighbor_table(self.graph[n]))

        whole, loss = _line(judge, self.clock), _line(lose, self.clock)
        others = Line(0.0, max(whole.slope - loss.slope, 0.0))
        return others, Line(0.0, loss.slope)

    def results(self) -> Line:
        """Return the seconds of predictions, near-duplicates and outliers."""

        def keep(n: int) -> None:
            Z = self.scaled[:n]
            self.heads.predict_with_confidence(Z)
            probabilities = np.empty((n, self.heads.n_clusters), dtype=np.float32)
            for rows in row_blocks(*probabilities.shape):
                probabilities[rows] = calibrated(self.heads.logits(Z[rows]), 1.0)
            probabilities.argmax(axis=1)
            ambiguous_rows(probabilities)
            near_duplicates(self.graph[n])
            OutlierScorer.fit(Z, np.zeros(n), self.graph[n])

        return _line(keep, self.clock)


def _mining(
    job: Job, features: NDArray[np.float32] | None, clock: Callable[[], float]
) -> tuple[ExactMining, ApproximateMining | None]:
    approximate = job.n_samples > EXACT_LIMIT
    n_rows = max(*EXACT_ROWS, *(APPROXIMATE_ROWS if approximate else ()))
    if features is None:
        features = _mixture(n_rows, job.n_features)
    scaled = FeatureScaler().fit_transform(features[:n_rows])
    exact = try_exact_mining(scaled, N_NEIGHBORS, partial(_seconds, clock=clock))
    if not approximate:
        return exact, None
    once = partial(_seconds, clock=clock, repeats=1)
    return exact, try_approximate_mining(scaled, N_NEIGHBORS, once)


def _image_seconds(clock: Callable[[], float]) -> float:
    """Return the seconds of an image from its file to its features."""
    from skscan.benchmarking import generated_images
    from skscan.extractors.timm import TimmFeatureExtractor

    with generated_images(N_IMAGES) as paths:
        extractor = TimmFeatureExtractor().fit(paths[:8])
        extractor.transform(paths[:8])  # loads the network
        return _seconds(lambda: extractor.transform(paths), clock) / N_IMAGES


def _memory_bytes() -> int:
    """Return the memory of the machine, or of the container where that has less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # not there, or "max"
            limits.append(int(Path(path).read_text()))
    return min(limits)


def _disk_seconds() -> float:
    block = np.random.RandomState(0).bytes(2**20)
    with tempfile.TemporaryFile() as file:
        start = time.perf_counter()
        for _ in range(DISK_BYTES // len(block)):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        return time.perf_counter() - start


def _mixture(n_rows: int, n_features: int) -> NDArray[np.float32]:
    """Make features with groups in few dimensions, as networks give them."""
    rng = np.random.default_rng(0)
    n_latent = min(96, n_features)
    centers = rng.standard_normal((200, n_latent), dtype=np.float32)
    latent = centers[rng.integers(200, size=n_rows)]
    latent = latent + rng.standard_normal(latent.shape, dtype=np.float32)
    axes = rng.standard_normal((n_latent, n_features), dtype=np.float32)
    return latent @ axes + rng.standard_normal((n_rows, n_features), dtype=np.float32)


def _seconds(run: Callable[[], object], clock: Callable[[], float], repeats: int = 2) -> float:
    """Return the seconds of the quickest of several runs."""
    taken = []
    for _ in range(repeats):
        start = clock()
        run()
        taken.append(clock() - start)
    return min(taken)


def _line(run: Callable[[int], object], clock: Callable[[], float], repeats: int = 2) -> Line:
    small, large = (_seconds(partial(run, n), clock, repeats) for n in SIZES)
    slope = max(large - small, 0.1 * large) / (SIZES[1] - SIZES[0])
    return Line(max(small - slope * SIZES[0], 0.0), slope)
