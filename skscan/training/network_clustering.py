"""The clustering stage on images: backbone and heads learn to agree with neighbors."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.base import clone
from torch import Tensor

from skscan.exceptions import SkscanWarning
from skscan.extractors.network import NetworkFeatureExtractor, network_features
from skscan.graph import neighbor_table
from skscan.images import as_collection
from skscan.neighbors import NeighborMiner
from skscan.networks.heads import LinearHeads
from skscan.networks.modules import ClusteringNetwork
from skscan.networks.trained import TrainedNetwork
from skscan.training.augmentations import Augmentation, CenterCrop
from skscan.training.head_clustering import (
    PRIORS,
    SAMPLES_PER_CLUSTER,
    given_sizes,
    plan_of_heads,
    prior_names,
    train_heads,
)
from skscan.training.loop import Draws, Pass, Task, TrainingLoop
from skscan.training.losses import scan_losses
from skscan.training.network_selection import BestEpoch
from skscan.training.network_settings import (
    load_images,
    make_checkpoint,
    network_of,
    training_of,
    with_backbone,
)
from skscan.training.pixels import PixelStore
from skscan.training.results import ClusterTrainingResult

if TYPE_CHECKING:
    from skscan.training.clustering import ClusterTrainer

__all__ = ["ClusteringTask", "HeadPriors", "train_network"]

AUTO_EPOCHS = 50
AUTO_BATCH_SIZE = 128
SELECTION_NEIGHBORS = 5
_FEATURES_AT_ONCE = 256
_IMAGES_FOR_TEMPER = 1024
_TEMPERS = (1.0, 0.5, 0.25, 0.125)


def train_network(
    trainer: ClusterTrainer,
    features: NDArray[np.float32],
    neighbors: sparse.csr_matrix,
    n_clusters: int,
    images: Any,
    extractor: Any,
    validation_images: Any,
    random_state: np.random.RandomState,
    device: str,
    n_jobs: int | None,
    verbose: int,
) -> ClusterTrainingResult:
    """Train the network of an extractor, and heads on it, on images and their neighbor graph.

    Parameters
    ----------
    trainer : ClusterTrainer
        The hyper-parameters.
    features : ndarray of shape (n_samples, n_features), float32
        From which the neighbors were mined.
    neighbors : csr_matrix of shape (n_samples, n_samples)
    n_clusters : int
        At least 2.
    images : images
        Those that the features come from; unreadable ones are left out as there.
    extractor : transformer
        With a `network_`.
    validation_images : images or None
        By which epochs and heads are compared; None is the training images.
    random_state : RandomState
    device : str
    n_jobs : int or None
    verbose : int

    Returns
    -------
    result : ClusterTrainingResult
        Its heads work on the features of its extractor.
    """
    start, training = network_of(extractor), training_of(trainer)
    pixels = load_images(images, start, len(features), n_jobs, verbose)
    table = neighbor_table(neighbors)
    seed = int(random_state.randint(np.iinfo(np.int32).max))
    history: list[dict[str, Any]]
    from_random = tuple(trainer.starts) == ("random",)
    if from_random:
        heads, priors, history = *_random_start(trainer, start, n_clusters, seed), []
    else:
        compute = network_features(start, "backbone", device)
        frozen = pixels.features(compute, _FEATURES_AT_ONCE)
        heads, priors, history = _start_on_frozen_features(
            trainer, frozen, neighbors, n_clusters, random_state, device, verbose
        )
    network = ClusteringNetwork(start.backbone("cpu"), heads, training.update)
    network.to(memory_format=torch.channels_last)
    judge = BestEpoch(
        *_judging_images(pixels, table, start, validation_images, extractor, n_jobs, verbose),
        CenterCrop(start.image_size, start.mean, start.std),
        full_heads_first=trainer.selection != "scan_loss",
    )
    task = ClusteringTask(network, pixels, table, training.views(start), priors, judge)
    if not from_random:
        _temper(network.to(device), task, priors, seed)
        judge.look(-1, network, priors.sizes)  # training has to beat what it starts from
    batch_size = trainer.batch_size
    if isinstance(batch_size, str):
        batch_size = min(max(AUTO_BATCH_SIZE, SAMPLES_PER_CLUSTER * n_clusters), len(pixels))
    n_epochs = AUTO_EPOCHS if isinstance(trainer.n_epochs, str) else trainer.n_epochs
    settings = training.settings(
        n_epochs, batch_size, trainer.learning_rate, seed=seed, device=device, verbose=verbose
    )
    checkpoint = make_checkpoint(
        trainer,
        "scan",
        seed,
        start,
        n_clusters=n_clusters,
        pixels=pixels.pixels,
        neighbors=table,
        heads=heads.weights,
        biases=heads.biases,
        **judge.arrays(),
    )
    passes = TrainingLoop(task, training.optimizer_of(network), settings, checkpoint).run()
    best_head = judge.restore_best(network)
    if judge.best_epoch < 0:
        _tell_of_no_better_epoch(passes[-1])
    tuned = with_backbone(start, network.backbone)
    return ClusterTrainingResult(
        network.to_heads(),
        best_head,
        [*history, *passes],
        n_epochs,
        NetworkFeatureExtractor(tuned, device=device, n_jobs=n_jobs),
    )


def _tell_of_no_better_epoch(last: dict[str, Any]) -> None:
    warnings.warn(
        "Training the whole network was undone: by the SCAN loss no epoch is better than the heads "
        f"that it began with on frozen features (the last one uses {last['clusters_used']:.0f} "
        "clusters). More images or a longer pretext training make better neighbors to learn from; "
        "with few images scope='heads' is the surer choice.",
        SkscanWarning,
        stacklevel=4,
    )


def _temper(
    network: ClusteringNetwork, task: ClusteringTask, priors: HeadPriors, seed: int
) -> None:
    """Make heads as sure of augmented images as the loss wants them to be.

    Heads that were trained on frozen features know no augmented images and are far too sure on
    them. The loss of the first epochs would go into that, and the epoch before would look best.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(task.n_samples, generator=generator)[:_IMAGES_FOR_TEMPER]
    draws = task.draw(rows, generator)
    network.eval()
    parts = torch.arange(len(rows)).split(_FEATURES_AT_ONCE)
    with torch.no_grad():
        outputs = [
            [
                network(each.inputs).float().cpu()
                for each in task.passes(rows[part], {k: v[part] for k, v in draws.items()})
            ]
            for part in parts
        ]
        anchors, neighbors = (torch.cat(views) for views in zip(*outputs, strict=True))
        losses = [
            scan_losses(anchors * factor, neighbors * factor, priors.weights, priors.sizes)[0].sum()
            for factor in _TEMPERS
        ]
        factor = _TEMPERS[int(torch.stack(losses).argmin())]
        network.weights.mul_(factor)
        network.biases.mul_(factor)


