"""The stages of a recipe as calls of extractors and trainers; no label passes through here."""

from __future__ import annotations

import hashlib
import inspect
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from skscan._device import resolve_device
from skscan.exceptions import ModelFileError
from skscan.networks.heads import LinearHeads
from skscan.recipes.data import Images
from skscan.recipes.recipe import Pretext, Scan, SelfLabel

if TYPE_CHECKING:
    from skscan.clusterer import SCANClusterer

__all__ = [
    "Clustering",
    "Machine",
    "file_hash",
    "load_pretext",
    "train_clusters",
    "train_pretext",
    "train_self_label",
]

_CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class Machine:
    """On what, and how, a recipe is trained.

    Parameters
    ----------
    device : str
        Torch device.
    precision : {"no", "bf16", "fp16"}
        Of networks in training.
    compile : bool
        Whether torch compiles them.
    n_jobs : int or None
        Workers that decode images, and threads.
    verbose : int
        1 shows progress bars.
    """

    device: str = "auto"
    precision: str = "no"
    compile: bool = False
    n_jobs: int | None = None
    verbose: int = 0


@dataclass(frozen=True)
class Clustering:
    """Heads, and the extractor of the features that they work on.

    Attributes
    ----------
    heads : LinearHeads
    best_head : int
    extractor : NetworkFeatureExtractor
    history : list of dict
        One entry for each epoch.
    remarks : dict
        What else is to be remembered, plain data.
    """

    heads: LinearHeads
    best_head: int
    extractor: Any
    history: list[dict[str, Any]] = field(default_factory=list)
    remarks: dict[str, Any] = field(default_factory=dict)

    def model(self) -> SCANClusterer:
        """Return what later stages need, and anyone else: a clusterer that predicts."""
        from skscan.interop import clusterer_from_network

        return clusterer_from_network(self.extractor.network, self.heads, self.best_head)

    @classmethod
    def from_model(cls, model: SCANClusterer, machine: Machine) -> Clustering:
        """Take back what `model` gave, on another machine perhaps."""
        extractor: Any = model.feature_extractor_
        extractor.set_params(device=machine.device, n_jobs=machine.n_jobs)
        return cls(model.heads_, model.best_head_, extractor)


def train_pretext(
    stage: Pretext, images: Images, *, seed: int, checkpoint_dir: Path, machine: Machine
) -> tuple[Any, list[dict[str, Any]]]:
    """Learn a representation of images.

    Parameters
    ----------
    stage : Pretext
    images : ndarray or list of str
    seed : int
    checkpoint_dir : Path
    machine : Machine

    Returns
    -------
    extractor : transformer
        Fitted, with a `network_`.
    history : list of dict
        One entry for each epoch.
    """
    parameters: dict[str, Any] = {
        "backbone": stage.backbone,
        "image_size": stage.image_size,
        "resize": stage.resize,
        "n_epochs": stage.n_epochs,
        "batch_size": stage.batch_size,
        "learning_rate": stage.learning_rate,
        "weight_decay": stage.weight_decay,
        "temperature": stage.temperature,
        "augmentation": stage.augmentation,
        "normalization": stage.normalization,
        "output": stage.output,
        "precision": machine.precision,
        "compile": machine.compile,
        "checkpoint_dir": checkpoint_dir,
        "device": machine.device,
        "n_jobs": machine.n_jobs,
        "random_state": seed,
        "verbose": machine.verbose,
    }
    extractor: Any
    if stage.method == "simclr":
        from skscan.extractors.simclr import SimCLRFeatureExtractor

        extractor = SimCLRFeatureExtractor(**parameters)
    else:
        from skscan.extractors.moco import MoCoFeatureExtractor

        parameters |= {"queue_size": stage.queue_size, "momentum": stage.momentum}
        extractor = MoCoFeatureExtractor(**parameters)
    extractor.fit(images)
    # where it was trained is no part of what was learned
    return extractor.set_params(checkpoint_dir=None), extractor.history_


def load_pretext(
    stage: Pretext, weights: str | os.PathLike, machine: Machine, any_width: bool = False
) -> Any:
    """Read the pretext network of the authors of SCAN, or of MoCo.

    Parameters
    ----------
    stage : Pretext
    weights : path
    machine : Machine
    any_width : bool, default=False
        Whether a network of the recipe's kind may have another width and depth.

    Returns
    -------
    extractor : NetworkFeatureExtractor

    Raises
    ------
    ModelFileError
        If the file is missing, damaged or unsafe, or holds another network.
    """
    from skscan.extractors.network import NetworkFeatureExtractor
    from skscan.interop import load_scan_checkpoint

    stem = stage.backbone["stem"] if isinstance(stage.backbone, dict) else None
    checkpoint = load_scan_checkpoint(weights, stem, normalization=stage.normalization)
    _check_pretext(stage, checkpoint, weights, any_width)
    return NetworkFeatureExtractor(
        checkpoint.network, output=stage.output, device=machine.device, n_jobs=machine.n_jobs
    )


