"""Batched heads: gradients by hand against automatic differentiation."""

import numpy as np
import pytest
import torch

from skscan.networks.heads import LinearHeads
from skscan.training.batched_heads import BatchedHeads, scan_gradient
from skscan.training.losses import scan_loss


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
