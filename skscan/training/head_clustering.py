"""Clustering on frozen features: many linear heads at once, the best picked without labels."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from skscan._blocks import root_mean_square, row_blocks
from skscan._files import allocate_array
from skscan._progress import progress
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.networks.heads import LinearHeads
from skscan.selection import criteria_of_heads, head_with_best_evidence, scores_of_heads
from skscan.spaces import check_widths
from skscan.training.head_problem import FittedHeads, HeadProblem
from skscan.training.results import ClusterTrainingResult
from skscan.training.starts import Start, StartMaker, auto_starts
from skscan.training.steps import KeptSteps

if TYPE_CHECKING:
    from skscan.training.clustering import ClusterTrainer

__all__ = [
    "CLASS_PRIORS",
    "PRIORS",
    "SAMPLES_PER_CLUSTER",
    "HeadSchedule",
    "fit_linear_scan_heads",
    "given_sizes",
    "head_schedule",
    "make_starts",
    "plan_of_heads",
    "prior_names",
    "priors_of_heads",
    "train_heads",
]

AUTO_STEPS = 300
MIN_AUTO_STEPS = 60
LABEL_FITTING_STEPS = 60
AUTO_LEARNING_RATE = 0.01
AUTO_STEP_ENTRIES = 2**20
"""With more probabilities than this in a step (many clusters), fewer steps are made."""

AUTO_BATCH_SIZE = 512
MAX_AUTO_BATCH_ENTRIES = 2**25
SAMPLES_PER_CLUSTER = 20
"""The entropy of the mean prediction is estimated in each batch: it needs so many samples."""

MAX_BATCH_ENTRIES = 2**23
"""Heads are trained together as long as their probabilities for a batch stay below this."""


# Larger copies of the features go to a temporary file that is mapped into memory.
_MAX_BYTES_IN_MEMORY = 2**28


class Prior(NamedTuple):
    """What a head expects of the sizes of clusters."""

    weight: float
    """Weight of the entropy term, as a share of `entropy_weight`."""
    rate: float
    """How far the expected sizes move to the mean prediction in each step."""
    from_start: bool
    """Whether the expected sizes begin as those of the start instead of equal."""


PRIORS = {
    "balanced": Prior(weight=1.0, rate=0.0, from_start=False),
    "given": Prior(weight=1.0, rate=0.0, from_start=False),
    "lenient": Prior(weight=0.2, rate=0.0, from_start=False),
    "estimated": Prior(weight=0.2, rate=0.05, from_start=True),
}

CLASS_PRIORS = {
    "auto": ("balanced", "lenient", "estimated"),
    "uniform": ("balanced",),
    "estimate": ("estimated",),
}
"""Priors of the heads, in turn, for each name of a class prior."""


def train_heads(
    trainer: ClusterTrainer,
    features: NDArray[np.float32],
    neighbors: sparse.csr_matrix,
    n_clusters: int,
    random_state: np.random.RandomState,
    device: str,
    verbose: int,
    spaces: Sequence[int] | None = None,
    memory: Any = None,
) -> ClusterTrainingResult:
    """Train heads on frozen features and pick one.

    Parameters
    ----------
    trainer : ClusterTrainer
        The hyper-parameters.
    features : ndarray of shape (n_samples, n_features), float32
    neighbors : csr_matrix of shape (n_samples, n_samples)
    n_clusters : int
        At least 2.
    random_state : RandomState
    device : str
    verbose : int
    spaces : sequence of int or None, default=None
        Widths of the feature spaces that stand side by side in the columns; None is one space.
    memory : object with the joblib.Memory interface, or None, default=None
        Where the steps of a long training are kept.

    Returns
    -------
    result : ClusterTrainingResult
    """
    from skscan.training.objectives import find_objective

    if isinstance(trainer.starts, str):
        trainer = copy(trainer)
        trainer.starts = auto_starts(n_clusters)
    objective = find_objective(trainer.objective)
    _check_unused(trainer, objective)
    n_features = features.shape[1]
    widths = check_widths("spaces", spaces or [n_features], n_features)
    scale, scaled = _scaled(features)
    table = neighbor_table(neighbors)
    maker = StartMaker(scaled, symmetric_affinity(table), n_clusters, random_state)
    steps = KeptSteps.of(memory, scaled, n_clusters, table, trainer.get_params(), device)
    problem = HeadProblem(
        scaled, table, n_clusters, widths, maker, random_state, device, verbose, steps
    )
    heads, plan, history, n_epochs = objective.fit(trainer, problem)
    criteria = steps.run("criteria", heads, lambda: criteria_of_heads(heads, scaled, table))
    if trainer.selection == "scan_loss":
        best = int(np.argmin(criteria["consistency"] - criteria["entropy"]))
    else:
        priors = [prior for _, prior in plan]
        best = head_with_best_evidence(criteria, priors, n_clusters, trainer.entropy_weight)
    report = _report(criteria, plan, best)
    return ClusterTrainingResult(heads.for_scale(scale), best, history, n_epochs, report=report)


def _scaled(features: NDArray[np.float32]) -> tuple[float, NDArray[np.float32]]:
    """Return the root mean square of the features, and these divided by it."""
    scale = root_mean_square(features)
    scaled = allocate_array(features.shape, np.float32, "features", _MAX_BYTES_IN_MEMORY)
    for rows in row_blocks(*features.shape):
        scaled[rows] = features[rows] / np.float32(scale)
    return scale, scaled


def _check_unused(trainer: ClusterTrainer, objective: Any) -> None:
    """Refuse parameters that an objective has no use for."""
    for name, default in getattr(objective, "unused", {}).items():
        value = getattr(trainer, name)
        if not (np.isscalar(value) and value == default):
            raise ValueError(
                f"{name}={value!r} has no meaning with objective={trainer.objective!r}; leave it "
                f"at {default!r}."
            )


def _report(
    criteria: dict[str, NDArray], plan: list[tuple[str, str]], best: int
) -> list[dict[str, Any]]:
    """Tell what is known of each head without labels, and which one is taken."""
    columns = {**criteria, "score": scores_of_heads(criteria)}
    return [
        {
            "head": head,
            "start": start,
            "prior": prior,
            **{name: values[head].item() for name, values in columns.items()},
            "chosen": head == best,
        }
        for head, (start, prior) in enumerate(plan)
    ]


def fit_linear_scan_heads(trainer: ClusterTrainer, problem: HeadProblem) -> FittedHeads:
    """Train linear heads with the SCAN loss, from each start with each prior.

    Parameters
    ----------
    trainer : ClusterTrainer
        The hyper-parameters.
    problem : HeadProblem

    Returns
    -------
    fitted : FittedHeads
    """
    plan = plan_of_heads(trainer)
    starts = make_starts(trainer, problem, plan)
    heads, history, n_epochs = _fit(trainer, problem, starts, plan)
    return FittedHeads(heads, plan, history, n_epochs)


def make_starts(
    trainer: ClusterTrainer, problem: HeadProblem, plan: list[tuple[str, str]]
) -> list[Start]:
    """Compute the start of each head; heads that differ in their prior only share one."""
    n_priors = len(prior_names(trainer))
    kinds = [kind for kind, _ in plan[::n_priors]]
    random_state = problem.random_state

    def make() -> tuple[list[Start], dict[str, Any]]:
        return problem.maker.make(kinds), random_state.get_state(legacy=False)

    starts, state = problem.steps.run("starts", random_state.get_state(legacy=False), make)
    random_state.set_state(state)
    return [starts[head // n_priors] for head in range(trainer.n_heads)]


def prior_names(trainer: ClusterTrainer) -> tuple[str, ...]:
    """Names of the priors that heads are trained with in turn."""
    if isinstance(trainer.class_prior, str):
        return CLASS_PRIORS[trainer.class_prior]
    return ("given",)


def given_sizes(trainer: ClusterTrainer, counts: NDArray) -> NDArray[np.floating]:
    """Deal the sizes of a given class prior out: the largest to the largest cluster.

    Parameters
    ----------
    trainer : ClusterTrainer
        With an array as `class_prior`.
    counts : ndarray of shape (n_clusters,)
        How large the clusters are now.

    Returns
    -------
    sizes : ndarray of shape (n_clusters,)
        As shares.
    """
    shares = np.sort(np.asarray(trainer.class_prior, dtype=np.float64))[::-1]
    sizes = np.empty_like(shares)
    sizes[np.argsort(-counts, kind="stable")] = shares / shares.sum()
    return sizes


def plan_of_heads(trainer: ClusterTrainer) -> list[tuple[str, str]]:
    """Start and prior of each head."""
    priors = prior_names(trainer)
    n_starts, n_priors = len(trainer.starts), len(priors)
    return [
        (trainer.starts[head // n_priors % n_starts], priors[head % n_priors])
        for head in range(trainer.n_heads)
    ]


class HeadSchedule(NamedTuple):
    """How linear heads are trained."""

    batch_size: int
    label_epochs: int
    """Passes in which heads learn the partition that they start from."""
    n_epochs: int
    group_size: int
    """Heads that are trained together."""


def head_schedule(trainer: ClusterTrainer, n_samples: int, n_clusters: int) -> HeadSchedule:
    """Decide how linear heads are trained with the SCAN loss.

    Parameters
    ----------
    trainer : ClusterTrainer
    n_samples, n_clusters : int
    """
    of_labels = _schedule(trainer, n_samples, n_clusters, LABEL_FITTING_STEPS)
    entries_per_head = 2 * min(of_labels["batch_size"], n_samples) * n_clusters
    affordable = AUTO_STEPS * AUTO_STEP_ENTRIES // (entries_per_head * trainer.n_heads)
    n_steps = min(max(affordable, MIN_AUTO_STEPS), AUTO_STEPS)
    n_epochs = _schedule(trainer, n_samples, n_clusters, n_steps)["n_epochs"]
    return HeadSchedule(
        batch_size=of_labels["batch_size"],
        label_epochs=of_labels["n_epochs"],
        n_epochs=n_epochs if isinstance(trainer.n_epochs, str) else trainer.n_epochs,
        group_size=max(MAX_BATCH_ENTRIES // entries_per_head, 1),
    )


def _schedule(
    trainer: ClusterTrainer, n_samples: int, n_clusters: int, n_steps: int
) -> dict[str, int]:
    """Batch size and passes for about `n_steps` steps."""
    if isinstance(trainer.batch_size, str):
        affordable = max(MAX_AUTO_BATCH_ENTRIES // n_clusters, SAMPLES_PER_CLUSTER)
        wanted = min(SAMPLES_PER_CLUSTER * n_clusters, affordable)
        batch_size = max(AUTO_BATCH_SIZE, wanted)
    else:
        batch_size = trainer.batch_size
    n_batches = max(n_samples // batch_size, 1)
    return {"n_epochs": max(1, round(n_steps / n_batches)), "batch_size": batch_size}


def _fit(
    trainer: ClusterTrainer,
    problem: HeadProblem,
    starts: list[Start],
    plan: list[tuple[str, str]],
) -> tuple[LinearHeads, list[dict[str, Any]], int]:
    import torch

    from skscan.training.batched_heads import BatchedHeads, center_heads

    features, n_clusters, device = problem.features, problem.n_clusters, problem.device
    learning_rate = trainer.learning_rate
    if isinstance(learning_rate, str):
        learning_rate = AUTO_LEARNING_RATE
    generator = torch.Generator().manual_seed(int(problem.random_state.randint(2**31 - 1)))
    inputs = torch.as_tensor(features, device=device)
    neighbors = torch.as_tensor(np.asarray(problem.table, dtype=np.int64), device=device)
    schedule = head_schedule(trainer, len(features), n_clusters)
    groups = [
        range(first, min(first + schedule.group_size, trainer.n_heads))
        for first in range(0, trainer.n_heads, schedule.group_size)
    ]
    n_passes = len(groups) * schedule.n_epochs
    with progress(total=n_passes, desc="clustering", unit="pass", verbose=problem.verbose) as bar:

        def fit_group(group: range) -> tuple[LinearHeads, list[dict[str, Any]], NDArray]:
            labels = np.stack([starts[head].labels for head in group], axis=1)
            names = [plan[head][1] for head in group]
            weight, prior, rate = priors_of_heads(trainer, labels, names, n_clusters)
            batched = BatchedHeads(center_heads(features, labels, n_clusters), device)
            batched.fit_labels(
                inputs,
                torch.as_tensor(labels.astype(np.int64), device=device),
                n_epochs=schedule.label_epochs,
                batch_size=schedule.batch_size,
                learning_rate=learning_rate,
                generator=generator,
            )
            passes = batched.fit_scan(
                inputs,
                neighbors,
                weight,
                prior,
                rate,
                n_epochs=schedule.n_epochs,
                batch_size=schedule.batch_size,
                learning_rate=learning_rate,
                generator=generator,
            )
            entries = []
            for epoch, losses in enumerate(passes):
                entries += _history_entries(epoch, group, plan, losses)
                bar.update()
            return batched.to_numpy(), entries, generator.get_state().numpy()

        fitted, history = [], []
        for group in groups:
            name, state = f"heads from {group.start}", generator.get_state().numpy()
            heads, entries, state = problem.steps.run(name, state, partial(fit_group, group))
            generator.set_state(torch.from_numpy(state))
            fitted.append(heads)
            history += entries
    heads = LinearHeads(
        np.concatenate([part.weights for part in fitted]),
        np.concatenate([part.biases for part in fitted]),
    )
    return heads, history, schedule.n_epochs


def priors_of_heads(
    trainer: ClusterTrainer, labels: NDArray[np.integer], names: list[str], n_clusters: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Entropy weight, prior sizes and rate of the prior of heads with these start labels."""
    priors = [PRIORS[name] for name in names]
    weight = np.array([trainer.entropy_weight * prior.weight for prior in priors])
    rate = np.array([prior.rate for prior in priors])
    sizes = np.full((len(names), n_clusters), 1 / n_clusters)
    for head, prior in enumerate(priors):
        counts = np.bincount(labels[:, head], minlength=n_clusters)
        if names[head] == "given":
            sizes[head] = given_sizes(trainer, counts)
        elif prior.from_start:
            sizes[head] = np.maximum(counts / counts.sum(), 0.01 / n_clusters)
    return weight, sizes / sizes.sum(axis=1, keepdims=True), rate


def _history_entries(
    epoch: int, group: range, plan: list[tuple[str, str]], losses: Any
) -> list[dict[str, Any]]:
    return [
        {
            "head": head,
            "start": plan[head][0],
            "prior": plan[head][1],
            "pass": epoch,
            "consistency": float(losses.consistency[column]),
            "entropy": float(losses.entropy[column]),
            "loss": float(losses.total[column]),
        }
        for column, head in enumerate(group)
    ]
