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
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skscan._laws import Line
from skscan._threads import limit_threads, suitable_n_jobs
from skscan.neighbors import EXACT_LIMIT
from skscan.neighbors.approximate import FORETELLING_ROWS
from skscan.planning.job import N_NEIGHBORS, Job
from skscan.planning.mining import (
    EXACT_ROWS,
    ApproximateMining,
    ExactMining,
    try_approximate_mining,
    try_exact_mining,
)
from skscan.planning.trial import SelfLabelling, Trial, mixture, seconds_of
from skscan.scaling import FeatureScaler

if TYPE_CHECKING:
    from skscan.planning.reporting import Reporting

__all__ = ["Machine", "measure_machine", "rows_of_trial"]

CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)
DISK_BYTES = 2**27
N_IMAGES = 64


@dataclass(frozen=True)
class Machine:
    """What was measured, in seconds.

    Parameters
    ----------
    scaling : Line
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
    self_labelling : SelfLabelling
    evidence, agreement : Line
        What is kept of the samples, of a number of rows, and of it the agreement of heads, of the
        rows that it is estimated on.
    image : float
        Of an image through decoding and network, of JPEG files of 320 x 240 pixels: larger ones
        take longer to decode. NaN if it was not asked for.
    reporting : Reporting or None
        None if it was not asked for.
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
    self_labelling: SelfLabelling
    evidence: Line
    agreement: Line
    image: float
    reporting: Reporting | None
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
        Whether to measure the extraction with the embedded backbone and the report too, on
        generated JPEG files.
    features : ndarray of shape (n_rows, n_features), default=None
        Features like those of the job, of which 40,000 random rows are taken for the trial of
        mining; those with NaN or infinity are left out. How long an approximate search takes
        depends on them, an exact one, of up to 500,000 samples, does not: there they are not
        looked at. None generates some with clear groups, as those of trained networks have.
    clock : callable, default=time.perf_counter
        Gives seconds; ``time.process_time`` adds up those of all processors, whatever else runs.

    Returns
    -------
    machine : Machine

    Raises
    ------
    ValueError
        If `features` has too few rows of finite numbers.
    """
    trial = Trial(job, clock)
    like_the_job = np.broadcast_to(np.float32(0), (job.n_samples, job.n_components))
    with limit_threads(suitable_n_jobs(None, like_the_job)):
        label_step, head_step = trial.steps()
        starts = trial.starts()
        selection, loss = trial.selection()
        self_labelling = trial.self_labelling()
    exact_mining, approximate_mining = _mining(job, features, clock)
    evidence, agreement = trial.evidence()
    return Machine(
        scaling=trial.scaling(),
        exact_mining=exact_mining,
        approximate_mining=approximate_mining,
        starts=starts,
        label_step=label_step,
        head_step=head_step,
        selection=selection,
        loss=loss,
        self_labelling=self_labelling,
        evidence=evidence,
        agreement=agreement,
        image=_image_seconds(clock) if images else float("nan"),
        reporting=_reporting(trial, clock) if images else None,
        disk_byte=_disk_seconds() / DISK_BYTES,
        memory_bytes=_memory_bytes(),
        disk_bytes=shutil.disk_usage(tempfile.gettempdir()).free,
    )


def rows_of_trial(n_samples: int) -> int:
    """Return how many rows of given features the trial of mining takes; 0 where it needs none."""
    return max(*EXACT_ROWS, *FORETELLING_ROWS) if n_samples > EXACT_LIMIT else 0


def _mining(
    job: Job, features: NDArray[np.floating] | None, clock: Callable[[], float]
) -> tuple[ExactMining, ApproximateMining | None]:
    n_rows = rows_of_trial(job.n_samples)
    if features is not None and n_rows:
        some = _some(features, n_rows)
    else:
        some = mixture(max(*EXACT_ROWS, n_rows), job.n_features)
    scaled = FeatureScaler().fit_transform(some)
    exact = try_exact_mining(scaled, N_NEIGHBORS, partial(seconds_of, clock=clock))
    if job.n_samples <= EXACT_LIMIT:
        return exact, None
    once = partial(seconds_of, clock=clock, repeats=1)
    return exact, try_approximate_mining(scaled, N_NEIGHBORS, once)


def _some(features: NDArray[np.floating], n_rows: int) -> NDArray[np.floating]:
    """Return random rows, without those of images that could not be read, which are NaN."""
    order = np.random.RandomState(0).permutation(len(features))
    found, n_found = [], 0
    for start in range(0, len(order), n_rows):
        rows = features[order[start : start + n_rows]]
        found.append(rows[np.isfinite(rows).all(axis=1)])
        n_found += len(found[-1])
        if n_found >= n_rows:
            return np.concatenate(found)[:n_rows]
    raise ValueError(
        f"features must have {n_rows:,} rows of finite numbers at least for the trial of mining, "
        f"got {n_found:,}."
    )


def _reporting(trial: Trial, clock: Callable[[], float]) -> Reporting:
    from skscan.planning.reporting import try_reporting  # which loads what draws

    return try_reporting(trial, clock)


def _image_seconds(clock: Callable[[], float]) -> float:
    """Return the seconds of an image from its file to its features."""
    from skscan.benchmarking import generated_images
    from skscan.extractors.timm import TimmFeatureExtractor

    with generated_images(N_IMAGES) as paths:
        extractor = TimmFeatureExtractor().fit(paths[:8])
        extractor.transform(paths[:8])  # loads the network
        return seconds_of(lambda: extractor.transform(paths), clock) / N_IMAGES


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
