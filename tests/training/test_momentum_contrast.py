"""Momentum contrast: its loss, its queue, and its steps beside a slow obvious version."""

import copy
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from image_factory import pixel_arrays
from torch import nn
from torch.nn.functional import normalize

from skscan.networks.modules import ContrastiveNetwork
from skscan.networks.small_resnet import SmallResNet
from skscan.training.augmentations import CenterCrop
from skscan.training.loop import LoopSettings, TrainingLoop, make_optimizer
from skscan.training.momentum_contrast import (
    MoCoTask,
    MomentumNetwork,
    default_queue_size,
    moco_loss,
)
from skscan.training.pixels import PixelStore

N_FEATURES, QUEUE, BATCH = 6, 20, 8


def unit_rows(n: int, seed: int) -> torch.Tensor:
    rows = torch.randn(n, N_FEATURES, generator=torch.Generator().manual_seed(seed))
    return normalize(rows, dim=1)


def slow_loss(queries, keys, queue, temperature: float) -> float:
    """The loss in plain Python, one query and one key at a time."""

    def similarity(a, b) -> float:
        return sum(float(x) * float(y) for x, y in zip(a, b, strict=True)) / temperature

    losses = []
    for query, key in zip(queries, keys, strict=True):
        positive = math.exp(similarity(query, key))
        negatives = sum(math.exp(similarity(query, other)) for other in queue)
        losses.append(-math.log(positive / (positive + negatives)))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.2, 0.07, 1.0])
def test_the_loss_is_that_of_the_slow_version(temperature):
    queries, keys, queue = unit_rows(BATCH, 0), unit_rows(BATCH, 1), unit_rows(QUEUE, 2)
    expected = slow_loss(queries, keys, queue, temperature)
    assert moco_loss(queries, keys, queue, temperature).item() == pytest.approx(expected, abs=1e-5)


def test_the_loss_of_known_vectors():
    # The key equals the query, all of the queue is orthogonal to it.
    queries = torch.eye(4)[:2]
    queue = torch.eye(4)[2:]
    expected = math.log(1 + 2 * math.exp(-1 / 0.2))
    assert moco_loss(queries, queries, queue).item() == pytest.approx(expected, abs=1e-6)


def encoder(batch_norm: bool = True) -> ContrastiveNetwork:
    torch.manual_seed(0)
    if batch_norm:
        backbone: nn.Module = SmallResNet(depth=10, width=2)
    else:
        backbone = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
    return ContrastiveNetwork(backbone, nn.Linear(16, N_FEATURES))


def network(batch_norm: bool = True) -> MomentumNetwork:
    return MomentumNetwork(encoder(batch_norm), N_FEATURES, QUEUE)


def test_the_queue_begins_with_directions():
    queue = network().queue
    assert queue.shape == (QUEUE, N_FEATURES)
    torch.testing.assert_close(queue.norm(dim=1), torch.ones(QUEUE))
    assert (queue @ queue.T).fill_diagonal_(0.0).abs().max() < 0.999


def test_the_queue_drops_the_oldest_first():
    queue = network()
    first = queue.queue.clone()
    batches = [unit_rows(BATCH, seed) for seed in range(4)]
    for n_batches, batch in enumerate(batches, 1):
        queue.enqueue(batch)
        # Written round and round; 20 places hold two and a half batches.
        expected = first.clone()
        for place, row in enumerate(torch.cat(batches[:n_batches])):
            expected[place % QUEUE] = row
        assert torch.equal(queue.queue, expected)
        assert int(queue.position) == n_batches * BATCH % QUEUE


def test_first_views_are_queries_and_second_views_keys():
    both = network()
    with torch.no_grad():
        for parameter in both.momentum_encoder.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    both.eval()
    views = torch.randn(6, 3, 16, 16)
    features = both(views)
    torch.testing.assert_close(features[0::2], both.encoder(views[0::2]))
    torch.testing.assert_close(features[1::2], both.momentum_encoder(views[1::2]))
    features[1::2].sum().backward()
    assert all(not p.grad.any() for p in both.encoder.parameters() if p.grad is not None)
    assert all(p.grad is None for p in both.momentum_encoder.parameters())


def test_the_second_encoder_follows_slowly():
    both = network()
    before = copy.deepcopy(both.momentum_encoder)
    with torch.no_grad():
        for parameter in both.encoder.parameters():
            parameter.add_(1.0)
    both.follow(0.99)
    for old, new in zip(before.parameters(), both.momentum_encoder.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.01)


