"""Batched heads: gradients by hand against automatic differentiation."""

import numpy as np
import pytest
import torch

from skscan.networks.heads import LinearHeads
from skscan.training import scan_step
from skscan.training.batched_heads import BatchedHeads, scan_gradient
from skscan.training.losses import scan_loss
from skscan.training.scan_step import ScanStep


def random_heads(n_heads=3, n_clusters=4, n_features=5):
    random_state = np.random.RandomState(0)
    return LinearHeads(
        random_state.standard_normal((n_heads, n_clusters, n_features)).astype(np.float32),
        random_state.standard_normal((n_heads, n_clusters)).astype(np.float32),
    )


def test_parameters_come_back_unchanged():
    heads = random_heads()
    returned = BatchedHeads(heads).to_numpy()
    np.testing.assert_array_equal(returned.weights, heads.weights)
    np.testing.assert_array_equal(returned.biases, heads.biases)


def test_logits_are_those_of_each_head():
    heads = random_heads()
    features = np.random.RandomState(1).standard_normal((7, 5)).astype(np.float32)
    logits = BatchedHeads(heads).logits(torch.tensor(features))
    for head in range(len(heads)):
        np.testing.assert_allclose(logits[:, :, head], heads.logits(features, head), rtol=1e-5)


def test_scan_gradient_with_uniform_prior_is_that_of_the_scan_loss():
    logits = torch.randn(16, 4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 5.0])
    uniform = torch.full((4, 3), 0.25).log()
    gradient, losses, _ = scan_gradient(torch.softmax(logits.detach(), 1), weights, uniform)
    for head in range(3):
        expected = scan_loss(logits[:8, :, head], logits[8:, :, head], float(weights[head]))
        np.testing.assert_allclose(losses.total[head], expected[0].item(), rtol=1e-5)
        np.testing.assert_allclose(losses.consistency[head], expected[1].item(), rtol=1e-5)
        np.testing.assert_allclose(losses.entropy[head], expected[2].item(), rtol=1e-5)
        expected[0].backward()
    np.testing.assert_allclose(gradient, logits.grad, atol=1e-6)


def test_scan_gradient_with_a_prior_is_that_of_its_loss():
    logits = torch.randn(16, 4, 1, generator=torch.Generator().manual_seed(0), requires_grad=True)
    prior = torch.tensor([[0.7], [0.1], [0.1], [0.1]])
    probabilities = torch.softmax(logits, 1)
    anchors, neighbors = probabilities[:8], probabilities[8:]
    mean = anchors.mean(0)
    divergence = (mean * (mean / (4 * prior)).log()).sum()
    loss = -(anchors * neighbors).sum(1).log().mean() + 3 * divergence
    loss.backward()
    gradient, losses, mean_probability = scan_gradient(
        probabilities.detach(), torch.tensor([3.0]), prior.log()
    )
    assert losses.total.item() == pytest.approx(loss.item(), rel=1e-5)
    np.testing.assert_allclose(gradient, logits.grad, atol=1e-6)
    np.testing.assert_allclose(mean_probability, mean.detach(), rtol=1e-5)


@pytest.mark.parametrize("batch", [7, 128, 300])
def test_a_step_in_pieces_is_that_of_the_whole_batch(batch, monkeypatch):
    monkeypatch.setattr(scan_step, "PIECE_ENTRIES", 1)
    monkeypatch.setattr(scan_step, "MIN_PIECE_ROWS", 64)
    batched = BatchedHeads(random_heads())
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(500, 5, generator=generator)
    anchors = torch.randperm(500, generator=generator)[:batch]
    neighbors = torch.randint(500, (batch,), generator=generator)
    weight, prior = torch.tensor([1.0, 0.0, 5.0]), torch.rand(4, 3, generator=generator)
    step = ScanStep(batched.parameters, 4, 3, weight, 300)
    for _ in range(2):  # what the first step left behind does not matter
        gradient, losses, mean = step(features, anchors, neighbors, prior.log())
        pairs = features[torch.cat([anchors, neighbors])]
        of_logits, expected, expected_mean = scan_gradient(
            torch.softmax(batched.logits(pairs), 1), weight, prior.log()
        )
        flat = of_logits.reshape(len(pairs), -1)
        np.testing.assert_allclose(gradient[:-1], pairs.T @ flat, atol=2e-6)
        np.testing.assert_allclose(gradient[-1], flat.sum(0), atol=2e-6)
        np.testing.assert_allclose(mean, expected_mean, rtol=1e-5)
        for one, other in zip(losses, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
        batched.parameters += 0.1


def test_training_is_that_of_automatic_differentiation():
    heads = random_heads()
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(400, 5, generator=generator)
    table = torch.randint(400, (400, 6), generator=generator)
    settings = {"n_epochs": 3, "batch_size": 100, "learning_rate": 0.05}
    batched = BatchedHeads(heads)
    passes = batched.fit_scan(
        features,
        table,
        np.full(3, 5.0),
        np.full((3, 4), 0.25),
        np.zeros(3),
        generator=torch.Generator().manual_seed(1),
        **settings,
    )
    parameters = BatchedHeads(heads).parameters.requires_grad_()
    optimizer = torch.optim.Adam([parameters], betas=(0.9, 0.99))
    generator = torch.Generator().manual_seed(1)
    done = 0
    for losses in passes:
        columns = torch.randint(6, (400,), generator=generator, dtype=torch.int32)
        order = torch.randperm(400, generator=generator, dtype=torch.int32)
        total = np.zeros(3)
        for anchors in order.split(100):
            done += 1
            optimizer.param_groups[0]["lr"] = 0.025 * (1 + np.cos(np.pi * done / 12))
            partners = table[anchors, columns[anchors]]
            logits = [
                (features[rows] @ parameters[:-1] + parameters[-1]).view(-1, 4, 3)
                for rows in (anchors, partners)
            ]
            of_heads = [scan_loss(logits[0][..., h], logits[1][..., h])[0] for h in range(3)]
            optimizer.zero_grad()
            sum(of_heads).backward()
            optimizer.step()
            total += [loss.item() / 4 for loss in of_heads]
        np.testing.assert_allclose(losses.total, total, rtol=1e-4)


def test_each_head_learns_its_own_labels():
    random_state = np.random.RandomState(0)
    features = random_state.standard_normal((300, 5)).astype(np.float32)
    labels = np.stack([features[:, :4].argmax(axis=1), features[:, 1:].argmax(axis=1)], axis=1)
    batched = BatchedHeads(LinearHeads(np.zeros((2, 4, 5)), np.zeros((2, 4))))
    batched.fit_labels(
        torch.tensor(features),
        torch.tensor(labels),
        n_epochs=100,
        batch_size=100,
        learning_rate=0.1,
        generator=torch.Generator().manual_seed(0),
    )
    heads = batched.to_numpy()
    for head in range(2):
        assert (heads.predict(features, head) == labels[:, head]).mean() > 0.95
