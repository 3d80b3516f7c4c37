"""The self-labelling stage on images: confident labels teach strongly augmented views."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from skscan.exceptions import SkscanWarning
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.graph import neighbor_table
from skscan.networks.heads import LinearHeads
from skscan.networks.modules import ClusteringNetwork
from skscan.training.augmentations import Augmentation, CenterCrop
from skscan.training.label_guard import LabelGuard, judge_training
from skscan.training.loop import Draws, Pass, Task, TrainingLoop
from skscan.training.losses import self_label_loss
from skscan.training.network_settings import (
    load_images,
    make_checkpoint,
    network_of,
    training_of,
    with_backbone,
)
from skscan.training.pixels import PixelStore
from skscan.training.results import SelfLabelResult, undone

if TYPE_CHECKING:
    from skscan.training.self_labeling import SelfLabelTrainer

__all__ = ["SelfLabelingTask", "train_network"]

AUTO_EPOCHS = 100
AUTO_BATCH_SIZE = 1000


def train_network(
    trainer: SelfLabelTrainer,
    neighbors: sparse.csr_matrix,
    head: LinearHeads,
    images: Any,
    extractor: Any,
    random_state: np.random.RandomState,
    device: str,
    n_jobs: int | None,
    verbose: int,
) -> SelfLabelResult:
    """Train a network on its own confident labels, and decide whether it got better.

    Parameters
    ----------
    trainer : SelfLabelTrainer
        The hyper-parameters.
    neighbors : csr_matrix of shape (n_samples, n_samples)
    head : LinearHeads
        The one head, on the features of the extractor's backbone.
    images : images
        Those that the features come from; unreadable ones are left out as there.
    extractor : transformer
        With a `network_`.
    random_state : RandomState
    device : str
    n_jobs : int or None
    verbose : int

    Returns
    -------
    result : SelfLabelResult
    """
    start, training = network_of(extractor), training_of(trainer)
    pixels = load_images(images, start, neighbors.shape[0], n_jobs, verbose)
    seed = int(random_state.randint(np.iinfo(np.int32).max))
    network = SelfLabelingNetwork(
        ClusteringNetwork(start.backbone("cpu"), head, training.update),
        mean_teacher=trainer.averaging == "mean-teacher",
        running_statistics=trainer.label_statistics == "running",
    )
    network.to(memory_format=torch.channels_last)
    weak = CenterCrop(start.image_size, start.mean, start.std)
    table = neighbor_table(neighbors)
    guard = LabelGuard(pixels, table, weak, trainer.threshold)
    before = guard.look(network.to(device).labeler)
    task = SelfLabelingTask(network, pixels, weak, training.views(start), trainer, guard)
    batch_size = trainer.batch_size
    if isinstance(batch_size, str):
        batch_size = min(AUTO_BATCH_SIZE, len(pixels))
    n_epochs = AUTO_EPOCHS if isinstance(trainer.n_epochs, str) else trainer.n_epochs
    settings = training.settings(
        n_epochs,
        batch_size,
        trainer.learning_rate,
        seed=seed,
        device=device,
        verbose=verbose,
        rate_factor=1 - trainer.decay if trainer.averaging == "scaled-steps" else 1.0,
    )
    checkpoint = make_checkpoint(
        trainer,
        "self-label",
        seed,
        start,
        n_clusters=head.n_clusters,
        pixels=pixels.pixels,
        neighbors=table,
        heads=head.weights,
        biases=head.biases,
    )
    history = TrainingLoop(task, training.optimizer_of(network), settings, checkpoint).run()
    _tell_of_idle_steps(history, len(pixels) // batch_size, trainer.threshold)
    better, reason = judge_training(before, history[-1])
    if trainer.keep == "guarded" and not better:
        return undone(head, history, reason)
    if trainer.keep == "last":
        reason = f"the last epoch is kept as it is ({reason})"
    tuned = with_backbone(start, network.labeler.backbone)
    later = NetworkFeatureExtractor(tuned, device=device, n_jobs=n_jobs)
    return SelfLabelResult(network.labeler.to_heads(), history, True, reason, later)


class SelfLabelingNetwork(nn.Module):
    """A network that learns, and the one that labels: itself, or a moving average of it.

    Parameters
    ----------
    learner : ClusteringNetwork
        With one head.
    mean_teacher : bool
        Whether labels come from a moving average (Tarvainen and Valpola, NeurIPS 2017), which
        begins as a copy.
    running_statistics : bool
        Whether batch normalisation in the pass that labels is that of evaluation, so that a label
        depends on its image alone; else it is that of the batch. Weak views move the running
        statistics either way.
    """

    def __init__(
        self, learner: ClusteringNetwork, *, mean_teacher: bool, running_statistics: bool
    ) -> None:
        super().__init__()
        self.learner = learner
        self._running_statistics = running_statistics
        self.teacher = copy.deepcopy(learner).requires_grad_(False) if mean_teacher else None

    @property
    def labeler(self) -> ClusteringNetwork:
        """The network that labels, which is the one to keep."""
        return self.learner if self.teacher is None else self.teacher

    def forward(self, views: Tensor) -> Tensor:
        """Predict pairs of views.

        Parameters
        ----------
        views : Tensor of shape (2 * b, 3, h, w)
            A weak and a strong view of each image, side by side.

        Returns
        -------
        logits : Tensor of shape (2 * b, 1, n_clusters)
            Of weak views by the network that labels, to which no gradient flows, of strong ones by
            the one that learns. Weak ones go first; each have their own batch statistics.
        """
        with torch.no_grad():
            weak = self._label(views[0::2])
        return torch.stack([weak, self.learner(views[1::2])], dim=1).flatten(0, 1)

    @torch.compiler.disable(recursive=False)  # a compiled function cannot change modes
    def _label(self, views: Tensor) -> Tensor:
        labeler = self.labeler
        if not (self._running_statistics and labeler.backbone.training):
            return labeler(views)
        labeler.eval()
        logits = labeler(views)
        labeler.train()
        labeler(views)
        return logits

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the teacher's weights to decay * themselves + (1 - decay) * the learner's."""
        if self.teacher is not None:
            pairs = zip(self.teacher.parameters(), self.learner.parameters(), strict=True)
            for following, leading in pairs:
                following.lerp_(leading, 1.0 - decay)