class RememberingStore(PixelStore):
    """Remembers which rows were taken."""

    def __init__(self) -> None:
        super().__init__(pixel_arrays(32, 16, 16).transpose(0, 3, 1, 2).copy())
        self.taken: list[np.ndarray] = []

    def take(self, rows, device):
        self.taken.append(np.asarray(rows).copy())
        return super().take(rows, device)


def train_small(batch_norm: bool = True, **settings) -> tuple[MoCoTask, RememberingStore, list]:
    store = RememberingStore()
    view = CenterCrop(16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
    task = MoCoTask(network(batch_norm), store, view, temperature=0.2, momentum=0.9)
    optimizer = make_optimizer("sgd", task.network, weight_decay=1e-4)
    settings = LoopSettings(2, BATCH, lambda epoch: 0.02 / (1 + epoch), seed=3, **settings)
    return task, store, TrainingLoop(task, optimizer, settings).run()


def test_steps_are_those_of_the_slow_version():
    task, store, history = train_small()

    query, queue = encoder(), network().queue
    key = copy.deepcopy(query)
    sgd = torch.optim.SGD(query.parameters(), lr=0.02, momentum=0.9, weight_decay=1e-4)
    views = (torch.from_numpy(store.pixels).float() / 255 - 0.5) / 0.25
    losses = []
    for step, rows in enumerate(store.taken):
        for group in sgd.param_groups:
            group["lr"] = 0.02 / (1 + step // 4)
        queries = query(views[rows])
        with torch.no_grad():
            keys = key(views[rows])
        positives = (queries * keys).sum(dim=1)
        exponentials = torch.exp(torch.cat([positives[:, None], queries @ queue.T], dim=1) / 0.2)
        loss = -torch.log(exponentials[:, 0] / exponentials.sum(dim=1)).mean()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        losses.append(loss.item())
        with torch.no_grad():
            for own, of_query in zip(key.parameters(), query.parameters(), strict=True):
                own.copy_(0.9 * own + 0.1 * of_query)
        for row, k in enumerate(keys):
            queue[(step * BATCH + row) % QUEUE] = k

    assert len(losses) == 8
    assert [epoch["loss"] for epoch in history] == pytest.approx(
        [np.mean(losses[:4]), np.mean(losses[4:])], abs=1e-5
    )
    torch.testing.assert_close(task.network.queue, queue, rtol=0, atol=1e-4)
    for mine, theirs in (
        (task.network.encoder, query),
        (task.network.momentum_encoder, key),
    ):
        for name, values in theirs.state_dict().items():
            torch.testing.assert_close(
                mine.state_dict()[name], values, rtol=1e-3, atol=1e-4, msg=name
            )


def test_micro_batches_change_nothing_without_batch_normalization():
    whole, _, history = train_small(batch_norm=False)
    parts, _, history_of_parts = train_small(batch_norm=False, micro_batch_size=2)
    assert [e["loss"] for e in history] == pytest.approx(
        [e["loss"] for e in history_of_parts], abs=1e-5
    )
    for name, values in whole.network.state_dict().items():
        torch.testing.assert_close(parts.network.state_dict()[name], values)


def test_two_processes_are_as_one(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    tests = Path(__file__).parent
    path = os.pathsep.join([str(tests), str(tests.parent)])
    launcher = ["torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    subprocess.run(
        [sys.executable, "-m", *launcher, __file__, str(tmp_path / "of two.npz")],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        check=True,
        timeout=300,
        capture_output=True,
    )
    of_two = np.load(tmp_path / "of two.npz")
    task, _, history = train_small()
    np.testing.assert_allclose(of_two["losses"], [e["loss"] for e in history], atol=1e-5)
    np.testing.assert_allclose(of_two["queue"], task.network.queue, atol=1e-4)


@pytest.mark.parametrize(
    ("n_samples", "batch_size", "expected"),
    [
        (1_281_167, 256, 65_536),
        (50_000, 256, 4_864),  # 19 batches
        (1_000_000, 1000, 65_000),
        (100, 64, 64),
    ],
)
def test_default_queue(n_samples, batch_size, expected):
    assert default_queue_size(n_samples, batch_size) == expected


if __name__ == "__main__":  # one of two processes
    of_one, _, one_history = train_small()
    if torch.distributed.get_rank() == 0:
        losses = [epoch["loss"] for epoch in one_history]
        np.savez(sys.argv[1], losses=losses, queue=of_one.network.queue)
    torch.distributed.destroy_process_group()
