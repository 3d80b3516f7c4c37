"""Hyper-parameters that whole-network training has in common, and what it is trained on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

from skscan.images import as_collection
from skscan.networks.trained import TrainedNetwork

if TYPE_CHECKING:
    import torch
    from torch import nn

    from skscan.training.augmentations import Augmentation
    from skscan.training.checkpoints import Checkpoint
    from skscan.training.loop import LoopSettings
    from skscan.training.pixels import PixelStore

__all__ = [
    "NetworkTraining",
    "check_scope",
    "load_images",
    "make_checkpoint",
    "network_of",
    "training_of",
    "with_backbone",
]

AUTO_LEARNING_RATE = 1e-4

# They change neither what is learned nor how.
_IRRELEVANT = frozenset({"checkpoint_dir", "log_dir", "network", "objective"})


class NetworkTraining(BaseEstimator):
    """How a whole network is trained: hyper-parameters of ``scope="network"``.

    Parameters
    ----------
    update : {"all", "heads"}, default="all"
        What is trained. ``"heads"`` leaves the backbone as it is, with its normalisation in
        evaluation mode: the paper's way on ImageNet.
    augmentation : {"strong", "simclr", "moco", "standard"} or callable, default="strong"
        How images are changed at random: ``"strong"`` draws four of 14 operations and cuts out a
        hole (section 2.3 of the paper), the others are those of :class:`SimCLRFeatureExtractor`. A
        callable is called with (image_size, mean, std) and returns an augmentation. All start from
        the square in the middle of an image; what lies beside it is not seen.
    cutout : int or None, default=None
        Largest side of the hole of ``"strong"`` in pixels; None is the paper's: half the side of
        small images, a third of others.
    optimizer : {"adam", "sgd"}, default="adam"
        SGD has momentum 0.9.
    weight_decay : float, default=1e-4
        L2 penalty on all that is trained.
    precision : {"no", "bf16", "fp16"}, default="no"
        Of the network in training; "no" is float32. Losses are computed in float32 always.
    micro_batch_size : int or None, default=None
        Images that go through the network at once, to save memory. The loss is that of the whole
        batch; batch normalisation sees the micro batch.
    compile : bool, default=False
        Whether torch compiles the network first; it pays on a GPU and long runs.
    checkpoint_dir : path or None, default=None
        Where the state is kept, at least every half minute: the same training started again goes
        on from there and ends as if it had not been cut off. Give the clusterer an int as
        `random_state`: with None every training is another one, and is refused.
    log_dir : path or None, default=None
        Where scalars for TensorBoard are written (needs ``skscan[tensorboard]``).

    Examples
    --------
    >>> from skscan import ClusterTrainer, NetworkTraining
    >>> training = NetworkTraining(precision="bf16", micro_batch_size=64)
    >>> trainer = ClusterTrainer(scope="network", network=training)
    """

    _parameter_constraints: dict = {
        "update": [StrOptions({"all", "heads"})],
        "augmentation": [StrOptions({"strong", "simclr", "moco", "standard"}), callable],
        "cutout": [None, Interval(Integral, 1, None, closed="left")],
        "optimizer": [StrOptions({"adam", "sgd"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "precision": [StrOptions({"no", "bf16", "fp16"})],
        "micro_batch_size": [None, Interval(Integral, 1, None, closed="left")],
        "compile": ["boolean"],
        "checkpoint_dir": [None, str, os.PathLike],
        "log_dir": [None, str, os.PathLike],
    }

    def __init__(
        self,
        *,
        update: str = "all",
        augmentation: str | Callable[..., Any] = "strong",
        cutout: int | None = None,
        optimizer: str = "adam",
        weight_decay: float = 1e-4,
        precision: str = "no",
        micro_batch_size: int | None = None,
        compile: bool = False,
        checkpoint_dir: str | os.PathLike | None = None,
        log_dir: str | os.PathLike | None = None,
    ) -> None:
        self.update = update
        self.augmentation = augmentation
        self.cutout = cutout
        self.optimizer = optimizer
        self.weight_decay = weight_decay
        self.precision = precision
        self.micro_batch_size = micro_batch_size
        self.compile = compile
        self.checkpoint_dir = checkpoint_dir
        self.log_dir = log_dir

    def views(self, network: TrainedNetwork) -> Augmentation:
        """Return the augmentation, of the size that a network takes."""
        from skscan.training.augmentations.named import make_augmentation

        if self.cutout is not None and self.augmentation != "strong":
            raise ValueError(
                f"cutout={self.cutout} is for augmentation='strong', got "
                f"augmentation={self.augmentation!r}; leave it at None."
            )
        return make_augmentation(
            self.augmentation, network.image_size, network.mean, network.std, self.cutout
        )

    def optimizer_of(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of what is trained of a network."""
        from skscan.training.loop import make_optimizer

        return make_optimizer(self.optimizer, network, self.weight_decay)

    def settings(
        self,
        n_epochs: int,
        batch_size: int,
        learning_rate: float | str,
        *,
        seed: int,
        device: str,
        verbose: int,
        rate_factor: float = 1.0,
    ) -> LoopSettings:
        """Return the settings of the loop; the learning rate is constant, as in the paper.

        Parameters
        ----------
        n_epochs, batch_size : int
        learning_rate : float or "auto"
            "auto" is 0.0001, for Adam.
        seed : int
        device : str
        verbose : int
        rate_factor : float, default=1.0
            What the learning rate is multiplied by.

        Raises
        ------
        ValueError
            If SGD is given no learning rate.
        """
        from skscan.training.loop import LoopSettings

        if isinstance(learning_rate, str):
            if self.optimizer == "sgd":
                raise ValueError(
                    "learning_rate='auto' is for optimizer='adam'; give a number with 'sgd'."
                )
            learning_rate = AUTO_LEARNING_RATE
        rate = learning_rate * rate_factor
        return LoopSettings(
            n_epochs=n_epochs,
            batch_size=batch_size,
            learning_rate=lambda epoch: rate,
            seed=seed,
            device=device,
            precision=self.precision,
            micro_batch_size=self.micro_batch_size,
            compile=self.compile,
            verbose=verbose,
            log_dir=None if self.log_dir is None else os.fspath(self.log_dir),
        )


