"""SimCLR: features learned from the images themselves."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from skscan.extractors.pretext import PretextFeatureExtractor

if TYPE_CHECKING:
    from torch import nn

    from skscan.training.augmentations import Augmentation
    from skscan.training.contrastive import SimCLRTask
    from skscan.training.pixels import PixelStore

__all__ = ["SimCLRFeatureExtractor"]


class SimCLRFeatureExtractor(PretextFeatureExtractor):
    """Train a network on images without labels, and turn images into its features.

    The network learns that two random views of an image belong together and views of different
    images do not: the pretext task of SCAN, with its loss, its views and its schedule. The
    defaults are those of the paper's experiments on CIFAR-10.

    Parameters
    ----------
    backbone : "auto", dict or str, default="auto"
        The network. ``"auto"`` is a `SmallResNet`, with the stem for small images up to 64 px; a
        dict holds parameters of one, ``{"stem": "cifar", "depth": 18, "width": 64}``;
        ``"torchvision/resnet50"`` is one of torchvision, any other name one of timm. All begin with
        random weights.

    image_size : int, default=32
        Side in pixels of the square that the network sees. Smaller images are enlarged.

    resize : int or None, default=None
        To what the shorter side is resized before views are cut out; None is `image_size`.

    n_epochs : int, default=500
        Passes over the images.

    batch_size : int, default=512
        Images in a step, each with two views; at most as many as there are.

    learning_rate : float, default=0.4
        Of SGD with momentum 0.9 in the first epoch; it falls along a cosine to a thousandth. It
        belongs to the batch size: half the batch, half the rate.

    weight_decay : float, default=1e-4
        L2 penalty on all weights.

    temperature : float, default=0.1
        Of the loss.

    augmentation : {"simclr", "moco", "standard"} or callable, default="simclr"
        How views are drawn: ``"simclr"`` crops, flips, jitters colors and drops them, ``"moco"``
        also blurs, ``"standard"`` only crops and flips. A callable is called with (image_size,
        mean, std) and returns an augmentation; see `skscan.training.augmentations`.

    normalization : {"auto", "cifar10", "cifar100", "imagenet"} or (mean, std), default="auto"
        Mean and standard deviation of each color for pixels in 0..1; ``"auto"`` measures them.

    output : {"projection", "backbone"}, default="projection"
        What `transform` gives, each row of length 1: the 128 features after the projection head,
        on which SCAN mines neighbors of small images, or the backbone's before it.

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
        The trained backbone and projection head.

    history_ : list of dict
        For each epoch: epoch, learning_rate, steps, loss, and what the monitor said.

    n_iter_ : int
        Number of epochs.

    timings_ : dict of str to float
        Seconds spent making views ("inputs"), in the network ("network"), and in all ("total").

    References
    ----------
    Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.
    Van Gansbeke et al., "SCAN: Learning to Classify Images without Labels", ECCV 2020, section 2.1.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan import SimCLRFeatureExtractor
    >>> images = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8)
    >>> extractor = SimCLRFeatureExtractor(
    ...     {"stem": "cifar", "depth": 10, "width": 4}, image_size=16, n_epochs=1, batch_size=8
    ... )
    >>> extractor.fit_transform(images).shape
    (16, 128)
    """

    _stage = "simclr"

    def __init__(
        self,
        backbone: str | dict[str, Any] = "auto",
        *,
        image_size: int = 32,
        resize: int | None = None,
        n_epochs: int = 500,
        batch_size: int = 512,
        learning_rate: float = 0.4,
        weight_decay: float = 1e-4,
        temperature: float = 0.1,
        augmentation: str | Callable[..., Any] = "simclr",
        normalization: Any = "auto",
        output: str = "projection",
        precision: str = "no",
        micro_batch_size: int | None = None,
        compile: bool = False,
        monitor: Callable[..., dict[str, float]] | None = None,
        checkpoint_dir: str | os.PathLike | None = None,
        log_dir: str | os.PathLike | None = None,
        errors: str = "skip",
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.backbone = backbone
        self.image_size = image_size
        self.resize = resize
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.temperature = temperature
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

    def _make_task(
        self, backbone: nn.Module, pixels: PixelStore, augmentation: Augmentation
    ) -> SimCLRTask:
        from skscan.networks.architecture import projection_head
        from skscan.networks.modules import ContrastiveNetwork
        from skscan.training.contrastive import SimCLRTask

        network = ContrastiveNetwork(backbone, projection_head(backbone.n_features))  # type: ignore
        return SimCLRTask(network, pixels, augmentation, self.temperature)

    def _trained_modules(self, task: SimCLRTask) -> tuple[nn.Module, nn.Module | None]:
        return task.network.backbone, task.network.projection_head

    def _learning_rates(self) -> Callable[[int], float]:
        from skscan.training.loop import cosine

        return cosine(self.learning_rate, self.n_epochs, final_share=1e-3)
