"""Time, memory and disk of each stage of a fit, and what to do where they are not there."""

from __future__ import annotations

from dataclasses import dataclass, field

from skscan._fitted import MAX_PROBABILITY_BYTES
from skscan.neighbors import EXACT_LIMIT
from skscan.neighbors.exact import SPARE
from skscan.planning.job import N_NEIGHBORS, Job
from skscan.planning.machine import Machine
from skscan.selection import LOSS_ENTRIES, LOSS_SAMPLES, SELECTION_NEIGHBORS

__all__ = ["LEFT_OUT", "Plan", "Stage", "plan_fit"]

LEFT_OUT = ("self-labelling", "the report")
"""What `skscan cluster` does besides, by default, and is not foretold."""

NUMBER = 4
"""Bytes of a float32 or an int32."""

WORKSPACE = 2**28
"""Bytes that blocks of rows take in any stage."""

BYTES_OF_CANDIDATES = 2 * 8 * (N_NEIGHBORS + 1 + SPARE)
"""Of a row while all pairs are compared: the best so far, and those that wait to be merged."""

BYTES_OF_LINKS = 2 * 32 * NUMBER
"""Of a row in the index of an approximate search."""

LIBRARIES = 2**29
"""Bytes of Python and its libraries."""

USABLE_SHARE = 0.8
"""Of the memory of the machine."""

MAX_SCALED_BYTES = 2**30
"""More scaled features are written to a file as they come."""

KMEANS_STEPS = 30

AFFINITY_ENTRIES = 1.6
"""Entries of the symmetric affinity for each mined neighbor, at most 2: some name each other."""


@dataclass(frozen=True)
class Stage:
    """What one stage takes.

    Parameters
    ----------
    name : str
    seconds : float
    memory_bytes : float
        Held by the process while the stage runs, without pages of files, which the system takes
        back where it needs room.
    disk_bytes : float
        Written: to the memory folder, or to that of temporary files.
    """

    name: str
    seconds: float
    memory_bytes: float
    disk_bytes: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What a fit takes on a machine, without what `LEFT_OUT` names.

    Parameters
    ----------
    job : Job
    stages : list of Stage
    advice : list of str
        What does not fit, and what to do instead.
    """

    job: Job
    stages: list[Stage]
    advice: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """Of all stages."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def memory_bytes(self) -> float:
        """The most that any stage needs."""
        return max(stage.memory_bytes for stage in self.stages)

    @property
    def disk_bytes(self) -> float:
        """Of all stages."""
        return sum(stage.disk_bytes for stage in self.stages)


def plan_fit(job: Job, machine: Machine, *, images: bool = False) -> Plan:
    """Foretell a fit.

    Parameters
    ----------
    job : Job
    machine : Machine
        As `measure_machine` measured it for this job, or for one that differs in `n_samples` alone
        and is as large that its steps are the same.
    images : bool, default=False
        Whether it begins with images; else with a matrix of features on disk.

    Returns
    -------
    plan : Plan
    """
    stages = _stages(job, machine, images)
    plan = Plan(job, stages)
    return Plan(job, stages, _advice(plan, machine, images))


def _stages(job: Job, machine: Machine, images: bool) -> list[Stage]:
    n, k = job.n_samples, job.n_clusters
    scaled = n * job.n_components * NUMBER
    mined = n * (N_NEIGHBORS + 1)
    graph = 2 * mined * NUMBER
    table = 3 * mined * NUMBER  # as int32, and as the int64 of torch
    affinity = 2 * AFFINITY_ENTRIES * n * N_NEIGHBORS * NUMBER
    base = LIBRARIES + WORKSPACE
    mining, exact = machine.exact_mining(n), True
    if n > EXACT_LIMIT and machine.approximate_mining is not None:
        approximate = machine.approximate_mining(n)
        mining, exact = min((mining, True), (approximate, False))
    index = scaled + n * (BYTES_OF_CANDIDATES if exact else BYTES_OF_LINKS)
    sample = job.sample_of_starts
    start = machine.starts(sample) + machine.starts.slope / KMEANS_STEPS * (n - sample)
    group = machine.label_step * job.label_steps + machine.head_step * job.head_steps
    rows_of_loss = float(n)
    if n * k > LOSS_ENTRIES:
        rows_of_loss = min(n, LOSS_SAMPLES) * (SELECTION_NEIGHBORS + 1)
    judged = machine.selection(n) + machine.loss(rows_of_loss)
    step = 4 * 2 * min(job.batch_size, n) * k * job.heads_together * NUMBER
    probabilities = n * k * NUMBER
    on_disk = probabilities > MAX_PROBABILITY_BYTES
    stages = [
        Stage("scaling", machine.scaling(n), base + 2 * min(scaled, MAX_SCALED_BYTES), scaled),
        Stage("mining", mining, base + 2 * graph + index, graph),
        Stage(
            "starts",
            job.n_starts * start,
            base + table + 3 * affinity + 2 * sample * job.n_components * NUMBER,
            2 * scaled,
        ),
        Stage("heads", job.n_groups * group, base + table + affinity + step),
        Stage("selection", job.n_heads * judged, base + table + 2 * affinity),
        Stage(
            "results",
            machine.results(n),
            base + graph + table + (0 if on_disk else probabilities),
            probabilities if on_disk else 0,
        ),
    ]
    if images:
        size = n * job.n_features * NUMBER
        stages.insert(0, Stage("extraction", n * machine.image, base, size))
    return [
        Stage(s.name, s.seconds + s.disk_bytes * machine.disk_byte, s.memory_bytes, s.disk_bytes)
        for s in stages
    ]


def _advice(plan: Plan, machine: Machine, images: bool) -> list[str]:
    """Say what does not fit, and what would."""
    job, advice = plan.job, []
    if job.n_samples > EXACT_LIMIT and machine.approximate_mining is None:
        advice.append(
            f"beyond {EXACT_LIMIT:,} samples neighbors are found exactly, at a cost that grows "
            "with the square: pip install 'skscan[faiss]'"
        )
    room = USABLE_SHARE * machine.memory_bytes
    if plan.memory_bytes > room:
        too_large = [stage.name for stage in plan.stages if stage.memory_bytes > room]
        largest = _largest_fit(job, machine, room)
        advice.append(
            f"{', '.join(too_large)} would need more than the {room / 2**30:.0f} GiB that are of "
            f"use here: fit on {largest:,} samples drawn at random, predict the others in shards "
            f"(about {_prediction_seconds(job, machine, images):.0f} s for a million)"
        )
    if plan.disk_bytes > machine.disk_bytes:
        advice.append(
            f"{plan.disk_bytes / 2**30:.0f} GiB of disk are needed and "
            f"{machine.disk_bytes / 2**30:.0f} GiB are free in the folder for temporary files: set "
            "TMPDIR and memory= to folders with room"
        )
    return advice


def _largest_fit(job: Job, machine: Machine, room: float) -> int:
    """Return how many samples can be fitted at once, two digits of it."""
    few, many = job.n_clusters, job.n_samples
    while many - few > max(few // 100, 1):
        middle = (few + many) // 2
        smaller = Job(middle, job.n_features, job.n_clusters, job.n_heads)
        fits = max(s.memory_bytes for s in _stages(smaller, machine, False)) <= room
        few, many = (middle, many) if fits else (few, middle)
    digits = 10 ** max(len(str(few)) - 2, 0)
    return few // digits * digits


def _prediction_seconds(job: Job, machine: Machine, images: bool) -> float:
    each = machine.scaling.slope + machine.results.slope
    return 1e6 * (each + (machine.image if images else 0))
