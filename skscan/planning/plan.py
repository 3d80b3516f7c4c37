"""Time, memory and disk of each stage of a fit, and what to do where they are not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from skscan._fitted import MAX_PROBABILITY_BYTES
from skscan.calibration import SAMPLES
from skscan.neighbors import EXACT_LIMIT
from skscan.neighbors.choice import backend_on_processor
from skscan.planning.job import N_NEIGHBORS, Job
from skscan.planning.machine import Machine
from skscan.planning.memory import NUMBER, memory_of_stages
from skscan.selection import LOSS_ENTRIES, LOSS_SAMPLES, SELECTION_NEIGHBORS

__all__ = ["Plan", "Stage", "plan_fit"]

USABLE_SHARE = 0.8
"""Of the memory of the machine."""

KMEANS_STEPS = 30


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
    """What a fit takes on a machine, and with images the contact sheets and the report too.

    Parameters
    ----------
    job : Job
    stages : list of Stage
    searches_approximately : bool
        Whether mining is approximate, as `NeighborMiner` chooses it.
    advice : list of str
        What does not fit, and what to do instead.
    """

    job: Job
    stages: list[Stage]
    searches_approximately: bool
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

    Raises
    ------
    ValueError
        If it begins with images and the machine was measured without.
    """
    stages = _stages(job, machine, images)
    plan = Plan(job, stages, _searches_approximately(job, machine))
    return replace(plan, advice=_advice(plan, machine, images))


def _searches_approximately(job: Job, machine: Machine) -> bool:
    trial = machine.approximate_mining
    walk = None if trial is None else trial.walk
    return backend_on_processor(job.n_samples, walk) == "faiss"


def _stages(job: Job, machine: Machine, images: bool) -> list[Stage]:
    approximate = _searches_approximately(job, machine)
    memory = memory_of_stages(job, approximate=approximate)
    seconds = _seconds(job, machine, approximate)
    written = _bytes_written(job)
    if images:
        memory = {"extraction": memory["scaling"], **memory, "report": memory["evidence"]}
        seconds["extraction"] = job.n_samples * machine.image
        written["extraction"] = job.n_samples * job.n_features * NUMBER
        if machine.reporting is None:
            raise ValueError(
                "images=True needs a machine that was measured with it: "
                "measure_machine(job, images=True)."
            )
        seconds["report"] = machine.reporting(job.n_samples, job.n_clusters)
    stages = []
    for name, n_bytes in memory.items():
        on_disk = written.get(name, 0)
        stages.append(Stage(name, seconds[name] + on_disk * machine.disk_byte, n_bytes, on_disk))
    return stages


def _seconds(job: Job, machine: Machine, approximate: bool) -> dict[str, float]:
    """Return the seconds of each stage after extraction, without those of writing."""
    n = job.n_samples
    mining: Callable[[float], float] = machine.exact_mining
    if approximate and machine.approximate_mining is not None:
        mining = machine.approximate_mining
    sample = job.sample_of_starts
    start = machine.starts(sample) + machine.starts.slope / KMEANS_STEPS * (n - sample)
    group = machine.label_step * job.label_steps + machine.head_step * job.head_steps
    rows_of_loss = float(n)
    if n * job.n_clusters > LOSS_ENTRIES:
        rows_of_loss = min(n, LOSS_SAMPLES) * (SELECTION_NEIGHBORS + 1)
    judged = machine.selection(n) + machine.loss(rows_of_loss)
    own_labels = machine.self_labelling
    return {
        "scaling": machine.scaling(n),
        "mining": mining(n),
        "starts": job.n_starts * start,
        "heads": job.n_groups * group,
        "selection": job.n_heads * judged,
        "self-labelling": n * own_labels.labelled_row + job.self_label_steps * own_labels.step,
        "evidence": machine.evidence(n) + machine.agreement(min(n, SAMPLES * (N_NEIGHBORS + 1))),
    }


def _bytes_written(job: Job) -> dict[str, float]:
    """Return what the stages after extraction write."""
    n = job.n_samples
    scaled = n * job.n_components * NUMBER
    probabilities = n * job.n_clusters * NUMBER
    return {
        "scaling": scaled,
        "mining": 2 * n * (N_NEIGHBORS + 1) * NUMBER,
        "starts": 2 * scaled,
        "evidence": probabilities if probabilities > MAX_PROBABILITY_BYTES else 0,
    }


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
    each = machine.scaling.slope + machine.evidence.slope
    return 1e6 * (each + (machine.image if images else 0))
