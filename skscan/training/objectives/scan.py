"""The SCAN loss: agree with a neighbor, use all clusters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

from skscan.networks.heads import Heads
from skscan.training.head_clustering import (
    fit_linear_scan_heads,
    make_starts,
    plan_of_heads,
    priors_of_heads,
)
from skscan.training.head_problem import FittedHeads, HeadProblem
from skscan.training.objectives.base import (
    LABEL_FITTING_BATCH,
    LABEL_FITTING_STEPS,
    GradientObjective,
    HeadTraining,
    Schedule,
    auto_schedule,
    check_hidden_sizes,
    mlp_entries,
    mlp_work,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from skscan.training.clustering import ClusterTrainer

__all__ = ["ScanObjective"]

AUTO_STEPS = 300
AUTO_BATCH_SIZE = 512
MAX_AUTO_WORK = 2**40
MLP_LEARNING_RATE = 0.001
MLP_TEMPERATURE = 0.1


class ScanObjective(GradientObjective):
    """The loss of SCAN, on linear heads or on small networks.

    Heads start from the partitions that the trainer names in `starts`, each with each way of
    expecting sizes (`class_prior`); the weight of the entropy term is the trainer's
    `entropy_weight`. With linear heads gradients are derived by hand: they cost a third of
    automatic differentiation.

    Parameters
    ----------
    head : {"linear", "mlp"}, default="linear"
        ``"linear"`` is the paper's. ``"mlp"`` has two hidden layers and compares the result with a
        direction for each cluster, at a temperature of 0.1. Networks are trained with Adam, with a
        learning rate of 0.001 that falls to zero along a cosine, if the trainer's is ``"auto"``;
        ``n_epochs="auto"`` makes about 300 steps, or as many as 2^40 multiplications allow.
    hidden_sizes : pair of int, default=(512, 256)
        With ``head="mlp"``: widths of the hidden layer and of the bottleneck.

    References
    ----------
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020, eq. 2.

    Examples
    --------
    >>> from skscan import ClusterTrainer, ScanObjective
    >>> trainer = ClusterTrainer(objective=ScanObjective(head="mlp"), n_heads=3)
    """

    _parameter_constraints: dict = {
        "head": [StrOptions({"linear", "mlp"})],
        "hidden_sizes": ["array-like"],
    }

    def __init__(self, *, head: str = "linear", hidden_sizes: Sequence[int] = (512, 256)) -> None:
        self.head = head
        self.hidden_sizes = hidden_sizes

    def fit(self, trainer: ClusterTrainer, problem: HeadProblem) -> FittedHeads:
        """Train ``trainer.n_heads`` heads; see `Objective.fit`."""
        if self.head == "linear":
            return fit_linear_scan_heads(trainer, problem)
        check_hidden_sizes(self.hidden_sizes)
        return super().fit(trainer, problem)

    def plan(self, trainer: ClusterTrainer) -> list[tuple[str, str]]:
        """Return start and prior of each head."""
        return plan_of_heads(trainer)

    def starts(
        self, trainer: ClusterTrainer, problem: HeadProblem, plan: list[tuple[str, str]]
    ) -> NDArray[np.integer]:
        """Return the partitions that heads start from, shape (n_samples, n_heads)."""
        made = make_starts(trainer, problem, plan)
        return np.stack([start.labels for start in made], axis=1)

    def schedule(self, trainer: ClusterTrainer, problem: HeadProblem) -> Schedule:
        """Return the schedule, with what is ``"auto"`` decided."""
        work = mlp_work(problem, self.hidden_sizes, trainer.n_heads)
        return auto_schedule(
            trainer,
            len(problem.features),
            batch_size=AUTO_BATCH_SIZE,
            learning_rate=MLP_LEARNING_RATE,
            paper_steps=AUTO_STEPS,
            max_steps=AUTO_STEPS,
            step_work=2 * 3 * work,  # a pair; forward, and twice as much backward
            max_work=MAX_AUTO_WORK,
            max_stretch=1.0,
        )

    def entries_per_head(self, problem: HeadProblem, batch_size: int) -> int:
        """Return how many values a step of one head computes, about."""
        return 2 * batch_size * mlp_entries(problem, self.hidden_sizes)

    def begin(
        self,
        trainer: ClusterTrainer,
        problem: HeadProblem,
        plan: list[tuple[str, str]],
        labels: NDArray[np.integer] | None,
        schedule: Schedule,
        generator: torch.Generator,
    ) -> HeadTraining:
        """Return heads that are ready to be trained; see `GradientObjective.begin`."""
        return _ScanTraining(self, trainer, problem, plan, labels, schedule, generator)


class _ScanTraining(HeadTraining):
    def __init__(
        self,
        objective: ScanObjective,
        trainer: ClusterTrainer,
        problem: HeadProblem,
        plan: list[tuple[str, str]],
        labels: NDArray[np.integer] | None,
        schedule: Schedule,
        generator: torch.Generator,
    ) -> None:
        import torch

        from skscan.training.batched_heads import Adam
        from skscan.training.trainable_heads import TrainableMLPHeads, fit_labels

        assert labels is not None
        device = problem.device
        self.features = torch.as_tensor(problem.features, device=device)
        self.table = torch.as_tensor(problem.table.astype(np.int64), device=device)
        self.generator = generator
        self.heads = TrainableMLPHeads.random(
            len(plan),
            problem.features.shape[1],
            objective.hidden_sizes,
            problem.n_clusters,
            MLP_TEMPERATURE,
            generator,
            device,
        )
        fit_labels(
            self.heads,
            self.features,
            torch.as_tensor(labels.astype(np.int64), device=device),
            n_steps=LABEL_FITTING_STEPS,
            batch_size=LABEL_FITTING_BATCH,
            learning_rate=schedule.learning_rate,
            generator=generator,
        )
        names = [prior for _, prior in plan]
        weight, prior, rate = priors_of_heads(trainer, labels, names, problem.n_clusters)
        self.weight, self.sizes, self.rate = (
            torch.as_tensor(values.T, dtype=torch.float32, device=device)
            for values in (weight, prior, rate)
        )
        n_steps = schedule.n_epochs * schedule.n_batches(len(self.features))
        self.adam = Adam(self.heads.parameters, schedule.learning_rate, n_steps)

    def step(self, anchors: Tensor, epoch: int) -> dict[str, Tensor]:
        import torch

        from skscan.training.batched_heads import SMALLEST_PRIOR, scan_gradient

        columns = torch.randint(self.table.shape[1], (len(anchors), 1), generator=self.generator)
        partners = self.table[anchors].gather(1, columns.to(anchors.device)).squeeze(1)
        parameters = self.heads.parameters.requires_grad_()
        logits = self.heads.logits(self.features[torch.cat([anchors, partners])])
        probabilities = torch.softmax(logits.detach(), dim=1)
        log_prior = self.sizes.clamp(min=SMALLEST_PRIOR).log()
        of_logits, losses, mean = scan_gradient(probabilities, self.weight, log_prior)
        [gradient] = torch.autograd.grad(logits, parameters, of_logits)
        parameters.requires_grad_(False)
        self.adam.step(gradient)
        self.sizes = self.sizes + self.rate * (mean - self.sizes)
        return {
            "consistency": losses.consistency,
            "entropy": losses.entropy,
            "loss": losses.total,
        }

    def to_heads(self) -> Heads:
        return self.heads.to_numpy()
