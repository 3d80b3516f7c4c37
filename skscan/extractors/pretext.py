"""What extractors have in common that train their network on the images, without labels."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import joblib
import numpy as np
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skscan._device import resolve_device
from skscan._threads import limit_threads
from skscan.engines.record import forget_engine, recorded_engine
from skscan.extractors.base import ImageFeatureExtractor
from skscan.extractors.network import TrainedSource, features_function
from skscan.extractors.skipping import tell_of_skipped
from skscan.images import as_collection
from skscan.networks.trained import TrainedNetwork

if TYPE_CHECKING:
    import torch
    from torch import nn

    from skscan.engines.base import Engine
    from skscan.networks.architecture import Architecture
    from skscan.training.augmentations import Augmentation
    from skscan.training.checkpoints import Checkpoint
    from skscan.training.loop import LoopSettings, Task
    from skscan.training.pixels import PixelStore

__all__ = ["LARGEST_SMALL_IMAGE", "NORMALIZATIONS", "PretextFeatureExtractor"]

Normalization = tuple[tuple[float, float, float], tuple[float, float, float]]

NORMALIZATIONS: dict[str, Normalization] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation of each color, for pixels in 0..1, as in SCAN's experiments."""

LARGEST_SMALL_IMAGE = 64
"""Side in pixels up to which networks for small images are taken."""

# They change neither what is learned nor how.
_IRRELEVANT = frozenset(
    {
        "checkpoint_dir",
        "device",
        "errors",
        "log_dir",
        "monitor",
        "n_jobs",
        "output",
        "random_state",
        "verbose",
    }
)