class SelfLabelingTask(Task):
    """Cross-entropy of strong views to the confident labels of weak ones.

    Parameters
    ----------
    network : SelfLabelingNetwork
    pixels : PixelStore
    weak : CenterCrop
        The view that labels come from: the image as it is.
    strong : Augmentation
    trainer : SelfLabelTrainer
    guard : LabelGuard
        That has looked at the network.
    """

    name = "self-labelling"
    network: SelfLabelingNetwork

    def __init__(
        self,
        network: SelfLabelingNetwork,
        pixels: PixelStore,
        weak: CenterCrop,
        strong: Augmentation,
        trainer: SelfLabelTrainer,
        guard: LabelGuard,
    ) -> None:
        self.network = network
        self.n_samples = len(pixels)
        self._pixels = pixels
        self._weak = weak
        self._strong = strong
        self._thresholds = torch.from_numpy(guard.thresholds)
        self._class_balancing = trainer.class_balancing
        self._decay = trainer.decay
        self._guard = guard
        if trainer.averaging == "scaled-steps":
            _freeze_running_statistics(network)

    def draw(self, rows: Tensor, generator: torch.Generator) -> Draws:
        """Draw the strong view of each row."""
        side = self._pixels.side
        return self._strong.draw(len(rows), side, side, generator)

    def passes(self, rows: Tensor, draws: Draws) -> list[Pass]:
        """Make both views in one pass; the network takes them apart."""
        pixels = self._pixels.take(rows, next(self.network.parameters()).device)
        views = [self._weak(pixels, {}), self._strong(pixels, draws)]
        return [Pass(torch.stack(views, dim=1).flatten(0, 1))]

    def loss(self, outputs: list[Tensor]) -> tuple[Tensor | None, dict[str, float]]:
        """Learn from the confident ones; without any, the step is left out."""
        weak, strong = outputs[0].unflatten(0, (-1, 2))[:, :, 0].unbind(dim=1)
        thresholds = self._thresholds.to(weak.device)
        confidence, labels = torch.softmax(weak, dim=1).max(dim=1)
        confident = confidence > thresholds[labels]
        terms = {"confident": confident.float().mean().item()}
        if not confident.any():
            return None, terms
        return self_label_loss(weak, strong, thresholds, self._class_balancing), terms

    def after_step(self) -> None:
        """Let the teacher follow."""
        self.network.follow(self._decay)

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Look at the clusters of all images; adaptive thresholds follow."""
        seen = self._guard.look(self.network.labeler)
        self._thresholds = torch.from_numpy(self._guard.thresholds)
        return seen

    def extra_state(self) -> dict[str, Any]:
        """Return the thresholds of the present epoch."""
        return {"thresholds": self._thresholds}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back the thresholds."""
        self._thresholds = state["thresholds"]


def _tell_of_idle_steps(
    history: list[dict[str, float]], n_batches: int, threshold: float | str
) -> None:
    """Warn when steps were left out because no sample was confident."""
    n_idle = sum(n_batches - int(entry["steps"]) for entry in history)
    if n_idle:
        warnings.warn(
            f"In {n_idle} of {n_batches * len(history)} steps of self-labelling no sample had a "
            f"confidence above threshold={threshold}, so they were left out. A smaller threshold, "
            "'adaptive', or a longer training of the clusters, would let more be learned.",
            SkscanWarning,
            stacklevel=4,
        )


def _freeze_running_statistics(network: nn.Module) -> None:
    """Let training normalise by the batch and leave the statistics of evaluation as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 0.0
