"""What every objective is, and the loop that trains heads for most of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator

from skscan._progress import progress
from skscan.networks.heads import Heads
from skscan.training.head_problem import FittedHeads, HeadProblem

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from skscan.training.clustering import ClusterTrainer

__all__ = [
    "NO_PRIOR",
    "GradientObjective",
    "HeadTraining",
    "Objective",
    "Schedule",
    "auto_schedule",
    "check_hidden_sizes",
    "join_heads",
    "mlp_entries",
    "mlp_work",
]

NO_PRIOR = "none"
"""Prior, in plans and histories, of objectives that have no priors to choose from."""

RANDOM_WEIGHTS = "random-weights"
"""Start, in plans and histories, of heads that do not start from a partition."""

MAX_STEP_ENTRIES = 2**27
"""Heads are trained together as long as the values of a step stay below this: 0.5 GiB."""

LABEL_FITTING_STEPS = 100
LABEL_FITTING_BATCH = 512


class Schedule(NamedTuple):
    """How long and how fast heads are trained."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    stretch: float = 1.0
    """How many steps of the method's paper each step stands for."""

    def n_batches(self, n_samples: int) -> int:
        """Return the number of batches in a pass."""
        return max(n_samples // self.batch_size, 1)


class HeadTraining(ABC):
    """A group of heads in training."""

    @abstractmethod
    def step(self, anchors: Tensor, epoch: int) -> dict[str, Tensor]:
        """Make one step on some samples; return terms of shape (n_heads,), "loss" among them."""

    @abstractmethod
    def to_heads(self) -> Heads:
        """Return the heads as they are now."""


class Objective(BaseEstimator, ABC):
    """What heads on frozen features are trained for."""

    _parameter_constraints: dict = {}

    @abstractmethod
    def fit(self, trainer: ClusterTrainer, problem: HeadProblem) -> FittedHeads:
        """Train ``trainer.n_heads`` heads.

        Parameters
        ----------
        trainer : ClusterTrainer
            Its `n_heads`, `starts`, `n_epochs`, `batch_size` and `learning_rate` are used, and
            what else the objective needs.
        problem : HeadProblem

        Returns
        -------
        fitted : FittedHeads
        """


class GradientObjective(Objective):
    """An objective whose heads are trained by automatic differentiation, all at once.

    A subclass says how long (`schedule`), how much memory a head needs (`entries_per_head`), and
    what a step is (`begin`).
    """

    @abstractmethod
    def schedule(self, trainer: ClusterTrainer, problem: HeadProblem) -> Schedule:
        """Return the schedule, with what is ``"auto"`` decided."""

    @abstractmethod
    def entries_per_head(self, problem: HeadProblem, batch_size: int) -> int:
        """Return how many values a step of one head computes, about."""

    @abstractmethod
    def begin(
        self,
        trainer: ClusterTrainer,
        problem: HeadProblem,
        plan: list[tuple[str, str]],
        labels: NDArray[np.integer] | None,
        schedule: Schedule,
        generator: torch.Generator,
    ) -> HeadTraining:
        """Return heads that are ready to be trained.

        Parameters
        ----------
        trainer : ClusterTrainer
        problem : HeadProblem
        plan : list of (start, prior)
            Of these heads.
        labels : int ndarray of shape (n_samples, n_heads) or None
            The partitions that they start from; None starts from random weights.
        schedule : Schedule
        generator : torch.Generator
            Of every draw.
        """

    def plan(self, trainer: ClusterTrainer) -> list[tuple[str, str]]:
        """Return start and prior of each head."""
        if getattr(self, "start", "partitions") == "random":
            return [(RANDOM_WEIGHTS, NO_PRIOR)] * trainer.n_heads
        kinds = list(trainer.starts)
        return [(kinds[head % len(kinds)], NO_PRIOR) for head in range(trainer.n_heads)]

    def starts(
        self, trainer: ClusterTrainer, problem: HeadProblem, plan: list[tuple[str, str]]
    ) -> NDArray[np.integer] | None:
        """Return the partitions that heads start from, shape (n_samples, n_heads), or None."""
        if plan[0][0] == RANDOM_WEIGHTS:
            return None
        made = problem.maker.make([kind for kind, _ in plan])
        return np.stack([start.labels for start in made], axis=1)

    def fit(self, trainer: ClusterTrainer, problem: HeadProblem) -> FittedHeads:
        """Train ``trainer.n_heads`` heads; see `Objective.fit`."""
        import torch

        plan = self.plan(trainer)
        labels = self.starts(trainer, problem, plan)
        generator = torch.Generator().manual_seed(int(problem.random_state.randint(2**31 - 1)))
        schedule = self.schedule(trainer, problem)
        n_samples = len(problem.features)
        n_batches = schedule.n_batches(n_samples)
        entries = self.entries_per_head(problem, min(schedule.batch_size, n_samples))
        size = max(MAX_STEP_ENTRIES // entries, 1)
        groups = [range(i, min(i + size, len(plan))) for i in range(0, len(plan), size)]
        fitted: list[Heads] = []
        history: list[dict[str, Any]] = []
        n_passes = len(groups) * schedule.n_epochs
        with progress(
            total=n_passes, desc="clustering", unit="pass", verbose=problem.verbose
        ) as bar:
            for group in groups:
                own_plan = [plan[head] for head in group]
                own_labels = None if labels is None else labels[:, group]
                training = self.begin(trainer, problem, own_plan, own_labels, schedule, generator)
                for epoch in range(schedule.n_epochs):
                    order = torch.randperm(n_samples, generator=generator).to(problem.device)
                    sums: dict[str, Any] = {}
                    for anchors in torch.tensor_split(order, n_batches):
                        share = len(anchors) / n_samples
                        for name, values in training.step(anchors, epoch).items():
                            sums[name] = sums.get(name, 0) + values * share
                    history += _entries(epoch, group, plan, sums)
                    bar.update()
                fitted.append(training.to_heads())
        return FittedHeads(join_heads(fitted), plan, history, schedule.n_epochs)


def join_heads(parts: list[Heads]) -> Heads:
    """Return the heads of all parts, which are of one kind, in this order."""
    joined = parts[0]
    for part in parts[1:]:
        joined = joined.join(part)
    return joined


def check_hidden_sizes(hidden_sizes: Any) -> None:
    """Refuse sizes of hidden layers that are not two positive integers."""
    sizes = list(hidden_sizes)
    if len(sizes) != 2 or not all(isinstance(size, Integral) and int(size) >= 1 for size in sizes):
        raise ValueError(
            f"hidden_sizes={hidden_sizes!r} must be two positive integers: the widths of the "
            "hidden layer and of the bottleneck."
        )


def auto_schedule(
    trainer: ClusterTrainer,
    n_samples: int,
    *,
    batch_size: int,
    learning_rate: float,
    paper_steps: int,
    max_steps: int,
    step_work: float,
    max_work: float,
    max_stretch: float,
) -> Schedule:
    """Decide what a trainer leaves open, within an amount of work.

    Parameters
    ----------
    trainer : ClusterTrainer
    n_samples : int
    batch_size : int
        If `trainer` says ``"auto"``.
    learning_rate : float
        Of the paper, for this batch size.
    paper_steps : int
        Steps that the paper makes.
    max_steps : int
        Steps that are made at most.
    step_work : float
        Multiplications in a step, for each sample of its batch.
    max_work : float
        Multiplications that the whole training may take.
    max_stretch : float
        Where fewer steps than the paper's are made, steps are longer by as much, up to this.
    """
    if not isinstance(trainer.batch_size, str):
        batch_size = trainer.batch_size
    batch_size = min(batch_size, n_samples)
    n_batches = max(n_samples // batch_size, 1)
    stretch = 1.0
    if isinstance(trainer.n_epochs, str):
        affordable = max_work / (step_work * batch_size)
        n_steps = min(affordable, max_steps)
        n_epochs = max(1, round(n_steps / n_batches))
        stretch = min(max(paper_steps / (n_epochs * n_batches), 1.0), max_stretch)
    else:
        n_epochs = trainer.n_epochs
    if isinstance(trainer.learning_rate, str):
        learning_rate *= stretch
    else:
        learning_rate = trainer.learning_rate
    return Schedule(n_epochs, batch_size, learning_rate, stretch)


def mlp_work(problem: HeadProblem, hidden_sizes: Sequence[int], n_heads: int) -> int:
    """Return the multiplications of heads with hidden layers, for each sample."""
    n_hidden, n_bottleneck = hidden_sizes
    inner = n_hidden * (problem.features.shape[1] + n_bottleneck)
    return n_heads * (inner + n_bottleneck * problem.n_clusters)


def mlp_entries(problem: HeadProblem, hidden_sizes: Sequence[int]) -> int:
    """Return how many values a head with hidden layers keeps of each sample, about."""
    n_hidden, n_bottleneck = hidden_sizes
    return 2 * n_hidden + 2 * n_bottleneck + problem.n_clusters


def _entries(
    epoch: int, group: range, plan: list[tuple[str, str]], terms: dict[str, Tensor]
) -> list[dict[str, Any]]:
    values = {name: term.tolist() for name, term in terms.items()}
    return [
        {
            "head": head,
            "start": plan[head][0],
            "prior": plan[head][1],
            "pass": epoch,
            **{name: value[column] for name, value in values.items()},
        }
        for column, head in enumerate(group)
    ]
