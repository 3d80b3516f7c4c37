"""The self-labelling stage on images: confident labels teach strongly augmented views."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from skscan.exceptions import SkscanWarning
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.graph import neighbor_table, symmetric_affinity
from skscan.networks.heads import LinearHeads
from skscan.networks.modules import ClusteringNetwork
from skscan.selection import modularity, neighbor_information
from skscan.training.augmentations import Augmentation, CenterCrop
from skscan.training.loop import Draws, Pass, Task, TrainingLoop
from skscan.training.losses import self_label_loss
from skscan.training.network_selection import predict_logits
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
        ClusteringNetwork(start.backbone("cpu"), head, "all"), trainer.averaging == "mean-teacher"
    )
    network.to(memory_format=torch.channels_last)
    weak = CenterCrop(start.image_size, start.mean, start.std)
    table = neighbor_table(neighbors)
    judge = PartitionJudge(pixels, table, weak)
    task = SelfLabelingTask(network, pixels, weak, training.views(start), trainer, judge)
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
        pixels=pixels.pixels,
        neighbors=table,
        heads=head.weights,
        biases=head.biases,
    )
    before = judge.look(network.labeler)
    history = TrainingLoop(task, training.optimizer_of(network), settings, checkpoint).run()
    _tell_of_idle_steps(history, len(pixels) // batch_size, trainer.threshold)
    better, reason = _compare(before, history[-1])
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
    """

    def __init__(self, learner: ClusteringNetwork, mean_teacher: bool) -> None:
        super().__init__()
        self.learner = learner
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
            weak = self.labeler(views[0::2])
        return torch.stack([weak, self.learner(views[1::2])], dim=1).flatten(0, 1)

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
    judge : PartitionJudge
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
        judge: PartitionJudge,
    ) -> None:
        self.network = network
        self.n_samples = len(pixels)
        self._pixels = pixels
        self._weak = weak
        self._strong = strong
        self._threshold = trainer.threshold
        self._class_balancing = trainer.class_balancing
        self._decay = trainer.decay
        self._judge = judge
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
        confident = torch.softmax(weak, dim=1).amax(dim=1) > self._threshold
        terms = {"confident": confident.float().mean().item()}
        if not confident.any():
            return None, terms
        return self_label_loss(weak, strong, self._threshold, self._class_balancing), terms

    def after_step(self) -> None:
        """Let the teacher follow."""
        self.network.follow(self._decay)

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Look at the clusters of all images."""
        return self._judge.look(self.network.labeler)


class PartitionJudge:
    """Judges the clusters that a network makes, without labels.

    Parameters
    ----------
    pixels : PixelStore
    table : int ndarray of shape (len(pixels), width)
        Neighbors of each image, nearest first.
    view : CenterCrop
        The evaluation transform.
    """

    def __init__(self, pixels: PixelStore, table: NDArray[np.integer], view: CenterCrop) -> None:
        self._pixels = pixels
        self._view = view
        self._nearest, self._near = symmetric_affinity(table, 3), symmetric_affinity(table, 5)

    def look(self, network: ClusteringNetwork) -> dict[str, float]:
        """Return clusters_used, modularity and information of the clusters."""
        labels = predict_logits(network, self._pixels, self._view)[:, 0].argmax(dim=1).numpy()
        return {
            "clusters_used": len(np.unique(labels)),
            "modularity": modularity(labels, self._nearest),
            "information": neighbor_information(labels, self._near),
        }


def _compare(before: dict[str, float], after: dict[str, float]) -> tuple[bool, str]:
    """Tell whether the clusters are to be trusted, and why.

    The criteria look at neighbors of the features from before the training, and noise in these is
    what the training mends: one of them may fall. When both fall, or a cluster is lost, the labels
    have fed on their own errors.
    """
    n_lost = int(before["clusters_used"] - after["clusters_used"])
    if n_lost > 0:
        return False, f"{n_lost} of {before['clusters_used']:.0f} clusters became empty"
    rose = [name for name in ("modularity", "information") if after[name] >= before[name]]
    fell = [name for name in ("modularity", "information") if after[name] < before[name]]
    if not rose:
        return False, f"label-free criteria fell ({', '.join(fell)}) and none rose"
    fallen = f"; {', '.join(fell)} fell" if fell else " and none fell"
    return True, f"no cluster was lost, label-free criteria rose ({', '.join(rose)}){fallen}"


def _tell_of_idle_steps(history: list[dict[str, float]], n_batches: int, threshold: float) -> None:
    """Warn when steps were left out because no sample was confident."""
    n_idle = sum(n_batches - int(entry["steps"]) for entry in history)
    if n_idle:
        warnings.warn(
            f"In {n_idle} of {n_batches * len(history)} steps of self-labelling no sample had a "
            f"confidence above threshold={threshold}, so they were left out. A smaller threshold, "
            "or a longer training of the clusters, would let more be learned.",
            SkscanWarning,
            stacklevel=4,
        )


def _freeze_running_statistics(network: nn.Module) -> None:
    """Let training normalise by the batch and leave the statistics of evaluation as they are."""
    for layer in network.modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.momentum = 0.0
