"""Heads of other kinds in torch: the same as in numpy, and trained by the same steps as torch's."""

import numpy as np
import pytest
import torch

from skscan.networks.averaged_heads import AveragedHeads
from skscan.networks.heads import LinearHeads
from skscan.training.batched_heads import BatchedHeads
from skscan.training.trainable_heads import (
    SteadyAdam,
    TrainableAveragedHeads,
    TrainableLinearHeads,
    TrainableMLPHeads,
    fit_labels,
    random_linear,
    trainable,
)

N_FEATURES = 6


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_heads(kind):
    if kind == "mlp":
        heads = TrainableMLPHeads.random(3, N_FEATURES, (8, 5), 4, 0.1, seeded())
    elif kind == "averaged":
        heads = TrainableAveragedHeads.random(3, [4, 2], 4, seeded())
    else:
        weights = np.random.RandomState(0).standard_normal((3, 4, N_FEATURES)).astype(np.float32)
        heads = TrainableLinearHeads(LinearHeads(weights, weights[:, :, 0]), temperature=0.5)
    heads.parameters += 0.1 * torch.randn(heads.parameters.shape, generator=seeded(1))
    return heads


@pytest.mark.parametrize("kind", ["linear", "mlp", "averaged"])
def test_logits_are_those_of_the_heads_in_numpy(kind):
    heads = random_heads(kind)
    features = torch.randn(7, N_FEATURES, generator=seeded(2))
    logits, in_numpy = heads.logits(features), heads.to_numpy()
    assert logits.shape == (7, 4, 3)
    for head in range(3):
        expected = in_numpy.logits(features.numpy(), head)
        np.testing.assert_allclose(logits[:, :, head], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["linear", "mlp", "averaged"])
def test_training_goes_on_from_heads_in_numpy(kind):
    heads = random_heads(kind)
    again = trainable(heads.to_numpy())
    features = torch.randn(7, N_FEATURES, generator=seeded(2))
    np.testing.assert_allclose(again.logits(features), heads.logits(features), atol=1e-4)


def test_linear_heads_are_trained_as_before():
    assert type(trainable(LinearHeads(np.ones((1, 2, 3)), np.ones((1, 2))))) is BatchedHeads


@pytest.mark.parametrize("kind", ["linear", "mlp", "averaged"])
def test_each_head_learns_its_own_labels(kind):
    features = np.random.RandomState(0).standard_normal((300, N_FEATURES)).astype(np.float32)
    columns = [features[:, head : head + 4].argmax(axis=1) for head in range(3)]
    heads = random_heads(kind)
    fit_labels(
        heads,
        torch.tensor(features),
        torch.tensor(np.stack(columns, axis=1)),
        n_steps=300,
        batch_size=200,
        learning_rate=0.03,
        generator=seeded(),
    )
    fitted = heads.to_numpy()
    for head in range(3):
        accuracy = (fitted.predict(features, head) == columns[head]).mean()
        assert accuracy > (0.6 if kind == "averaged" else 0.9)  # spaces do not see each other


def test_zero_weights_can_be_trained():
    zero = LinearHeads(np.zeros((1, 2, 3), np.float32), np.zeros((1, 2), np.float32))
    heads = trainable(AveragedHeads([zero]))
    heads.parameters.requires_grad_()
    heads.logits(torch.ones(4, 3))[:, 0].sum().backward()
    assert torch.isfinite(heads.parameters.grad).all()


def test_steps_are_those_of_torch():
    ours = torch.randn(5, generator=seeded())
    theirs = ours.clone().requires_grad_()
    adam, reference = SteadyAdam(ours, 0.1), torch.optim.Adam([theirs], lr=0.1)
    for step in range(6):
        gradient = torch.randn(5, generator=seeded(step + 1))
        adam.step(gradient)
        theirs.grad = gradient
        reference.step()
    np.testing.assert_allclose(ours, theirs.detach(), rtol=1e-4)


def test_learning_rate_rises_then_stays():
    adam = SteadyAdam(torch.zeros(1), 0.8, n_warmup=4)
    rates = []
    for _ in range(6):
        adam.step(torch.ones(1))
        rates.append(adam.rate())
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])


def test_random_weights_are_within_the_bounds_of_torch():
    drawn = random_linear(16, 400, seeded())
    assert drawn.shape == (17, 400)
    assert 0.24 < drawn.abs().max() <= 0.25
    assert abs(drawn.mean()) < 0.01
