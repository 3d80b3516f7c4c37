"""Heads of every kind on frozen features, many at once, for automatic differentiation.

All of them keep their parameters in one tensor, so that one optimiser and one moving average serve
all kinds, and give logits with heads in the last dimension, as `BatchedHeads` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from skscan.networks.averaged_heads import AveragedHeads
from skscan.networks.heads import Heads, LinearHeads
from skscan.networks.mlp_heads import SMALLEST_LENGTH, MLPHeads
from skscan.training.batched_heads import Adam, BatchedHeads

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = [
    "SteadyAdam",
    "TrainableAveragedHeads",
    "TrainableLinearHeads",
    "TrainableMLPHeads",
    "fit_labels",
    "trainable",
]

_SMALLEST_PROBABILITY = 1e-30


class TrainableLinearHeads(BatchedHeads):
    """Linear heads whose outputs are divided by a temperature.

    Parameters
    ----------
    heads : LinearHeads
        Where training starts.
    device : str or torch.device
    temperature : float, default=1.0
        What outputs are divided by; heads that are given back have it in their weights.
    """

    def __init__(
        self, heads: LinearHeads, device: str | torch.device = "cpu", temperature: float = 1.0
    ) -> None:
        super().__init__(
            LinearHeads(heads.weights * temperature, heads.biases * temperature), device
        )
        self.temperature = temperature

    @property
    def n_matrix_entries(self) -> int:
        """How many of the parameters, which come first, are entries of matrices."""
        return self.parameters[:-1].numel()

    @property
    def n_last_entries(self) -> int:
        """How many of these, which come last among them, are of the last layer."""
        return self.n_matrix_entries

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits of all heads, shape (batch, n_clusters, n_heads)."""
        return super().logits(features) / self.temperature

    def copy(self, temperature: float) -> Self:
        """Return the same heads with parameters of their own and another temperature."""
        return _copy(self, temperature)

    def to_numpy(self) -> LinearHeads:
        """Return the present parameters as `LinearHeads`."""
        heads = super().to_numpy()
        factor = np.float32(1 / self.temperature)
        return LinearHeads(heads.weights * factor, heads.biases * factor)