def _check_pretext(
    stage: Pretext, checkpoint: Any, weights: str | os.PathLike, any_width: bool
) -> None:
    """Refuse a file that does not hold the pretext network of the recipe."""
    found, reason = checkpoint.network, None
    same = _in_full(found.architecture) == _in_full(stage.backbone)
    if any_width:
        same = type(found.architecture) is type(stage.backbone)
    if checkpoint.kind not in ("pretext", "moco"):
        reason = f"it is a file of the stage {checkpoint.kind!r}"
    elif not same:
        reason = f"its network is {found.architecture}, the recipe's is {stage.backbone}"
    elif stage.output == "projection" and not found.has_projection_head:
        reason = "it has no projection head"
    if reason is not None:
        raise ModelFileError(f"{os.fspath(weights)!r} does not serve this recipe: {reason}.")


def _in_full(architecture: Any) -> Any:
    """Write the defaults of a SmallResNet out, so that descriptions can be compared."""
    if isinstance(architecture, dict):
        from skscan.networks.small_resnet import SmallResNet

        parameters = inspect.signature(SmallResNet).parameters
        return {name: parameter.default for name, parameter in parameters.items()} | architecture
    return architecture


def train_clusters(
    stage: Scan,
    extractor: Any,
    images: Images,
    features: NDArray[np.float32],
    neighbors: csr_matrix,
    n_clusters: int,
    *,
    validation_images: Images | None,
    seed: int,
    checkpoint_dir: Path,
    machine: Machine,
) -> Clustering:
    """Cluster images by the SCAN loss.

    Parameters
    ----------
    stage : Scan
    extractor : transformer
        Of the pretext features.
    images : ndarray or list of str
    features : ndarray of shape (n_readable, n_features)
        Of the images that can be read.
    neighbors : csr_matrix of shape (n_readable, n_readable)
    n_clusters : int
    validation_images : ndarray, list of str or None
        By which epoch and head are chosen; None is `images`.
    seed : int
    checkpoint_dir : Path
    machine : Machine

    Returns
    -------
    clustering : Clustering
    """
    from skscan.training.clustering import ClusterTrainer

    trainer = ClusterTrainer(
        scope="network",
        n_heads=stage.n_heads,
        starts=("random",),
        class_prior="uniform",
        entropy_weight=stage.entropy_weight,
        n_epochs=stage.n_epochs,
        batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
        selection=stage.selection,
        network=_network_training(stage, stage.augmentation, stage.update, checkpoint_dir, machine),
    )
    result = trainer.train(
        features,
        neighbors,
        n_clusters,
        random_state=np.random.RandomState(seed),
        device=resolve_device(machine.device),
        n_jobs=machine.n_jobs,
        verbose=machine.verbose,
        images=images,
        extractor=extractor,
        validation_images=validation_images,
    )
    return Clustering(result.heads, result.best_head, result.extractor, result.history)


def train_self_label(
    stage: SelfLabel,
    clustering: Clustering,
    images: Images,
    features: NDArray[np.float32],
    neighbors: csr_matrix,
    *,
    seed: int,
    checkpoint_dir: Path,
    machine: Machine,
) -> Clustering:
    """Let a clustering learn from its own confident predictions.

    Parameters
    ----------
    stage : SelfLabel
    clustering : Clustering
        After the SCAN loss.
    images : ndarray or list of str
    features : ndarray of shape (n_readable, n_features)
        Of the clustering's extractor, for the images that can be read.
    neighbors : csr_matrix of shape (n_readable, n_readable)
    seed : int
    checkpoint_dir : Path
    machine : Machine

    Returns
    -------
    clustering : Clustering
        With one head; its remarks say whether the training was kept, and why.
    """
    from skscan.training.self_labeling import SelfLabelTrainer

    trainer = SelfLabelTrainer(
        scope="network",
        threshold=stage.threshold,
        class_balancing=stage.class_balancing,
        n_epochs=stage.n_epochs,
        batch_size=stage.batch_size,
        learning_rate=stage.learning_rate,
        label_statistics=stage.label_statistics,
        averaging=stage.averaging,
        keep=stage.keep,
        **({} if stage.decay is None else {"decay": stage.decay}),
        network=_network_training(stage, "strong", "all", checkpoint_dir, machine),
    )
    result = trainer.train(
        features,
        neighbors,
        clustering.heads,
        clustering.best_head,
        random_state=np.random.RandomState(seed),
        device=resolve_device(machine.device),
        n_jobs=machine.n_jobs,
        verbose=machine.verbose,
        images=images,
        extractor=clustering.extractor,
    )
    remarks = {"accepted": result.accepted, "reason": result.reason}
    # training that is undone leaves the features as they were
    extractor = result.extractor or clustering.extractor
    return Clustering(result.heads, 0, extractor, result.history, remarks)


def file_hash(path: str | os.PathLike) -> str:
    """Hash the content of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _network_training(
    stage: Scan | SelfLabel, augmentation: str, update: str, checkpoint_dir: Path, machine: Machine
) -> Any:
    from skscan.training.network_settings import NetworkTraining

    return NetworkTraining(
        update=update,
        augmentation=augmentation,
        cutout=stage.cutout,
        optimizer=stage.optimizer,
        weight_decay=stage.weight_decay,
        precision=machine.precision,
        compile=machine.compile,
        checkpoint_dir=checkpoint_dir,
    )
