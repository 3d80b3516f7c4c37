"""MoCo v2: features learned from the images themselves, or those of a published file."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.utils._param_validation import Interval, StrOptions

from skscan.exceptions import ModelFileError
from skscan.extractors.pretext import (
    LARGEST_SMALL_IMAGE,
    NORMALIZATIONS,
    PretextFeatureExtractor,
)
from skscan.networks.trained import TrainedNetwork

if TYPE_CHECKING:
    from torch import nn

    from skscan.extractors.checkpoint_files import KeyReport
    from skscan.training.augmentations import Augmentation
    from skscan.training.momentum_contrast import MoCoTask
    from skscan.training.pixels import PixelStore

__all__ = ["MoCoFeatureExtractor"]


class MoCoFeatureExtractor(PretextFeatureExtractor):
    """Train a network on images by momentum contrast, and turn images into its features.

    The network learns that two random views of an image belong together and that the views in a
    long queue of other images do not, which a second network encoded that follows the first one
    slowly. So it needs no large batches. This is how the network was trained that SCAN takes for
    ImageNet, and the defaults are those of that training; or give the published file as `weights`.

    Parameters
    ----------
    backbone : "auto", dict or str, default="torchvision/resnet50"
        The network. A dict holds parameters of a `SmallResNet`, ``{"stem": "cifar", "depth": 18,
        "width": 64}``; ``"auto"`` is one with the stem that fits `image_size`;
        ``"torchvision/resnet50"`` is one of torchvision, any other name one of timm.

    weights : path or None, default=None
        A file of a trained network: then `fit` reads it and trains nothing. That is
        ``moco_v2_800ep_pretrain.pth.tar`` as MoCo's authors publish it, or a file of the pretext
        stage of SCAN's authors; each entry of it has to be known, and all weights of `backbone` in
        it. None trains from random weights.

    image_size : int, default=224
        Side in pixels of the square that the network sees. Smaller images are enlarged.

    resize : "auto", int or None, default="auto"
        To what the shorter side is resized before views are cut out; None is `image_size`, and
        ``"auto"`` too up to 64 px, from there on it is 8/7 of it: 256 for 224.

    n_epochs : int, default=800
        Passes over the images.

    batch_size : int, default=256
        Images in a step, each with two views; at most as many as there are.

    learning_rate : float, default=0.03
        Of SGD with momentum 0.9 in the first epoch; it falls along a cosine to 0. It belongs to the
        batch size: half the batch, half the rate.

    weight_decay : float, default=1e-4
        L2 penalty on all weights.

    temperature : float, default=0.2
        Of the loss.

    momentum : float, default=0.999
        What the second network keeps of its weights in each step. Shorter trainings than some ten
        thousand steps want less, 0.99 or 0.9, or it stays near its random start.

    queue_size : "auto" or int, default="auto"
        Encoded views that are contrasted with, at least a batch and at most as many as images.
        ``"auto"`` is the largest number of whole batches within a tenth of the images, at most
        65,536, which is what it is on ImageNet: a longer queue holds earlier views of an image
        when its turn comes again.

    augmentation : {"moco", "simclr", "standard"} or callable, default="moco"
        How views are drawn: ``"moco"`` crops, flips, jitters colors and drops them, and blurs,
        ``"simclr"`` does not blur, ``"standard"`` only crops and flips. A callable is called with
        (image_size, mean, std) and returns an augmentation; see `skscan.training.augmentations`.

    normalization : {"auto", "cifar10", "cifar100", "imagenet"} or (mean, std), default="auto"
        Mean and standard deviation of each color for pixels in 0..1; ``"auto"`` measures them, or
        with `weights` takes those of ImageNet.

    output : {"backbone", "projection"}, default="backbone"
        What `transform` gives, each row of length 1: the backbone's features, on which SCAN mines
        neighbors of large images, or the 128 after the projection head.

    precision : {"no", "bf16", "fp16"}, default="no"
        Of the network in training; "no" is float32. Losses are computed in float32 always.

    micro_batch_size : int or None, default=None
        Images that go through the network at once, to save memory. The loss is that of the whole
        batch; batch normalisation sees the micro batch.

    compile : bool, default=False
        Whether torch compiles the network first; it pays on a GPU and long runs.

    monitor : callable or None, default=None
        Called after each epoch with a function from pixels to features, returns numbers for
        `history_`; see `skscan.training.monitor.KNNMonitor`. It changes nothing in the training.

    checkpoint_dir : path or None, default=None
        Where the state is kept, at least every half minute: the same fit started again goes on
        from there and ends as if it had not been cut off. Needs an int as `random_state`.

    log_dir : path or None, default=None
        Where scalars for TensorBoard are written (needs ``skscan[tensorboard]``).

    errors : {"skip", "raise"}, default="skip"
        What to do with images that cannot be read: leave them out with a warning (rows of NaN in
        `transform`), or stop.

    device : str, default="auto"
        ``"auto"`` (CUDA, then MPS, then the CPU) or any torch device.

    n_jobs : int or None, default=None
        Workers that decode images, and threads of the training; None leaves torch at its setting.

    random_state : int, RandomState instance or None, default=None
        Rules every draw: first weights, order, views.

    verbose : int, default=0
        1 shows a progress bar on stderr.

    Attributes
    ----------
    network_ : TrainedNetwork
        The trained backbone and projection head, or those of the file.

    key_report_ : KeyReport or None
        What became of each entry of the file; None without `weights`.

    history_ : list of dict
        For each epoch: epoch, learning_rate, steps, loss, and what the monitor said.

    n_iter_ : int
        Number of epochs.

    timings_ : dict of str to float
        Seconds spent making views ("inputs"), in the network ("network"), and in all ("total").

    Notes
    -----
    The original trains on eight devices, each with its own statistics of batch normalisation, and
    shuffles the keys between them, so that the statistics do not tell which key belongs to a
    query. Here queries and keys are each normalised by the statistics of their whole batch, over
    all processes: what the original does on one device. Networks without batch normalisation do
    not care.

    References
    ----------
    He et al., "Momentum Contrast for Unsupervised Visual Representation Learning", CVPR 2020.
    Chen et al., "Improved Baselines with Momentum Contrastive Learning", arXiv 2003.04297.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan import MoCoFeatureExtractor
    >>> images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    >>> extractor = MoCoFeatureExtractor(
    ...     {"stem": "cifar", "depth": 10, "width": 4}, image_size=16, n_epochs=1, batch_size=8
    ... )
    >>> extractor.fit_transform(images).shape
    (16, 32)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **PretextFeatureExtractor._parameter_constraints,
        "weights": [None, str, os.PathLike],
        "resize": [
            None,
            StrOptions({"auto"}),
            *PretextFeatureExtractor._parameter_constraints["resize"][1:],
        ],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "queue_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    }

    _stage = "moco"

    def __init__(
        self,
        backbone: str | dict[str, Any] = "torchvision/resnet50",
        *,
        weights: str | os.PathLike | None = None,
        image_size: int = 224,
        resize: int | str | None = "auto",
        n_epochs: int = 800,
        batch_size: int = 256,
        learning_rate: float = 0.03,
        weight_decay: float = 1e-4,
        temperature: float = 0.2,
        momentum: float = 0.999,
        queue_size: int | str = "auto",
        augmentation: str | Callable[..., Any] = "moco",
        normalization: Any = "auto",
        output: str = "backbone",
        precision: str = "no",
        micro_batch_size: int | None = None,
        compile: bool = False,
        monitor: Callable[..., dict[str, float]] | None = None,
        checkpoint_dir: str | os.PathLike | None = None,
        log_dir: str | os.PathLike | None = None,
        errors: str = "skip",
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.weights = weights
        self.image_size = image_size
        self.resize = resize
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.temperature = temperature
        self.momentum = momentum
        self.queue_size = queue_size
        self.augmentation = augmentation
        self.normalization = normalization
        self.output = output
        self.precision = precision
        self.micro_batch_size = micro_batch_size
        self.compile = compile
        self.monitor = monitor
        self.checkpoint_dir = checkpoint_dir
        self.log_dir = log_dir
        self.errors = errors
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, images: Any) -> None:
        self.key_report_: KeyReport | None = None
        if self.weights is None:
            super()._fit(images)
        else:
            self._load(self.weights)

    def _load(self, path: str | os.PathLike) -> None:
        """Take the network of a file."""
        from skscan.extractors.checkpoint_files import read_checkpoint, weights_by_our_names

        raw = read_checkpoint(path)
        if raw.kind not in ("moco", "pretext"):
            raise ModelFileError(
                f"weights={raw.path!r} holds cluster heads, which have no place here; "
                "skscan.interop.load_scan_checkpoint reads it with them."
            )
        arrays, self.key_report_ = weights_by_our_names(raw)
        auto = self.normalization == "auto"
        mean, std = NORMALIZATIONS["imagenet"] if auto else self._given_normalization()
        network = TrainedNetwork(
            self._architecture(), self.image_size, mean, std, arrays, self._resize()
        )
        self._check_network(network, raw.path)
        self.network_, self.history_, self.n_iter_, self.timings_ = network, [], 0, {}

    def _check_network(self, network: TrainedNetwork, path: str) -> None:
        try:
            n_features: Any = network.backbone("cpu").n_features
            head: Any = network.projection_head("cpu")
        except ModelFileError as error:
            raise ModelFileError(
                f"weights={path!r} does not fit backbone={self.backbone!r}: {error}"
            ) from error
        if head is not None and head[0].in_features != n_features:
            raise ModelFileError(
                f"weights={path!r}: the projection head takes {head[0].in_features} features, the "
                f"backbone gives {n_features}"
            )
        if head is None and self.output == "projection":
            raise ModelFileError(
                f"weights={path!r} holds no projection head; take output='backbone'"
            )

    def _resize(self) -> int | None:
        if self.resize != "auto":
            return self.resize
        return None if self.image_size <= LARGEST_SMALL_IMAGE else round(self.image_size * 8 / 7)

    def _make_task(
        self, backbone: nn.Module, pixels: PixelStore, augmentation: Augmentation
    ) -> MoCoTask:
        from skscan.networks.architecture import projection_head
        from skscan.networks.modules import ContrastiveNetwork
        from skscan.training.momentum_contrast import MoCoTask, MomentumNetwork

        head = projection_head(backbone.n_features)  # type: ignore[arg-type]
        encoder = ContrastiveNetwork(backbone, head)
        network = MomentumNetwork(encoder, head[-1].out_features, self._queue_size(len(pixels)))  # type: ignore[arg-type]
        return MoCoTask(network, pixels, augmentation, self.temperature, self.momentum)

    def _queue_size(self, n_samples: int) -> int:
        from skscan.training.momentum_contrast import default_queue_size

        if isinstance(self.queue_size, str):
            return default_queue_size(n_samples, self.batch_size)
        if not self.batch_size <= self.queue_size <= n_samples:
            raise ValueError(
                f"queue_size={self.queue_size} must be at least batch_size={self.batch_size}, "
                f"which is put into it in a step, and at most the number of images, {n_samples}: a "
                "longer queue holds earlier views of each image among what it is told apart from. "
                "'auto' is always suitable."
            )
        return self.queue_size

    def _trained_modules(self, task: MoCoTask) -> tuple[nn.Module, nn.Module | None]:
        return task.network.encoder.backbone, task.network.encoder.projection_head

    def _learning_rates(self) -> Callable[[int], float]:
        from skscan.training.loop import cosine

        return cosine(self.learning_rate, self.n_epochs, final_share=0.0)
