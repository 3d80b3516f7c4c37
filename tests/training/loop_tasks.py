"""Small trainings for the tests of the loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from image_factory import pixel_arrays
from timm.layers import BatchNormAct2d
from torch import Tensor, nn

from skscan import SelfLabelTrainer
from skscan.networks.architecture import projection_head
from skscan.networks.heads import LinearHeads
from skscan.networks.modules import ClusteringNetwork, ContrastiveNetwork
from skscan.networks.small_resnet import SmallResNet
from skscan.training.augmentations import CenterCrop, SimCLRAugmentation
from skscan.training.checkpoints import Checkpoint
from skscan.training.contrastive import SimCLRTask
from skscan.training.label_guard import LabelGuard
from skscan.training.loop import (
    Draws,
    LoopSettings,
    Pass,
    Task,
    TrainingLoop,
    cosine,
    make_optimizer,
)
from skscan.training.losses import scan_loss
from skscan.training.network_clustering import ClusteringTask, HeadPriors
from skscan.training.network_selection import BestEpoch
from skscan.training.network_self_labeling import SelfLabelingNetwork, SelfLabelingTask
from skscan.training.pixels import PixelStore

HALF = (0.5, 0.5, 0.5)


class Recorded:
    """Notes the loss of every step."""

    losses: list[float]

    def loss(self, outputs: list[Tensor]) -> tuple[Tensor | None, dict[str, float]]:
        loss, terms = super().loss(outputs)
        self.losses.append(float("nan") if loss is None else loss.item())
        return loss, terms

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "losses": self.losses}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.losses[:] = state["losses"]


class PairTask(Task):
    """The SCAN loss of each image and the next one: two passes, and a term of the whole batch."""

    name = "pairs"

    def __init__(self, network: nn.Module, pixels: PixelStore) -> None:
        self.network = network
        self.n_samples = len(pixels)
        self._pixels = pixels
        self._augmentation = SimCLRAugmentation(pixels.side, HALF, HALF)

    def draw(self, rows: Tensor, generator: torch.Generator) -> Draws:
        draws = self._augmentation.draw(len(rows), self._pixels.side, self._pixels.side, generator)
        return {"next": (rows + 1) % self.n_samples, **draws}

    def passes(self, rows: Tensor, draws: Draws) -> list[Pass]:
        device = next(self.network.parameters()).device
        views = {name: values for name, values in draws.items() if name != "next"}
        return [
            Pass(self._augmentation(self._pixels.take(which, device), views))
            for which in (rows, draws["next"])
        ]

    def loss(self, outputs: list[Tensor]) -> tuple[Tensor | None, dict[str, float]]:
        total, consistency, entropy = scan_loss(*outputs)
        return total, {"consistency": consistency.item(), "entropy": entropy.item()}


class RecordedSimCLRTask(Recorded, SimCLRTask):
    pass


class RecordedPairTask(Recorded, PairTask):
    pass


class RecordedClusteringTask(Recorded, ClusteringTask):
    pass


class RecordedSelfLabelingTask(Recorded, SelfLabelingTask):
    pass


def small_pixels(n: int = 24, side: int = 12) -> PixelStore:
    return PixelStore(pixel_arrays(n, side, side).transpose(0, 3, 1, 2).copy())


def small_backbone() -> SmallResNet:
    return SmallResNet(stem="cifar", depth=10, width=4)


class Plain(nn.Module):
    """A convolution and, on demand, a layer of normalisation, with the mean over the image."""

    n_features = 8

    def __init__(self, norm: nn.Module | None = None) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = norm

    def forward(self, images: Tensor) -> Tensor:
        features = self.convolution(images)
        features = features.relu() if self.norm is None else self.norm(features)
        return features.relu().mean(dim=(2, 3))


def make_task(
    kind: str,
    make_backbone: Callable[[], nn.Module] = small_backbone,
    pixels: PixelStore | None = None,
) -> Task:
    """A task with its own first weights, the same each time, that notes the loss of each step."""
    pixels = small_pixels() if pixels is None else pixels
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = make_backbone()
        if kind == "simclr":
            network = ContrastiveNetwork(backbone, projection_head(backbone.n_features, 16))
            augmentation = SimCLRAugmentation(pixels.side, HALF, HALF)
            task = RecordedSimCLRTask(network, pixels, augmentation, 0.1)
        elif kind == "pairs":
            network = nn.Sequential(backbone, nn.Linear(backbone.n_features, 4))
            task = RecordedPairTask(network, pixels)
        else:
            task = {"scan": scan_task, "self-labelling": self_labelling_task}[kind](
                backbone, pixels
            )
    task.losses = []
    return task


def small_heads(backbone: nn.Module, n_heads: int) -> LinearHeads:
    weights = torch.randn(n_heads, 4, backbone.n_features) / 2
    return LinearHeads(weights.numpy(), np.zeros((n_heads, 4), np.float32))


def small_table(pixels: PixelStore) -> np.ndarray:
    """Each image, itself first, with the next three."""
    return (np.arange(len(pixels))[:, None] + np.arange(4)) % len(pixels)


def scan_task(backbone: nn.Module, pixels: PixelStore) -> Task:
    """Two heads; the sizes that the second expects follow its predictions."""
    network = ClusteringNetwork(backbone, small_heads(backbone, 2), "all")
    priors = HeadPriors([5.0, 1.0], np.full((2, 4), 0.25), rates=[0.0, 0.05])
    view = CenterCrop(pixels.side, HALF, HALF)
    table = small_table(pixels)
    return RecordedClusteringTask(
        network,
        pixels,
        table,
        SimCLRAugmentation(pixels.side, HALF, HALF),
        priors,
        BestEpoch(pixels, table, view),
    )


def self_labelling_task(backbone: nn.Module, pixels: PixelStore) -> Task:
    """With thresholds that leave some images out."""
    network = SelfLabelingNetwork(
        ClusteringNetwork(backbone, small_heads(backbone, 1), "all"),
        mean_teacher=False,
        running_statistics=True,
    )
    view = CenterCrop(pixels.side, HALF, HALF)
    guard = LabelGuard(pixels, small_table(pixels), view, "adaptive")
    guard.look(network.labeler)
    return RecordedSelfLabelingTask(
        network,
        pixels,
        view,
        SimCLRAugmentation(pixels.side, HALF, HALF),
        SelfLabelTrainer(scope="network", threshold="adaptive"),
        guard,
    )


VARIANTS = {
    "simclr": {},
    "pairs": {},
    "pairs with activation in the normalisation": {"kind": "pairs", "norm": BatchNormAct2d},
    "pairs in parts, without normalisation": {"kind": "pairs", "norm": None, "micro_batch_size": 3},
    "scan": {"optimizer": "adam"},
    "self-labelling": {"optimizer": "adam"},
}
"""Trainings in which the number of processes changes nothing."""


def make_variant(name: str) -> tuple[Task, dict[str, Any]]:
    """The task of a variant, and its settings."""
    settings = dict(VARIANTS[name])
    kind = settings.pop("kind", name)
    if "norm" not in settings:
        return make_task(kind), settings
    norm = settings.pop("norm")
    return make_task(kind, lambda: Plain(norm and norm(8))), settings


def make_loop(
    task: Task, checkpoint: Checkpoint | None = None, optimizer: str = "sgd", **settings: Any
) -> TrainingLoop:
    settings = {"n_epochs": 2, "batch_size": 8, "seed": 1, **settings}
    rate = cosine(0.1 if optimizer == "sgd" else 0.01, settings["n_epochs"])
    settings.setdefault("learning_rate", rate)
    optimizer = make_optimizer(optimizer, task.network, 1e-4)
    return TrainingLoop(task, optimizer, LoopSettings(**settings), checkpoint)


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}


def stop_after(task: Task, n_steps: int) -> None:
    """Let a task raise InterruptedError when it is about to make another step."""
    draw, n_drawn = task.draw, 0

    def limited(rows: Tensor, generator: torch.Generator) -> Draws:
        nonlocal n_drawn
        if n_drawn == n_steps:
            raise InterruptedError
        n_drawn += 1
        return draw(rows, generator)

    task.draw = limited
