"""TURTLE: its formula against a slow version, its step against torch's own layers."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from skscan import TurtleObjective
from skscan.training.head_problem import HeadProblem
from skscan.training.objectives.base import Schedule
from skscan.training.objectives.turtle import turtle_losses
from skscan.training.trainable_heads import random_linear

BATCH, N_CLUSTERS, N_HEADS, WIDTHS = 12, 3, 2, (4, 2)


def softmax(row):
    powers = [math.exp(value) for value in row]
    return [power / sum(powers) for power in powers]


def slow_loss(task, classifiers, gamma):
    """Each sample and each cluster on its own; logits of one head, for each space."""
    n_spaces, batch, n_clusters = len(task), len(task[0]), len(task[0][0])
    error = entropy = 0.0
    for sample in range(batch):
        of_spaces = [softmax(task[k][sample]) for k in range(n_spaces)]
        label = [sum(p[c] for p in of_spaces) / n_spaces for c in range(n_clusters)]
        for k in range(n_spaces):
            predicted = softmax(classifiers[k][sample])
            error -= sum(label[c] * math.log(predicted[c]) for c in range(n_clusters)) / batch
    for k in range(n_spaces):
        probabilities = [softmax(task[k][sample]) for sample in range(batch)]
        for c in range(n_clusters):
            mean = sum(p[c] for p in probabilities) / batch
            entropy -= mean * math.log(mean)
    return error - gamma * entropy, entropy


def test_losses_are_those_of_each_sample():
    random_state = np.random.RandomState(0)
    task, classifiers = random_state.standard_normal((2, 2, BATCH, N_CLUSTERS, N_HEADS))
    losses, entropies = turtle_losses(
        [torch.tensor(x) for x in task], [torch.tensor(x) for x in classifiers], 7.0
    )
    for head in range(N_HEADS):
        loss, entropy = slow_loss(task[..., head].tolist(), classifiers[..., head].tolist(), 7.0)
        assert losses[head].item() == pytest.approx(loss)
        assert entropies[head].item() == pytest.approx(entropy)


def problem():
    features = np.random.RandomState(0).standard_normal((BATCH, sum(WIDTHS)))
    return HeadProblem(
        features=features.astype(np.float32),
        table=np.arange(BATCH)[:, None],
        n_clusters=N_CLUSTERS,
        spaces=WIDTHS,
        maker=None,
        random_state=np.random.RandomState(0),
    )


def begin(objective):
    plan = [("random-weights", "none")] * N_HEADS
    generator = torch.Generator().manual_seed(0)
    return objective.begin(None, problem(), plan, None, Schedule(1, BATCH, 0.01), generator)


class SlowHead:
    """One head with torch's layers, weight normalisation and Adam."""

    def __init__(self, heads, head):
        self.task = []
        for space in heads.spaces:
            layer = nn.Linear(space.n_features, N_CLUSTERS)
            with torch.no_grad():
                layer.weight.copy_(torch.tensor(space.weights[head]))
                layer.bias.copy_(torch.tensor(space.biases[head]))
            self.task.append(nn.utils.parametrizations.weight_norm(layer, dim=0))
        parameters = [p for layer in self.task for p in layer.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=0.01)

    def new_classifiers(self, drawn, head, learning_rate):
        self.classifiers = []
        for flat, width in zip(drawn, WIDTHS, strict=True):
            layer = nn.Linear(width, N_CLUSTERS)
            of_head = flat.view(width + 1, N_CLUSTERS, N_HEADS)[:, :, head]
            with torch.no_grad():
                layer.weight.copy_(of_head[:-1].T)
                layer.bias.copy_(of_head[-1])
            self.classifiers.append(layer)
        parameters = [p for layer in self.classifiers for p in layer.parameters()]
        self.inner = torch.optim.Adam(parameters, lr=learning_rate)

    def step(self, parts, gamma, inner_steps):
        def labels():
            each = [torch.softmax(f(z), 1) for f, z in zip(self.task, parts, strict=True)]
            return sum(each) / len(each), each

        for _ in range(inner_steps):
            self.inner.zero_grad()
            target = labels()[0].detach()
            loss = sum(
                nn.functional.cross_entropy(w(z), target)
                for w, z in zip(self.classifiers, parts, strict=True)
            )
            loss.backward()
            self.inner.step()
        self.optimizer.zero_grad()
        target, each = labels()
        loss = sum(
            nn.functional.cross_entropy(w(z).detach(), target)
            for w, z in zip(self.classifiers, parts, strict=True)
        )
        entropy = sum(-(p.mean(0) * p.mean(0).log()).sum() for p in each)
        (loss - gamma * entropy).backward()
        self.optimizer.step()
        return (loss - gamma * entropy).item()


@pytest.mark.parametrize("warm_start", [False, True])
def test_steps_are_those_of_torchs_layers(warm_start):
    objective = TurtleObjective(
        gamma=3.0, inner_steps=4, inner_learning_rate=0.05, warm_start=warm_start
    )
    training = begin(objective)
    slow = [SlowHead(training.to_heads(), head) for head in range(N_HEADS)]
    generator = torch.Generator().manual_seed(5)
    training.generator.manual_seed(5)
    training.classifiers = training._new_classifiers()
    n_outputs = N_CLUSTERS * N_HEADS
    drawn = [random_linear(width, n_outputs, generator) for width in WIDTHS]
    for head in range(N_HEADS):
        slow[head].new_classifiers(drawn, head, 0.05)
    parts = training.features.split(WIDTHS, dim=1)
    for _ in range(3):
        if not warm_start:
            drawn = [random_linear(width, n_outputs, generator) for width in WIDTHS]
        losses = training.step(torch.arange(BATCH), epoch=0)["loss"]
        for head in range(N_HEADS):
            if not warm_start:
                slow[head].new_classifiers(drawn, head, 0.05)
            expected = slow[head].step(parts, 3.0, 4)
            assert losses[head].item() == pytest.approx(expected, rel=1e-4)
    heads = training.to_heads()
    for head in range(N_HEADS):
        for space, layer in zip(heads.spaces, slow[head].task, strict=True):
            np.testing.assert_allclose(space.weights[head], layer.weight.detach(), atol=1e-4)
            np.testing.assert_allclose(space.biases[head], layer.bias.detach(), atol=1e-4)