class ClusteringTask(Task):
    """The SCAN loss of every head, on views of images and of their neighbors.

    Parameters
    ----------
    network : ClusteringNetwork
    pixels : PixelStore
    table : int ndarray of shape (n_samples, width)
        Neighbors of each image, usually itself first.
    augmentation : Augmentation
        Of anchors and neighbors alike.
    priors : HeadPriors
    judge : BestEpoch
        Compares epochs and heads.
    """

    name = "scan"
    network: ClusteringNetwork

    def __init__(
        self,
        network: ClusteringNetwork,
        pixels: PixelStore,
        table: NDArray[np.integer],
        augmentation: Augmentation,
        priors: HeadPriors,
        judge: BestEpoch,
    ) -> None:
        self.network = network
        self.n_samples = len(pixels)
        self._pixels = pixels
        self._table = torch.from_numpy(table.astype(np.int64))
        self._augmentation = augmentation
        self._priors = priors
        self._judge = judge

    def draw(self, rows: Tensor, generator: torch.Generator) -> Draws:
        """Draw one neighbor of each row, from all in its list, and a view of both."""
        side, n = self._pixels.side, len(rows)
        columns = torch.randint(self._table.shape[1], (n, 1), generator=generator)
        neighbor = self._table[rows].gather(1, columns).squeeze(1)
        views = self._augmentation.draw(2 * n, side, side, generator)
        draws = {name: values.unflatten(0, (n, 2)) for name, values in views.items()}
        return {"neighbor": neighbor, **draws}

    def passes(self, rows: Tensor, draws: Draws) -> list[Pass]:
        """Anchors, then neighbors: each has its own statistics of batch normalisation."""
        device = next(self.network.parameters()).device
        views = {name: values for name, values in draws.items() if name != "neighbor"}
        return [
            Pass(
                self._augmentation(
                    self._pixels.take(which, device),
                    {name: values[:, view] for name, values in views.items()},
                )
            )
            for view, which in enumerate([rows, draws["neighbor"]])
        ]

    def loss(self, outputs: list[Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Sum the losses of the heads."""
        anchors, neighbors = outputs
        device = anchors.device
        total, consistency, entropy = scan_losses(
            anchors, neighbors, self._priors.weights.to(device), self._priors.sizes.to(device)
        )
        self._priors.follow(anchors)
        terms = {"consistency": consistency.mean().item(), "entropy": entropy.mean().item()}
        return total.sum(), terms

    def after_epoch(self, epoch: int) -> dict[str, float]:
        """Compare the heads, and this epoch with the best before."""
        return self._judge.look(epoch, self.network, self._priors.sizes)

    def extra_state(self) -> dict[str, Any]:
        """Return the priors and the best epoch."""
        return {"sizes": self._priors.sizes, "best": self._judge.state()}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        """Take back the priors and the best epoch."""
        self._priors.sizes = state["sizes"]
        self._judge.load_state(state["best"])


class HeadPriors:
    """What heads expect of the sizes of clusters.

    Parameters
    ----------
    weights : array-like of shape (n_heads,)
        Weight of the entropy term.
    sizes : ndarray of shape (n_heads, n_clusters)
        Expected sizes, as shares.
    rates : array-like of shape (n_heads,)
        How far the expected sizes move to the mean prediction in each step.

    Attributes
    ----------
    weights : Tensor of shape (n_heads,)
    sizes : Tensor of shape (n_heads, n_clusters)
        As they are now.
    """

    def __init__(self, weights: ArrayLike, sizes: NDArray, rates: ArrayLike) -> None:
        self.weights = torch.as_tensor(weights, dtype=torch.float32)
        self.sizes = torch.as_tensor(sizes, dtype=torch.float32)
        self._rates = torch.as_tensor(rates, dtype=torch.float32)[:, None]

    def follow(self, anchors: Tensor) -> None:
        """Move estimated sizes to the mean prediction of a batch."""
        if bool((self._rates > 0).any()):
            mean = torch.softmax(anchors.detach(), dim=2).mean(dim=0).cpu()
            self.sizes = self.sizes + self._rates * (mean - self.sizes)


def _random_start(
    trainer: ClusterTrainer, network: TrainedNetwork, n_clusters: int, seed: int
) -> tuple[LinearHeads, HeadPriors]:
    """Begin with heads as torch begins with linear layers."""
    ways = prior_names(trainer)
    names = [ways[head % len(ways)] for head in range(trainer.n_heads)]
    n_features = network.n_features()
    bound = 1 / math.sqrt(n_features)
    rng = np.random.default_rng(seed)
    shape = (len(names), n_clusters, n_features)
    weights = rng.uniform(-bound, bound, shape).astype(np.float32)
    biases = rng.uniform(-bound, bound, shape[:2]).astype(np.float32)
    priors = [PRIORS[name] for name in names]
    sizes = np.full(shape[:2], 1 / n_clusters)
    if ways == ("given",):
        sizes[:] = given_sizes(trainer, np.zeros(n_clusters))
    return LinearHeads(weights, biases), HeadPriors(
        [trainer.entropy_weight * prior.weight for prior in priors],
        sizes,
        [prior.rate for prior in priors],
    )


def _start_on_frozen_features(
    trainer: ClusterTrainer,
    features: NDArray[np.float32],
    neighbors: sparse.csr_matrix,
    n_clusters: int,
    random_state: np.random.RandomState,
    device: str,
    verbose: int,
) -> tuple[LinearHeads, HeadPriors, list[dict[str, Any]]]:
    """Begin with the head that the selection keeps after training on frozen features.

    Sizes that this head has found stay expected, with the whole weight of the entropy term: a
    network can make any prediction come true, so sizes that follow it would end in one cluster.
    """
    on_frozen = clone(trainer).set_params(
        scope="heads", n_epochs="auto", batch_size="auto", learning_rate="auto"
    )
    result = train_heads(on_frozen, features, neighbors, n_clusters, random_state, device, verbose)
    head = result.heads.select(result.best_head)
    _, prior = plan_of_heads(on_frozen)[result.best_head]
    sizes = head.predict_proba(features).mean(axis=0, keepdims=True)
    if prior == "balanced":
        sizes = np.full_like(sizes, 1 / n_clusters)
    elif prior == "given":
        sizes = given_sizes(trainer, sizes[0])[None]
    return head, HeadPriors([trainer.entropy_weight], sizes, [0.0]), result.history


def _judging_images(
    pixels: PixelStore,
    table: NDArray[np.integer],
    network: TrainedNetwork,
    validation_images: Any,
    extractor: Any,
    n_jobs: int | None,
    verbose: int,
) -> tuple[PixelStore, NDArray[np.integer]]:
    """Images that epochs are judged by, those of the training or others, and their neighbors."""
    if validation_images is not None:
        images = as_collection(validation_images)
        pixels = load_images(images, network, None, n_jobs, verbose)
        features = extractor.transform(images)
        features = features[~np.isnan(features[:, 0])]
        miner = NeighborMiner(SELECTION_NEIGHBORS, metric="cosine", n_jobs=n_jobs)
        table = neighbor_table(miner.fit_transform(features))
    itself = np.arange(len(table), dtype=table.dtype)[:, None]
    if not (table[:, :1] == itself).all():  # of a graph without its diagonal
        table = np.concatenate([itself, table], axis=1)
    return pixels, table[:, : SELECTION_NEIGHBORS + 1]
