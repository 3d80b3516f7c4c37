"""Training of heads, beside the plain loop of PyTorch and the machine's matrix product.

    python benchmarks/heads.py                  13,000 x 128, 10 and 24 heads, 10 to 1,000 clusters
    python benchmarks/heads.py --threads 2

The plain loop has a `torch.nn.Linear` for each head, automatic differentiation and
`torch.optim.Adam`, and makes the same draws, so that its losses must be the same. The limit is the
time of the matrix products alone, forward and for the gradient, at the rate of a float32 product of
2,048 in the same round; exponentials are not in it. Features and neighbors are random numbers.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch

from skscan.networks.heads import LinearHeads
from skscan.training.batched_heads import BatchedHeads
from skscan.training.losses import scan_loss

N_SAMPLES, N_FEATURES, N_NEIGHBORS = 13_000, 128, 20
ENTROPY_WEIGHT, LEARNING_RATE = 5.0, 0.01
CASES = [(10, 10, 512, 8), (24, 10, 512, 4), (10, 100, 2000, 2), (10, 1000, 2000, 1)]
"""Heads, clusters, batch size and passes."""


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def flops_per_second() -> float:
    """Measure the float32 product of two matrices of 2,048 with torch and with NumPy."""
    a = torch.randn(2048, 2048)
    b = a.numpy()
    return 2 * 2048**3 / min(seconds(f) for f in [lambda: a @ a, lambda: b @ b] * 2)


class Case:
    """One schedule, trained in both ways.

    Parameters
    ----------
    n_heads, n_clusters, batch_size, n_epochs : int
    """

    def __init__(self, n_heads: int, n_clusters: int, batch_size: int, n_epochs: int) -> None:
        rng = np.random.default_rng(0)
        weights = rng.standard_normal((n_heads, n_clusters, N_FEATURES), dtype=np.float32) / 10
        self.heads = LinearHeads(weights, np.zeros((n_heads, n_clusters), np.float32))
        self.batch_size, self.n_epochs = batch_size, n_epochs
        self.n_batches = N_SAMPLES // batch_size
        self.features = torch.tensor(rng.standard_normal((N_SAMPLES, N_FEATURES), np.float32))
        self.table = torch.tensor(rng.integers(N_SAMPLES, size=(N_SAMPLES, N_NEIGHBORS)))
        outputs = n_heads * n_clusters
        self.flops = n_epochs * 2 * 2 * (2 * N_SAMPLES) * N_FEATURES * outputs

    def ours(self) -> np.ndarray:
        """Train with `BatchedHeads`; return the loss of each pass and head."""
        n_heads, n_clusters = len(self.heads), self.heads.n_clusters
        passes = BatchedHeads(self.heads).fit_scan(
            self.features,
            self.table,
            np.full(n_heads, ENTROPY_WEIGHT),
            np.full((n_heads, n_clusters), 1 / n_clusters),
            np.zeros(n_heads),
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate=LEARNING_RATE,
            generator=torch.Generator().manual_seed(0),
        )
        return np.array([losses.total for losses in passes])

    def plain(self) -> np.ndarray:
        """Train with a layer for each head and automatic differentiation."""
        layers = torch.nn.ModuleList()
        for weights in self.heads.weights:
            layer = torch.nn.Linear(N_FEATURES, len(weights))
            layer.weight.data = torch.tensor(weights)
            layer.bias.data.zero_()
            layers.append(layer)
        optimizer = torch.optim.Adam(layers.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
        generator = torch.Generator().manual_seed(0)
        n_steps, done, passes = self.n_epochs * self.n_batches, 0, []
        for _ in range(self.n_epochs):
            columns = torch.randint(N_NEIGHBORS, (N_SAMPLES,), generator=generator)
            order = torch.randperm(N_SAMPLES, generator=generator)
            sums = torch.zeros(len(layers))
            for anchors in torch.tensor_split(order, self.n_batches):
                done += 1
                rate = 0.5 * LEARNING_RATE * (1 + math.cos(math.pi * done / n_steps))
                optimizer.param_groups[0]["lr"] = rate
                x = self.features[anchors]
                y = self.features[self.table[anchors, columns[anchors]]]
                losses = [scan_loss(layer(x), layer(y), ENTROPY_WEIGHT)[0] for layer in layers]
                optimizer.zero_grad()
                sum(losses).backward()
                optimizer.step()
                sums += torch.stack([loss.detach() for loss in losses]) * len(anchors) / N_SAMPLES
            passes.append(sums.numpy())
        return np.array(passes)


def main() -> None:
    """Print medians and ratios of alternating rounds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{N_SAMPLES} x {N_FEATURES}, {options.threads} threads, {options.rounds} rounds")
    print(
        "| heads | clusters | seconds a pass | plain / ours | ours / limit | difference of losses |"
    )
    print("|---|---|---|---|---|---|")
    for n_heads, n_clusters, batch_size, n_epochs in CASES:
        case = Case(n_heads, n_clusters, batch_size, n_epochs)
        difference = np.abs(case.ours() - case.plain()).max()
        rounds = []
        for _ in range(options.rounds):
            rate = flops_per_second()
            rounds.append((seconds(case.ours), seconds(case.plain), case.flops / rate))
        ours, plain, limit = np.array(rounds).T
        print(
            f"| {n_heads} | {n_clusters} | {np.median(ours) / n_epochs:.3f} "
            f"| {spread(plain / ours)} | {spread(ours / limit)} | {difference:.1e} |",
            flush=True,
        )


def spread(ratios: np.ndarray) -> str:
    """Write a median with its least and largest value."""
    return f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


if __name__ == "__main__":
    main()
