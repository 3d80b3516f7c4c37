"""TEMI: pointwise mutual information of neighbors, with a mean teacher."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from skscan.networks.heads import Heads, LinearHeads
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

__all__ = ["TemiObjective", "temi_losses"]

PAPER_STEPS = 4900
"""Of 100 passes over 50,000 images in batches of 1,024."""

MAX_AUTO_STEPS = 490
PAPER_RATE = 1e-4
PAPER_RATE_BATCH = 256
MAX_AUTO_WORK = 2**40
MAX_STRETCH = 20.0
AUTO_BATCH_SIZE = 256
WARMUP = 0.2
LABEL_FITTING_RATE = 0.001

_SMALLEST_MEAN = 1e-8


class TemiObjective(GradientObjective):
    r"""The objective of TEMI: neighbors should tell as much about each other as they can.

    With student and teacher probabilities :math:`q_s, q_t` and the moving average
    :math:`\tilde q_t` of the teacher's mean probabilities, heads maximise

    .. math::
        w(x, x') \log \sum_c \frac{(q_s(c|x) \, q_t(c|x'))^\beta}{\tilde q_t(c)}

    over pairs of neighbors, both ways round. The teacher's weights are a moving average of the
    student's, and the teacher is kept. No entropy term is needed: the denominator keeps clusters
    apart, and :math:`\beta < 1` keeps the largest from taking all.

    Parameters
    ----------
    beta : float, default=0.6
        :math:`\beta`; 1 is the plain pointwise mutual information.
    student_temperature, teacher_temperature : float, default=0.1
        What the outputs of a head are divided by before the softmax.
    momentum : float, default=0.996
        Share of its weights that the teacher keeps in each step.
    mean_momentum : float, default=0.9
        Share that :math:`\tilde q_t` keeps in each step; it starts from equal sizes.
    pointwise_weight : bool, default=True
        Weight pairs by how much the teachers of all heads agree that they belong together:
        :math:`w = \operatorname{mean}_h \sum_c q_t(c|x) \, q_t(c|x')`. False is 1 for all.
    weight_decay : float, default=0.0001
        Share of the weights, biases not included, that a step takes off, times the learning rate.
    head : {"mlp", "linear"}, default="mlp"
        Kind of the heads.
    hidden_sizes : pair of int, default=(512, 256)
        With ``head="mlp"``: widths of the hidden layer and of the bottleneck.
    start : {"random", "partitions"}, default="random"
        ``"random"`` starts from random weights, as in the paper; ``"partitions"`` first fits heads
        to the partitions that the trainer names in `starts`.

    Notes
    -----
    The paper trains for 100 passes with AdamW; the learning rate is 0.0001 for each 256 samples of
    a batch and rises over the first fifth of the passes; the last layer is left alone in the first
    pass. This is what ``n_epochs=100, batch_size=1024`` gives: on 50,000 images 4,900 steps. With
    ``n_epochs="auto"`` the trainer makes a tenth of that many steps, or as many as 2^40
    multiplications allow if that is fewer, and at least one pass. Each step then stands for several
    of the paper's, up to 20: the learning rate is so many times as large, and the momentum of the
    teacher is raised to that power. ``batch_size="auto"`` is 256, or 20 for each cluster if that is
    more.

    References
    ----------
    Adaloglou et al., "Exploring the Limits of Deep Image Clustering using Pretrained Models",
    BMVC 2023.

    Examples
    --------
    >>> from skscan import ClusterTrainer, TemiObjective
    >>> trainer = ClusterTrainer(objective=TemiObjective(beta=0.7), n_heads=16)
    """

    unused = {"class_prior": "auto", "entropy_weight": 5.0}

    _parameter_constraints: dict = {
        "beta": [Interval(Real, 0, None, closed="neither")],
        "student_temperature": [Interval(Real, 0, None, closed="neither")],
        "teacher_temperature": [Interval(Real, 0, None, closed="neither")],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "mean_momentum": [Interval(Real, 0, 1, closed="left")],
        "pointwise_weight": ["boolean"],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "head": [StrOptions({"mlp", "linear"})],
        "hidden_sizes": ["array-like"],
        "start": [StrOptions({"random", "partitions"})],
    }

    def __init__(
        self,
        *,
        beta: float = 0.6,
        student_temperature: float = 0.1,
        teacher_temperature: float = 0.1,
        momentum: float = 0.996,
        mean_momentum: float = 0.9,
        pointwise_weight: bool = True,
        weight_decay: float = 1e-4,
        head: str = "mlp",
        hidden_sizes: Sequence[int] = (512, 256),
        start: str = "random",
    ) -> None:
        self.beta = beta
        self.student_temperature = student_temperature
        self.teacher_temperature = teacher_temperature
        self.momentum = momentum
        self.mean_momentum = mean_momentum
        self.pointwise_weight = pointwise_weight
        self.weight_decay = weight_decay
        self.head = head
        self.hidden_sizes = hidden_sizes
        self.start = start

    def fit(self, trainer: ClusterTrainer, problem: HeadProblem) -> FittedHeads:
        """Train ``trainer.n_heads`` heads; see `Objective.fit`."""
        check_hidden_sizes(self.hidden_sizes)
        return super().fit(trainer, problem)

    def schedule(self, trainer: ClusterTrainer, problem: HeadProblem) -> Schedule:
        """Return the schedule, with what is ``"auto"`` decided."""
        batch_size = max(AUTO_BATCH_SIZE, 20 * problem.n_clusters)
        if not isinstance(trainer.batch_size, str):
            batch_size = trainer.batch_size
        batch_size = min(batch_size, len(problem.features))
        work = problem.features.shape[1] * problem.n_clusters * trainer.n_heads
        if self.head == "mlp":
            work = mlp_work(problem, self.hidden_sizes, trainer.n_heads)
        return auto_schedule(
            trainer,
            len(problem.features),
            batch_size=batch_size,
            learning_rate=PAPER_RATE * batch_size / PAPER_RATE_BATCH,
            paper_steps=PAPER_STEPS,
            max_steps=MAX_AUTO_STEPS,
            # a pair; forward and twice as much backward for the student, forward for the teacher
            step_work=2 * 4 * work,
            max_work=MAX_AUTO_WORK,
            max_stretch=MAX_STRETCH,
        )

    def entries_per_head(self, problem: HeadProblem, batch_size: int) -> int:
        """Return how many values a step of one head computes, about."""
        hidden = mlp_entries(problem, self.hidden_sizes) if self.head == "mlp" else 0
        return 2 * batch_size * (hidden + 6 * problem.n_clusters)

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
        return _TemiTraining(self, problem, len(plan), labels, schedule, generator)


def temi_losses(
    student_logits: Tensor,
    teacher_logits: Tensor,
    teacher_mean: Tensor,
    beta: float = 0.6,
    pointwise_weight: bool = True,
) -> Tensor:
    r"""Loss of TEMI for each of several heads.

    .. math::
        L = -\tfrac12 \operatorname{mean}_{x, x'} \left[
            w(x, x') \, \mathrm{pmi}_\beta(x, x') + w(x, x') \, \mathrm{pmi}_\beta(x', x) \right]

    Parameters
    ----------
    student_logits, teacher_logits : Tensor of shape (2 * batch, n_clusters, n_heads)
        Divided by their temperatures; anchors first, then one neighbor of each.
    teacher_mean : Tensor of shape (n_clusters, n_heads)
        :math:`\tilde q_t`.
    beta : float, default=0.6
    pointwise_weight : bool, default=True
        Whether pairs are weighted by the agreement of the teachers, averaged over heads.

    Returns
    -------
    losses : Tensor of shape (n_heads,)
    """
    import torch

    log_student = torch.log_softmax(student_logits, dim=1)
    log_teacher = torch.log_softmax(teacher_logits, dim=1).detach()
    own, partner = log_teacher.chunk(2)
    log_mean = teacher_mean.clamp(min=_SMALLEST_MEAN).log()
    of_the_other = torch.cat([partner, own])
    information = torch.logsumexp(beta * (log_student + of_the_other) - log_mean, dim=1)
    both_ways = information.unflatten(0, (2, -1)).mean(dim=0)
    if pointwise_weight:
        agreement = (own + partner).exp().sum(dim=1).mean(dim=1)
        both_ways = agreement[:, None] * both_ways
    return -both_ways.mean(dim=0)


class _TemiTraining(HeadTraining):
    def __init__(
        self,
        objective: TemiObjective,
        problem: HeadProblem,
        n_heads: int,
        labels: NDArray[np.integer] | None,
        schedule: Schedule,
        generator: torch.Generator,
    ) -> None:
        import torch

        from skscan.training.trainable_heads import SteadyAdam, fit_labels

        device = problem.device
        self.objective = objective
        self.features = torch.as_tensor(problem.features, device=device)
        self.table = torch.as_tensor(_without_self(problem.table), device=device)
        self.generator = generator
        self.student = _new_student(objective, problem, n_heads, generator)
        if labels is not None:
            fit_labels(
                self.student,
                self.features,
                torch.as_tensor(labels.astype(np.int64), device=device),
                n_steps=LABEL_FITTING_STEPS,
                batch_size=LABEL_FITTING_BATCH,
                learning_rate=LABEL_FITTING_RATE,
                generator=generator,
            )
        self.teacher = self.student.copy(objective.teacher_temperature)
        shape = (problem.n_clusters, n_heads)
        self.teacher_mean = torch.full(shape, 1 / problem.n_clusters, device=device)
        n_warmup = round(WARMUP * schedule.n_epochs * schedule.n_batches(len(self.features)))
        self.adam = SteadyAdam(self.student.parameters, schedule.learning_rate, n_warmup)
        self.momentum = objective.momentum**schedule.stretch
        self.last_layer_waits = labels is None and schedule.n_epochs > 1

    def step(self, anchors: Tensor, epoch: int) -> dict[str, Tensor]:
        import torch

        columns = torch.randint(self.table.shape[1], (len(anchors), 1), generator=self.generator)
        partners = self.table[anchors].gather(1, columns.to(anchors.device)).squeeze(1)
        pairs = self.features[torch.cat([anchors, partners])]
        teacher_logits = self.teacher.logits(pairs)
        batch_mean = torch.softmax(teacher_logits, dim=1).mean(dim=0)
        self.teacher_mean.lerp_(batch_mean, 1 - self.objective.mean_momentum)

        parameters = self.student.parameters.requires_grad_()
        losses = temi_losses(
            self.student.logits(pairs),
            teacher_logits,
            self.teacher_mean,
            self.objective.beta,
            self.objective.pointwise_weight,
        )
        # Adam's steps do not depend on the scale: the sum trains heads as their mean would
        [gradient] = torch.autograd.grad(losses.sum(), parameters)
        parameters.requires_grad_(False)
        self._step(gradient, epoch)
        self.teacher.parameters.lerp_(self.student.parameters, 1 - self.momentum)
        return {"loss": losses.detach()}

    def to_heads(self) -> Heads:
        return self.teacher.to_numpy()

    def _step(self, gradient: Tensor, epoch: int) -> None:
        """AdamW on matrices, Adam on biases; the last layer starts in the second pass."""
        matrices = self.student.parameters.view(-1)[: self.student.n_matrix_entries]
        if self.last_layer_waits and epoch == 0:
            first = self.student.n_matrix_entries - self.student.n_last_entries
            gradient.view(-1)[first : self.student.n_matrix_entries] = 0
        self.adam.step(gradient)
        matrices.mul_(1 - self.adam.rate() * self.objective.weight_decay)


def _new_student(
    objective: TemiObjective, problem: HeadProblem, n_heads: int, generator: torch.Generator
) -> Any:
    import torch

    from skscan.training.trainable_heads import TrainableLinearHeads, TrainableMLPHeads

    n_features = problem.features.shape[1]
    if objective.head == "mlp":
        return TrainableMLPHeads.random(
            n_heads,
            n_features,
            objective.hidden_sizes,
            problem.n_clusters,
            objective.student_temperature,
            generator,
            problem.device,
        )
    weights = torch.empty(n_heads, problem.n_clusters, n_features)
    torch.nn.init.trunc_normal_(weights, std=0.02, generator=generator)
    heads = LinearHeads(weights.numpy(), np.zeros(weights.shape[:2], np.float32))
    return TrainableLinearHeads(heads, problem.device, objective.student_temperature)


def _without_self(table: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return the table with another neighbor wherever a sample is named as its own."""
    rows = np.arange(len(table))[:, None]
    own = table == rows
    others = np.argsort(own, axis=1, kind="stable")  # columns of others first
    n_others = np.maximum((~own).sum(axis=1, keepdims=True), 1)
    columns = np.arange(max(int(n_others.max()), 1)) % n_others
    return np.take_along_axis(table, np.take_along_axis(others, columns, 1), 1).astype(np.int64)
