"""TURTLE: labels that linear classifiers learn easily, in every feature space."""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from skscan.networks.heads import Heads
from skscan.training.head_problem import HeadProblem
from skscan.training.objectives.base import (
    LABEL_FITTING_BATCH,
    LABEL_FITTING_STEPS,
    GradientObjective,
    HeadTraining,
    Schedule,
    auto_schedule,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from skscan.training.clustering import ClusterTrainer
    from skscan.training.trainable_heads import SteadyAdam

__all__ = ["TurtleObjective", "turtle_losses"]

PAPER_STEPS = 6000
MAX_AUTO_STEPS = 600
PAPER_RATE = 0.001
MAX_AUTO_WORK = 2**40
MAX_STRETCH = 20.0
AUTO_BATCH_SIZE = 1024
LABEL_FITTING_RATE = 0.01

_SMALLEST_MEAN = 1e-8


class TurtleObjective(GradientObjective):
    r"""The objective of TURTLE: labels that linear classifiers learn easily.

    The labels of a head are its probabilities, averaged over K feature spaces,
    :math:`\tau(x) = \tfrac1K \sum_k \operatorname{softmax}(\theta_k z_k)`. In each step fresh
    linear classifiers :math:`w_k` learn the labels by a few steps; then the labels move to where
    these classifiers would be better, while all clusters stay in use:

    .. math::
        \sum_k \mathrm{CE}(w_k z_k, \tau) - \gamma \sum_k H(\bar p_k), \quad
        \bar p_k = \operatorname{mean}_x \operatorname{softmax}(\theta_k z_k)

    Neighbors are not used in training.

    Parameters
    ----------
    gamma : float, default=10.0
        :math:`\gamma`, the weight of the entropy.
    inner_steps : int, default=10
        Steps that the classifiers make on the batch before the labels move.
    inner_learning_rate : float, default=0.001
        Of these, with Adam.
    warm_start : bool, default=False
        Let classifiers go on from the last step instead of starting afresh.
    start : {"random", "partitions"}, default="random"
        ``"random"`` starts from random weights, as in the paper; ``"partitions"`` first fits heads
        to the partitions that the trainer names in `starts`.

    Notes
    -----
    The paper makes 6,000 steps of Adam with a learning rate of 0.001 on batches of 10,000 samples,
    or all if there are fewer; give ``batch_size=10_000`` and as many passes as make 6,000 steps.
    With ``n_epochs="auto"`` the trainer makes a tenth of that many steps, or as many as 2^40
    multiplications allow if that is fewer, and at least one pass; steps are longer by as much, up
    to 20 times. ``batch_size="auto"`` is 1,024, or 20 for each cluster if that is more.

    The spaces are those of a list of extractors, or of a `FeatureSpacesScaler`; without either
    there is one.

    References
    ----------
    Gadetsky et al., "Let Go of Your Labels with Unsupervised Transfer", ICML 2024.

    Examples
    --------
    >>> from skscan import ClusterTrainer, TurtleObjective
    >>> trainer = ClusterTrainer(objective=TurtleObjective(gamma=5.0))
    """

    unused = {"class_prior": "auto", "entropy_weight": 5.0}

    _parameter_constraints: dict = {
        "gamma": [Interval(Real, 0, None, closed="left")],
        "inner_steps": [Interval(Integral, 1, None, closed="left")],
        "inner_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "warm_start": ["boolean"],
        "start": [StrOptions({"random", "partitions"})],
    }

    def __init__(
        self,
        *,
        gamma: float = 10.0,
        inner_steps: int = 10,
        inner_learning_rate: float = 0.001,
        warm_start: bool = False,
        start: str = "random",
    ) -> None:
        self.gamma = gamma
        self.inner_steps = inner_steps
        self.inner_learning_rate = inner_learning_rate
        self.warm_start = warm_start
        self.start = start

    def schedule(self, trainer: ClusterTrainer, problem: HeadProblem) -> Schedule:
        """Return the schedule, with what is ``"auto"`` decided."""
        n_features = problem.features.shape[1]
        passes = 2 * self.inner_steps + 3  # forward and backward of the inner, and of the outer
        return auto_schedule(
            trainer,
            len(problem.features),
            batch_size=max(AUTO_BATCH_SIZE, 20 * problem.n_clusters),
            learning_rate=PAPER_RATE,
            paper_steps=PAPER_STEPS,
            max_steps=MAX_AUTO_STEPS,
            step_work=passes * n_features * problem.n_clusters * trainer.n_heads,
            max_work=MAX_AUTO_WORK,
            max_stretch=MAX_STRETCH,
        )

    def entries_per_head(self, problem: HeadProblem, batch_size: int) -> int:
        """Return how many values a step of one head computes, about."""
        return 6 * batch_size * problem.n_clusters * len(problem.spaces)

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
        return _TurtleTraining(self, problem, len(plan), labels, schedule, generator)


def turtle_losses(
    task_logits: list[Tensor], classifier_logits: list[Tensor], gamma: float = 10.0
) -> tuple[Tensor, Tensor]:
    r"""Outer loss of TURTLE, and the entropy in it, for each of several heads.

    Parameters
    ----------
    task_logits, classifier_logits : list of Tensors of shape (batch, n_clusters, n_heads)
        :math:`\theta_k z_k` and :math:`w_k z_k` in each space; no gradient flows to the second.
    gamma : float, default=10.0

    Returns
    -------
    losses, entropies : Tensors of shape (n_heads,)
        ``losses = cross_entropies - gamma * entropies``, both summed over spaces.
    """
    import torch

    probabilities = torch.stack([torch.softmax(logits, dim=1) for logits in task_logits])
    labels = probabilities.mean(dim=0)
    errors = torch.zeros_like(labels)
    for logits in classifier_logits:
        errors = errors - labels * torch.log_softmax(logits.detach(), dim=1)
    means = probabilities.mean(dim=1).clamp(min=_SMALLEST_MEAN)
    entropies = -(means * means.log()).sum(dim=(0, 1))
    return errors.sum(dim=1).mean(dim=0) - gamma * entropies, entropies


class _TurtleTraining(HeadTraining):
    def __init__(
        self,
        objective: TurtleObjective,
        problem: HeadProblem,
        n_heads: int,
        labels: NDArray[np.integer] | None,
        schedule: Schedule,
        generator: torch.Generator,
    ) -> None:
        import torch

        from skscan.training.trainable_heads import (
            SteadyAdam,
            TrainableAveragedHeads,
            fit_labels,
        )

        self.objective, self.generator = objective, generator
        self.features = torch.as_tensor(problem.features, device=problem.device)
        self.heads = TrainableAveragedHeads.random(
            n_heads, problem.spaces, problem.n_clusters, generator, problem.device
        )
        if labels is not None:
            fit_labels(
                self.heads,
                self.features,
                torch.as_tensor(labels.astype(np.int64), device=problem.device),
                n_steps=LABEL_FITTING_STEPS,
                batch_size=LABEL_FITTING_BATCH,
                learning_rate=LABEL_FITTING_RATE,
                generator=generator,
            )
        self.adam = SteadyAdam(self.heads.parameters, schedule.learning_rate)
        self.classifiers = self._new_classifiers()

    def step(self, anchors: Tensor, epoch: int) -> dict[str, Tensor]:
        import torch

        features = self.features[anchors]
        parameters = self.heads.parameters.requires_grad_()
        task_logits = self.heads.space_logits(features)
        with torch.no_grad():
            labels = torch.stack([torch.softmax(x, dim=1) for x in task_logits]).mean(dim=0)
            if not self.objective.warm_start:
                self.classifiers = self._new_classifiers()
            parts = features.split(self.heads.widths, dim=1)
            classifier_logits = [
                classifier.fit(part, labels, self.objective.inner_steps)
                for classifier, part in zip(self.classifiers, parts, strict=True)
            ]
        losses, entropies = turtle_losses(task_logits, classifier_logits, self.objective.gamma)
        [gradient] = torch.autograd.grad(losses.sum(), parameters)
        parameters.requires_grad_(False)
        self.adam.step(gradient)
        return {"entropy": entropies.detach(), "loss": losses.detach()}

    def to_heads(self) -> Heads:
        return self.heads.to_numpy()

    def _new_classifiers(self) -> list[_Classifiers]:
        from skscan.training.trainable_heads import SteadyAdam, random_linear

        device = self.features.device
        shape = (self.heads.n_clusters, self.heads.n_heads)
        classifiers = []
        for width in self.heads.widths:
            weights = random_linear(width, shape[0] * shape[1], self.generator).to(device)
            adam = SteadyAdam(weights, self.objective.inner_learning_rate)
            classifiers.append(_Classifiers(adam, shape))
        return classifiers


class _Classifiers:
    """Linear classifiers of one space, one for each head; gradients are derived by hand."""

    def __init__(self, adam: SteadyAdam, shape: tuple[int, int]) -> None:
        self.adam = adam
        self.shape = shape

    def fit(self, features: Tensor, labels: Tensor, n_steps: int) -> Tensor:
        """Make some steps of cross-entropy to the labels; return the logits after them."""
        import torch

        flat_labels = labels.view(len(features), -1)
        for _ in range(n_steps):
            probabilities = torch.softmax(self._logits(features), dim=1)
            error = probabilities.view(len(features), -1).sub_(flat_labels).div_(len(features))
            self.adam.step(torch.cat([features.T @ error, error.sum(dim=0, keepdim=True)]))
        return self._logits(features)

    def _logits(self, features: Tensor) -> Tensor:
        import torch

        weights = self.adam.parameters
        return torch.addmm(weights[-1], features, weights[:-1]).view(-1, *self.shape)