class PretextFeatureExtractor(ImageFeatureExtractor):
    """Base class of extractors that train a network on the images that they are fitted on.

    A subclass makes the task of the training loop (`_make_task`), knows its learning rates
    (`_learning_rates`), and says what is trained of the task's network (`_trained_network`).
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **ImageFeatureExtractor._parameter_constraints,
        "backbone": [str, dict],
        "resize": [None, Interval(Integral, 1, None, closed="left")],
        "n_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 2, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "augmentation": [StrOptions({"simclr", "moco", "standard"}), callable],
        "normalization": [StrOptions({"auto", *NORMALIZATIONS}), tuple, list],
        "output": [StrOptions({"projection", "backbone"})],
        "precision": [StrOptions({"no", "bf16", "fp16"})],
        "micro_batch_size": [None, Interval(Integral, 1, None, closed="left")],
        "compile": ["boolean"],
        "monitor": [None, callable],
        "checkpoint_dir": [None, str, os.PathLike],
        "log_dir": [None, str, os.PathLike],
        "device": [str],
        "random_state": ["random_state"],
    }

    backbone: Any
    resize: Any
    n_epochs: int
    augmentation: Any
    normalization: Any
    output: str
    precision: str
    micro_batch_size: int | None
    compile: bool
    monitor: Any
    checkpoint_dir: str | os.PathLike | None
    log_dir: str | os.PathLike | None
    device: str
    random_state: int | np.random.RandomState | None

    #: Parameters that are of no use after the training and left out of saved models.
    _not_saved: ClassVar[frozenset[str]] = frozenset({"monitor"})

    #: Name of the stage, of its checkpoint and of its progress bar.
    _stage: ClassVar[str]

    @abstractmethod
    def _make_task(
        self, backbone: nn.Module, pixels: PixelStore, augmentation: Augmentation
    ) -> Task:
        """Return what the loop trains; new weights come from torch's global generator."""

    @abstractmethod
    def _trained_modules(self, task: Any) -> tuple[nn.Module, nn.Module | None]:
        """Return the trained backbone and projection head."""

    @abstractmethod
    def _learning_rates(self) -> Callable[[int], float]:
        """Return the learning rate of each epoch."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train the network on images, without labels.

        Parameters
        ----------
        X : images
            In any of the forms that `transform` takes. Unreadable ones are left out.

        y : Ignored
            Not used, present for API consistency.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If there are fewer images than `batch_size`, or parameters do not fit together.

        CheckpointMismatchError
            If `checkpoint_dir` holds a run with other data or parameters.

        TrainingDivergedError
            If the loss becomes infinite or no number.
        """
        self._validate_params()
        self._check_sizes()
        images = as_collection(X)
        with limit_threads(self.n_jobs):
            self._fit(images)
        return self

    def _check_sizes(self) -> None:
        resize = self._resize()
        if resize is not None and resize < self.image_size:
            raise ValueError(
                f"resize={resize} must not be smaller than image_size={self.image_size}, "
                "which is cut out of the resized image."
            )
        if self.checkpoint_dir is not None and self.random_state is None:
            raise ValueError(
                "checkpoint_dir needs random_state: give an int, so that the same run is started "
                "again; got random_state=None."
            )

    def _fit(self, images: Any) -> None:
        import torch

        from skscan.networks.architecture import build_backbone
        from skscan.training.loop import TrainingLoop
        from skscan.training.pixels import load_pixels

        forget_engine(self)
        device = resolve_device(self.device)
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        pixels, _, skipped = load_pixels(
            images, self._resize() or self.image_size, self.n_jobs, self.verbose
        )
        if skipped:
            tell_of_skipped(skipped, len(images), self.errors, "they are not trained on")
        architecture, mean, std = self._architecture(), *self._mean_and_std(pixels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            augmentation = self._make_augmentation(mean, std)
            task = self._make_task(build_backbone(architecture), pixels, augmentation)
        task.network.to(memory_format=torch.channels_last)
        if self.monitor is not None:
            task.monitor = self._monitor(task, mean, std, device)
        loop = TrainingLoop(
            task,
            self._make_optimizer(task),
            self._settings(seed, device),
            self._checkpoint(pixels, seed),
        )
        self.history_ = loop.run()
        self.n_iter_ = len(self.history_)
        self.timings_ = loop.seconds
        self.network_ = TrainedNetwork.from_modules(
            architecture,
            self.image_size,
            mean,
            std,
            *self._trained_modules(task),
            resize=self._resize(),
        )
        engine = self._engine()
        self.engine_, self.precision_ = engine.name, engine.precision

    def _monitor(
        self, task: Task, mean: Any, std: Any, device: str
    ) -> Callable[[int], dict[str, float]]:
        """Return what is called after each epoch: the monitor, with what `transform` would give."""
        from skscan.networks.modules import ContrastiveNetwork
        from skscan.training.monitor import PixelFeatures

        backbone, head = self._trained_modules(task)
        module = ContrastiveNetwork(backbone, head if self.output == "projection" else None)
        features = PixelFeatures(
            features_function(module, self.image_size, mean, std, device),
            self._resize() or self.image_size,
        )
        # By the number of the epoch, so that a run that was cut off goes on in the same rhythm.
        every = getattr(self.monitor, "every", 1)
        return lambda epoch: {} if (epoch + 1) % every else self.monitor(features)

    def _resize(self) -> int | None:
        """Return to what the shorter side is resized; None is the side of the crop."""
        return self.resize

    def _architecture(self) -> Architecture:
        if self.backbone != "auto":
            return self.backbone
        return {"stem": "cifar" if self.image_size <= LARGEST_SMALL_IMAGE else "stl"}

    def _mean_and_std(self, pixels: PixelStore) -> Normalization:
        return (
            pixels.mean_and_std() if self.normalization == "auto" else self._given_normalization()
        )

    def _given_normalization(self) -> Normalization:
        if isinstance(self.normalization, str):
            return NORMALIZATIONS[self.normalization]
        if np.shape(self.normalization) != (2, 3) or np.min(self.normalization[1]) <= 0:
            raise ValueError(
                f"normalization={self.normalization!r} must be 'auto', one of "
                f"{', '.join(map(repr, NORMALIZATIONS))}, or a mean and a positive standard "
                "deviation for each of the 3 colors: ((r, g, b), (r, g, b))."
            )
        mean, std = (tuple(float(value) for value in row) for row in self.normalization)
        return mean, std  # type: ignore[return-value]

    def _make_augmentation(self, mean: Any, std: Any) -> Augmentation:
        from skscan.training.augmentations.named import make_augmentation

        return make_augmentation(self.augmentation, self.image_size, mean, std)

    def _make_optimizer(self, task: Task) -> torch.optim.Optimizer:
        from skscan.training.loop import make_optimizer

        return make_optimizer("sgd", task.network, self.weight_decay)

    def _settings(self, seed: int, device: str) -> LoopSettings:
        from skscan.training.loop import LoopSettings

        return LoopSettings(
            n_epochs=self.n_epochs,
            batch_size=self.batch_size,
            learning_rate=self._learning_rates(),
            seed=seed,
            device=device,
            precision=self.precision,
            micro_batch_size=self.micro_batch_size,
            compile=self.compile,
            verbose=self.verbose,
            log_dir=None if self.log_dir is None else os.fspath(self.log_dir),
        )

    def _checkpoint(self, pixels: PixelStore, seed: int) -> Checkpoint | None:
        from skscan.training.checkpoints import Checkpoint

        if self.checkpoint_dir is None:
            return None
        parameters = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in _IRRELEVANT
        }
        identity = {"data": pixels.fingerprint(), "seed": seed, **parameters}
        return Checkpoint(self.checkpoint_dir, self._stage, identity)

    def _compute(self) -> Callable[[np.ndarray], np.ndarray]:
        check_is_fitted(self, "network_")
        return self._engine()

    def _engine(self) -> Engine:
        from skscan.engines.opening import open_engine

        source = TrainedSource(self.network_, self._network_output())
        return open_engine(source, device=self.device, recorded=recorded_engine(self))

    @property
    def _decoded_side(self) -> int:
        return self.network_.resize or self.network_.image_size

    def _what_decides_features(self) -> dict[str, Any]:
        check_is_fitted(self, "network_")
        return {"network": joblib.hash(self.network_), "output": self._network_output()}

    def _network_output(self) -> str:
        return "projection" if self.output == "projection" else "normalized backbone"

    @property
    def _n_features_out(self) -> int:
        check_is_fitted(self, "network_")
        return self.network_.n_features(self.output)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        return tags