def check_scope(
    trainer: Any, only_network: Mapping[str, Any], only_heads: Mapping[str, Any]
) -> None:
    """Refuse parameters that the scope of a trainer has no use for.

    Parameters
    ----------
    trainer : ClusterTrainer or SelfLabelTrainer
    only_network, only_heads : mapping of str to object
        Parameters of one scope only, with their defaults.

    Raises
    ------
    ValueError
        If such a parameter has another value than its default.
    """
    foreign = only_network if trainer.scope == "heads" else only_heads
    for name, default in foreign.items():
        value = getattr(trainer, name)
        if value is not default and value != default:
            raise ValueError(
                f"{name}={value!r} has no meaning with scope={trainer.scope!r}; leave it at "
                f"{default!r}, or change the scope."
            )


def training_of(trainer: Any) -> NetworkTraining:
    """Return how the network of a trainer is trained, checked."""
    training = trainer.network or NetworkTraining()
    training._validate_params()
    return training


def network_of(extractor: Any) -> TrainedNetwork:
    """Return the network of an extractor.

    Raises
    ------
    ValueError
        If it has none that can be trained.
    """
    network = getattr(extractor, "network_", None)
    if network is None:
        raise ValueError(
            "scope='network' trains the network of the feature extractor on its images, but "
            f"feature_extractor={type(extractor).__name__} has none; take SimCLRFeatureExtractor, "
            "MoCoFeatureExtractor or TimmFeatureExtractor and fit on images."
            if extractor is not None
            else "scope='network' needs images, got a matrix of features; fit on images, or use "
            "scope='heads'."
        )
    return network


def with_backbone(network: TrainedNetwork, backbone: nn.Module) -> TrainedNetwork:
    """Return a network of the same kind with the weights of a module, and no projection head."""
    return TrainedNetwork.from_modules(
        network.architecture,
        network.image_size,
        network.mean,
        network.std,
        backbone,
        resize=network.resize,
    )


def load_images(
    images: Any, network: TrainedNetwork, n_expected: int | None, n_jobs: int | None, verbose: int
) -> PixelStore:
    """Decode the images that a network is trained on or judged by.

    Parameters
    ----------
    images : images
        In any accepted form.
    network : TrainedNetwork
        Which says of what size.
    n_expected : int or None
        Number of readable images that there have to be.
    n_jobs : int or None
    verbose : int

    Returns
    -------
    pixels : PixelStore
        Of the readable ones.

    Raises
    ------
    ValueError
        If their number is another one.
    """
    from skscan.training.pixels import load_pixels

    side = network.resize or network.image_size
    pixels, _, _ = load_pixels(as_collection(images), side, n_jobs, verbose)
    if n_expected is not None and len(pixels) != n_expected:
        raise ValueError(
            f"images: {len(pixels)} can be read, but there are features of {n_expected}; give the "
            "images that the features were extracted from, unchanged."
        )
    return pixels


def make_checkpoint(
    trainer: Any,
    stage: str,
    seed: int,
    network: TrainedNetwork,
    *,
    n_clusters: int,
    **arrays: np.ndarray,
) -> Checkpoint | None:
    """Return where a trainer keeps its state; its identity is all that the result depends on.

    Parameters
    ----------
    trainer : ClusterTrainer or SelfLabelTrainer
    stage : str
    seed : int
    network : TrainedNetwork
        Where the training starts.
    n_clusters : int
    **arrays : ndarray
        What else it starts from: pixels, neighbors, heads.
    """
    from skscan.training.checkpoints import Checkpoint, hash_arrays

    training = training_of(trainer)
    if training.checkpoint_dir is None:
        return None
    own = {**trainer.get_params(deep=False), **training.get_params(deep=False)}
    parameters = {name: value for name, value in own.items() if name not in _IRRELEVANT}
    hashes: dict[int, str] = {}  # images that judge may be those that are trained on
    for array in arrays.values():
        if id(array) not in hashes:
            hashes[id(array)] = hash_arrays(array)
    data = {name: hashes[id(array)] for name, array in arrays.items()}
    start = {
        "weights": hash_arrays(*(network.arrays[name] for name in sorted(network.arrays))),
        "architecture": network.architecture,
        "image_size": network.image_size,
        "resize": network.resize,
        "mean": network.mean,
        "std": network.std,
    }
    identity = {
        **data,
        "network": start,
        "n_clusters": n_clusters,
        "seed": seed,
        **parameters,
    }
    return Checkpoint(training.checkpoint_dir, stage, identity)
