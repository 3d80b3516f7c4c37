"""The losses against reference values and against slow, obvious versions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from skscan.training.losses import scan_loss, self_label_loss, simclr_loss

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "losses.npz")


def tensor(name, requires_grad=False):
    return torch.tensor(GOLDEN[name], requires_grad=requires_grad)


@pytest.mark.parametrize("case", ["small", "many", "two", "saturated"])
def test_scan_loss_has_the_reference_values(case):
    values = scan_loss(tensor(f"scan_{case}_anchor"), tensor(f"scan_{case}_neighbor"))
    expected = GOLDEN[f"scan_{case}_total_consistency_entropy"]
    np.testing.assert_allclose([v.item() for v in values], expected, rtol=1e-5)


@pytest.mark.parametrize("case", ["small", "many", "two"])
def test_scan_loss_has_the_reference_gradients(case):
    anchor = tensor(f"scan_{case}_anchor", requires_grad=True)
    neighbor = tensor(f"scan_{case}_neighbor", requires_grad=True)
    scan_loss(anchor, neighbor)[0].backward()
    for logits, name in [(anchor, "anchor"), (neighbor, "neighbor")]:
        expected = GOLDEN[f"scan_{case}_grad_{name}"]
        np.testing.assert_allclose(logits.grad, expected, rtol=1e-4, atol=1e-7)


def test_scan_loss_gives_opposite_certainties_a_bounded_value_and_a_gradient():
    anchor = torch.tensor([[200.0, 0.0]], requires_grad=True)
    _, consistency, _ = scan_loss(anchor, torch.tensor([[0.0, 200.0]]))
    consistency.backward()
    assert consistency.item() == pytest.approx(100.0)
    assert anchor.grad.abs().min() > 0.5


def test_scan_loss_of_balanced_certain_agreement_is_its_floor():
    logits = 100 * torch.eye(10)
    total, consistency, entropy = scan_loss(logits, logits)
    assert consistency.item() == pytest.approx(0, abs=1e-5)
    assert entropy.item() == pytest.approx(np.log(10), rel=1e-5)
    assert total.item() == pytest.approx(-5 * np.log(10), rel=1e-5)


@pytest.mark.parametrize(("case", "balancing"), [("balanced", True), ("plain", False)])
def test_self_label_loss_has_the_reference_value_and_gradient(case, balancing):
    strong = tensor(f"selflabel_{case}_strong", requires_grad=True)
    loss = self_label_loss(tensor(f"selflabel_{case}_weak"), strong, class_balancing=balancing)
    loss.backward()
    assert loss.item() == pytest.approx(float(GOLDEN[f"selflabel_{case}_loss"]), rel=1e-5)
    expected = GOLDEN[f"selflabel_{case}_grad_strong"]
    np.testing.assert_allclose(strong.grad, expected, rtol=1e-4, atol=1e-8)


def test_balanced_self_label_loss_is_the_mean_of_class_means():
    generator = torch.Generator().manual_seed(0)
    weak = 10 * torch.randn(60, 4, generator=generator)
    strong = torch.randn(60, 4, generator=generator)
    confidence, labels = torch.softmax(weak, dim=1).max(dim=1)
    losses = -torch.log_softmax(strong, dim=1)[torch.arange(60), labels]
    kept = confidence > 0.99
    class_means = [losses[kept & (labels == c)].mean() for c in labels[kept].unique()]
    assert self_label_loss(weak, strong).item() == pytest.approx(np.mean(class_means), rel=1e-5)


def test_self_label_loss_refuses_a_batch_without_confident_samples():
    with pytest.raises(ValueError, match=r"threshold=0\.99.*largest is 0\.5"):
        self_label_loss(torch.zeros(5, 2), torch.zeros(5, 2))


@pytest.mark.parametrize("batch", [2, 8, 64])
def test_simclr_loss_has_the_reference_value_and_gradient(batch):
    features = tensor(f"simclr_{batch}_features", requires_grad=True)
    loss = simclr_loss(features)
    loss.backward()
    assert loss.item() == pytest.approx(float(GOLDEN[f"simclr_{batch}_loss"]), rel=1e-5)
    expected = GOLDEN[f"simclr_{batch}_grad"]
    np.testing.assert_allclose(features.grad, expected, rtol=1e-4, atol=1e-6)


def test_simclr_loss_equals_a_loop_over_anchors():
    features = torch.nn.functional.normalize(torch.randn(5, 2, 3), dim=2)
    first, second = features.unbind(dim=1)
    terms = []
    for i in range(5):
        others = [first[i] @ first[j] for j in range(5) if j != i]
        views = [first[i] @ second[j] for j in range(5)]
        terms.append(-(views[i] / 0.5) + torch.logsumexp(torch.stack(others + views) / 0.5, dim=0))
    assert simclr_loss(features, 0.5).item() == pytest.approx(np.mean(terms), rel=1e-5)