class TrainableMLPHeads:
    """Heads with hidden layers.

    Parameters
    ----------
    heads : MLPHeads
        Where training starts.
    device : str or torch.device
    """

    def __init__(self, heads: MLPHeads, device: str | torch.device = "cpu") -> None:
        import torch

        self.n_heads, self.n_clusters, n_bottleneck = heads.directions.shape
        _, n_hidden, n_features = heads.first_weights.shape
        self.temperature = heads.temperature
        parts = [
            heads.first_weights.transpose(2, 0, 1),
            heads.second_weights.transpose(0, 2, 1),
            heads.directions.transpose(0, 2, 1),
            heads.first_biases,
            heads.second_biases,
        ]
        self._shapes = [
            (n_features, self.n_heads * n_hidden),
            (self.n_heads, n_hidden, n_bottleneck),
            (self.n_heads, n_bottleneck, self.n_clusters),
            (self.n_heads * n_hidden,),
            (self.n_heads, 1, n_bottleneck),
        ]
        flat = np.concatenate([part.ravel() for part in parts])
        self.parameters = torch.tensor(flat, dtype=torch.float32, device=device)

    @classmethod
    def random(
        cls,
        n_heads: int,
        n_features: int,
        hidden_sizes: Sequence[int],
        n_clusters: int,
        temperature: float,
        generator: torch.Generator,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Return heads with weights from a normal distribution of deviation 0.02, cut off at 2."""
        import torch

        def draw(*shape: int) -> NDArray[np.float32]:
            return torch.nn.init.trunc_normal_(
                torch.empty(shape), std=0.02, a=-2.0, b=2.0, generator=generator
            ).numpy()

        n_hidden, n_bottleneck = hidden_sizes
        heads = MLPHeads(
            draw(n_heads, n_hidden, n_features),
            np.zeros((n_heads, n_hidden), np.float32),
            draw(n_heads, n_bottleneck, n_hidden),
            np.zeros((n_heads, n_bottleneck), np.float32),
            draw(n_heads, n_clusters, n_bottleneck),
            temperature,
        )
        return cls(heads, device)

    @property
    def n_matrix_entries(self) -> int:
        """How many of the parameters, which come first, are entries of matrices."""
        return sum(math.prod(shape) for shape in self._shapes[:3])

    @property
    def n_last_entries(self) -> int:
        """How many of these, which come last among them, are of the last layer."""
        return math.prod(self._shapes[2])

    def logits(self, features: Tensor) -> Tensor:
        """Return the logits of all heads, shape (batch, n_clusters, n_heads)."""
        import torch

        first, second, directions, first_bias, second_bias = self._layers()
        hidden = torch.nn.functional.gelu(torch.addmm(first_bias, features, first))
        by_head = hidden.view(len(features), self.n_heads, -1).transpose(0, 1)
        inner = torch.baddbmm(second_bias, by_head, second)
        cosines = _unit(inner, 2) @ _unit(directions, 1)
        return cosines.permute(1, 2, 0) / self.temperature

    def copy(self, temperature: float) -> Self:
        """Return the same heads with parameters of their own and another temperature."""
        return _copy(self, temperature)

    def to_numpy(self) -> MLPHeads:
        """Return the present parameters as `MLPHeads`."""
        first, second, directions, first_bias, second_bias = (
            layer.detach().cpu() for layer in self._layers()
        )
        return MLPHeads(
            _array(first.view(len(first), self.n_heads, -1).permute(1, 2, 0)),
            _array(first_bias.view(self.n_heads, -1)),
            _array(second.transpose(1, 2)),
            _array(second_bias.squeeze(1)),
            _array(_unit(directions, 1).transpose(1, 2)),
            self.temperature,
        )

    def _layers(self) -> list[Tensor]:
        sizes = [math.prod(shape) for shape in self._shapes]
        # one split, so that one gradient comes back
        parts = zip(self.parameters.split(sizes), self._shapes, strict=True)
        return [part.view(shape) for part, shape in parts]


class TrainableAveragedHeads:
    """Linear heads in several feature spaces, with the lengths of weights as own parameters.

    Weights are ``g * v / |v|`` (weight normalisation), as in TURTLE.

    Parameters
    ----------
    heads : AveragedHeads
        Where training starts.
    device : str or torch.device
    """

    def __init__(self, heads: AveragedHeads, device: str | torch.device = "cpu") -> None:
        import torch

        self.n_heads, self.n_clusters = len(heads), heads.n_clusters
        self.widths = [space.n_features for space in heads.spaces]
        parts = []
        for space in heads.spaces:
            directions = space.weights.transpose(2, 1, 0)
            lengths = np.linalg.norm(directions, axis=0, keepdims=True)
            parts += [directions, lengths, space.biases.T[None]]
        flat = np.concatenate([part.reshape(-1, self._n_columns) for part in parts])
        self.parameters = torch.tensor(flat, dtype=torch.float32, device=device)

    @classmethod
    def random(
        cls,
        n_heads: int,
        widths: Sequence[int],
        n_clusters: int,
        generator: torch.Generator,
        device: str | torch.device = "cpu",
    ) -> Self:
        """Return heads with torch's usual random weights of linear layers."""
        spaces = []
        for width in widths:
            flat = random_linear(width, n_heads * n_clusters, generator)
            by_head = flat.view(width + 1, n_clusters, n_heads).permute(2, 1, 0)
            spaces.append(LinearHeads(_array(by_head[:, :, :-1]), _array(by_head[:, :, -1])))
        return cls(AveragedHeads(spaces), device)

    def space_logits(self, features: Tensor) -> list[Tensor]:
        """Return the logits in each space, shape (batch, n_clusters, n_heads)."""
        import torch

        shape = (len(features), self.n_clusters, self.n_heads)
        parts = zip(features.split(self.widths, dim=1), self._layers(), strict=True)
        return [
            torch.addmm(bias, part, length * _unit(direction, 0)).view(shape)
            for part, (direction, length, bias) in parts
        ]

    def logits(self, features: Tensor) -> Tensor:
        """Return the logarithms of the averaged probabilities, (batch, n_clusters, n_heads)."""
        import torch

        spaces = torch.stack([torch.softmax(logits, 1) for logits in self.space_logits(features)])
        return spaces.mean(dim=0).clamp(min=_SMALLEST_PROBABILITY).log()

    def to_numpy(self) -> AveragedHeads:
        """Return the present parameters as `AveragedHeads`."""
        spaces = []
        for direction, length, bias in self._layers():
            weights = (length * _unit(direction, 0)).detach().cpu()
            by_head = weights.view(-1, self.n_clusters, self.n_heads).permute(2, 1, 0)
            biases = bias.detach().cpu().view(self.n_clusters, self.n_heads).T
            spaces.append(LinearHeads(_array(by_head), _array(biases)))
        return AveragedHeads(spaces)

    @property
    def _n_columns(self) -> int:
        return self.n_clusters * self.n_heads

    def _layers(self) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Direction, length and bias in each space."""
        sizes = [size for width in self.widths for size in (width, 1, 1)]
        parts = self.parameters.split(sizes)
        return [(parts[i], parts[i + 1], parts[i + 2]) for i in range(0, len(parts), 3)]


_TRAINABLE: dict[type[Heads], Callable[..., Any]] = {
    LinearHeads: BatchedHeads,
    MLPHeads: TrainableMLPHeads,
    AveragedHeads: TrainableAveragedHeads,
}


def trainable(heads: Heads, device: str | torch.device = "cpu") -> Any:
    """Return heads for training: with `parameters` in one tensor, `logits` and `to_numpy`.

    Parameters
    ----------
    heads : LinearHeads, MLPHeads or AveragedHeads
    device : str or torch.device

    Returns
    -------
    trainable : BatchedHeads, TrainableMLPHeads or TrainableAveragedHeads
    """
    return _TRAINABLE[type(heads)](heads, device)


def random_linear(n_features: int, n_outputs: int, generator: torch.Generator) -> Tensor:
    """Return torch's usual random weights of a linear layer, biases in the last row."""
    import torch

    bound = 1 / math.sqrt(n_features)
    return (torch.rand(n_features + 1, n_outputs, generator=generator) * 2 - 1) * bound


class SteadyAdam(Adam):
    """Adam whose learning rate rises over the first steps, then stays.

    Parameters
    ----------
    parameters : Tensor
    learning_rate : float
    n_warmup : int, default=0
        Steps over which it rises from zero.
    """

    def __init__(self, parameters: Tensor, learning_rate: float, n_warmup: int = 0) -> None:
        super().__init__(parameters, learning_rate, n_warmup, decay=(0.9, 0.999))

    def rate(self) -> float:
        """Return the learning rate of the step that is being made."""
        if self.n_steps == 0:
            return self.learning_rate
        return self.learning_rate * min(self.steps_done / self.n_steps, 1.0)


def fit_labels(
    heads: Any,
    features: Tensor,
    labels: Tensor,
    *,
    n_steps: int,
    batch_size: int,
    learning_rate: float,
    generator: torch.Generator,
) -> None:
    """Fit every head to labels of its own by cross-entropy, with Adam along a cosine.

    Parameters
    ----------
    heads : trainable heads
        Changed in place.
    features : Tensor of shape (n_samples, n_features)
    labels : int Tensor of shape (n_samples, n_heads)
    n_steps : int
    batch_size : int
    learning_rate : float
    generator : torch.Generator
    """
    import torch

    adam = Adam(heads.parameters, learning_rate, n_steps)
    for _ in range(n_steps):
        batch = torch.randint(len(features), (batch_size,), generator=generator)
        batch = batch.to(features.device)

        def loss(batch: Tensor = batch) -> Tensor:
            logits = heads.logits(features[batch])
            losses = torch.nn.functional.cross_entropy(logits, labels[batch], reduction="none")
            return losses.mean(dim=0).sum()

        adam.step(gradient_of(loss, heads.parameters))


def gradient_of(loss: Callable[[], Tensor], parameters: Tensor) -> Tensor:
    """Return the gradient of a loss, called once, with respect to a tensor."""
    import torch

    parameters.requires_grad_()
    [gradient] = torch.autograd.grad(loss(), parameters)
    parameters.requires_grad_(False)
    return gradient


def _copy(heads: Any, temperature: float) -> Any:
    copy = object.__new__(type(heads))
    copy.__dict__.update(heads.__dict__, temperature=temperature)
    copy.parameters = heads.parameters.detach().clone()
    return copy


def _unit(x: Tensor, dim: int) -> Tensor:
    import torch

    return torch.nn.functional.normalize(x, dim=dim, eps=SMALLEST_LENGTH)


def _array(x: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(x.numpy())
