"""TEMI: its formula against a slow version, its teacher and its steps."""

import copy
import math

import numpy as np
import pytest
import torch

from skscan import TemiObjective
from skscan.training.head_problem import HeadProblem
from skscan.training.objectives.base import Schedule
from skscan.training.objectives.temi import _without_self, temi_losses

BATCH, N_CLUSTERS, N_HEADS = 5, 4, 3


def softmax(row):
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def slow_losses(student, teacher, mean, beta, weighted):
    """Each pair and each cluster on its own: student and teacher (2 * batch, n_clusters, heads)."""
    batch, n_heads = len(student) // 2, student.shape[2]
    losses = []
    for head in range(n_heads):
        total = 0.0
        for pair in range(batch):
            weight = 0.0
            for other in range(n_heads):
                own = softmax(teacher[pair, :, other])
                neighbor = softmax(teacher[batch + pair, :, other])
                weight += sum(a * b for a, b in zip(own, neighbor, strict=True)) / n_heads
            for first, second in ((pair, batch + pair), (batch + pair, pair)):
                of_student = softmax(student[first, :, head])
                of_teacher = softmax(teacher[second, :, head])
                ratio = sum(
                    (of_student[c] * of_teacher[c]) ** beta / mean[c, head]
                    for c in range(student.shape[1])
                )
                total += (weight if weighted else 1.0) * math.log(ratio)
        losses.append(-total / (2 * batch))
    return losses


@pytest.mark.parametrize("beta", [0.6, 1.0])
@pytest.mark.parametrize("weighted", [True, False])
def test_losses_are_those_of_each_pair(beta, weighted):
    random_state = np.random.RandomState(0)
    student, teacher = random_state.standard_normal((2, 2 * BATCH, N_CLUSTERS, N_HEADS))
    mean = random_state.dirichlet(np.ones(N_CLUSTERS), N_HEADS).T
    given = temi_losses(
        torch.tensor(student), torch.tensor(teacher), torch.tensor(mean), beta, weighted
    )
    np.testing.assert_allclose(given, slow_losses(student, teacher, mean, beta, weighted))


def test_no_gradient_flows_to_the_teacher():
    logits = torch.randn(2 * BATCH, N_CLUSTERS, N_HEADS, requires_grad=True)
    student = torch.randn(2 * BATCH, N_CLUSTERS, N_HEADS, requires_grad=True)
    mean = torch.full((N_CLUSTERS, N_HEADS), 1 / N_CLUSTERS)
    temi_losses(student, logits, mean).sum().backward()
    assert logits.grad is None
    assert student.grad.abs().max() > 0


def problem(n_samples=20, n_features=6):
    features = np.random.RandomState(0).standard_normal((n_samples, n_features))
    rows = np.arange(n_samples)
    return HeadProblem(
        features=features.astype(np.float32),
        table=np.stack([rows, (rows + 1) % n_samples], axis=1),
        n_clusters=N_CLUSTERS,
        spaces=(n_features,),
        maker=None,
        random_state=np.random.RandomState(0),
    )


def begin(objective, n_epochs=1, learning_rate=0.01, stretch=1.0):
    schedule = Schedule(n_epochs, 20, learning_rate, stretch)
    plan = [("random-weights", "none")] * N_HEADS
    generator = torch.Generator().manual_seed(0)
    return objective.begin(None, problem(), plan, None, schedule, generator)


@pytest.mark.parametrize("head", ["mlp", "linear"])
def test_a_step_is_that_of_adamw_on_the_mean_over_heads(head):
    objective = TemiObjective(head=head, hidden_sizes=(8, 5), weight_decay=0.1)
    training = begin(objective)
    training.adam.n_steps = 0  # without warm-up
    before = copy.deepcopy(training.student)
    teacher = copy.deepcopy(training.teacher)
    features, anchors = training.features, torch.arange(20)
    partners = (anchors + 1) % 20  # the only neighbor besides itself
    losses = training.step(anchors, epoch=0)["loss"]

    pairs = torch.cat([features[anchors], features[partners]])
    of_teacher = torch.softmax(teacher.logits(pairs), dim=1)
    mean = 0.9 / N_CLUSTERS + 0.1 * of_teacher.mean(dim=0)
    np.testing.assert_allclose(training.teacher_mean, mean, rtol=1e-5)
    flat = before.parameters.requires_grad_()
    expected = temi_losses(before.logits(pairs), teacher.logits(pairs), mean)
    np.testing.assert_allclose(losses, expected.detach(), rtol=1e-4)
    [gradient] = torch.autograd.grad(expected.mean(), flat)

    n = before.n_matrix_entries
    parts = [
        torch.nn.Parameter(part)
        for part in flat.detach().clone().view(-1).split([n, flat.numel() - n])
    ]
    adamw = torch.optim.AdamW(
        [{"params": parts[:1], "weight_decay": 0.1}, {"params": parts[1:], "weight_decay": 0.0}],
        lr=0.01,
    )
    for part, of_part in zip(parts, gradient.reshape(-1).split([n, flat.numel() - n]), strict=True):
        part.grad = of_part
    adamw.step()
    stepped = torch.cat([part.detach() for part in parts])
    clear = gradient.view(-1).abs() > 1e-6  # of the others only the sign of rounding is left
    assert clear.float().mean() > 0.5
    np.testing.assert_allclose(
        training.student.parameters.view(-1)[clear], stepped[clear], rtol=1e-3, atol=1e-4
    )
    follows = 0.996 * teacher.parameters + 0.004 * training.student.parameters
    np.testing.assert_allclose(training.teacher.parameters, follows, atol=1e-6)


def test_the_last_layer_waits_for_the_second_pass():
    training = begin(TemiObjective(hidden_sizes=(8, 5), weight_decay=0.0), n_epochs=2)
    before = training.student.to_numpy()
    training.step(torch.arange(20), epoch=0)
    first = training.student.to_numpy()
    training.step(torch.arange(20), epoch=1)
    np.testing.assert_allclose(first.directions, before.directions, atol=1e-6)
    assert np.abs(first.first_weights - before.first_weights).max() > 1e-4
    assert np.abs(training.student.to_numpy().directions - before.directions).max() > 1e-4


def test_longer_steps_have_a_faster_teacher():
    assert begin(TemiObjective(), stretch=10.0).momentum == pytest.approx(0.996**10)


def test_the_teacher_predicts_at_its_own_temperature():
    objective = TemiObjective(
        hidden_sizes=(8, 5), student_temperature=0.2, teacher_temperature=0.05
    )
    training = begin(objective)
    assert training.student.temperature == 0.2
    assert training.to_heads().temperature == 0.05


def test_a_sample_is_not_its_own_neighbor():
    table = np.array([[0, 1, 2], [0, 1, 2], [2, 2, 2], [1, 0, 2]])
    others = _without_self(table)
    assert set(others[0]) == {1, 2}
    assert set(others[1]) == {0, 2}
    assert set(others[2]) == {2}  # it has no other
    assert set(others[3]) == {0, 1, 2}
