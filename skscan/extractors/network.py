"""Features from a network that was trained here or converted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

import joblib
import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from skscan.engines.base import FrozenNetwork, NetworkSource
from skscan.engines.choice import engine_that_decides
from skscan.extractors._running import EngineFeatureExtractor
from skscan.extractors.views import MAX_VIEWS
from skscan.networks.trained import TrainedNetwork

if TYPE_CHECKING:
    from torch import nn

__all__ = ["NetworkFeatureExtractor", "TrainedSource", "features_function", "network_features"]


class NetworkFeatureExtractor(EngineFeatureExtractor):
    """Turn images into the features of a given network.

    Each image is turned upright, resized, the centre cut out and normalised as the network says.

    Parameters
    ----------
    network : TrainedNetwork
        The network.

    output : {"backbone", "projection"}, default="backbone"
        Which features: the backbone's, as they are, or those of the projection head, each of
        length 1.

    n_views : int, default=1
        From 1 to 8: views of each image whose features are averaged, as in
        :class:`TimmFeatureExtractor`. The mean of several views is shorter than 1.

    batch_size : int, default=256
        Images that go through the network at once. It changes speed and memory, not the features.

    errors : {"skip", "raise"}, default="skip"
        What to do with images that cannot be read: give them rows of NaN with a warning, or stop at
        the first.

    device : str, default="auto"
        ``"auto"`` (CUDA, then MPS, then the CPU) or any torch device.

    engine : {"auto", "torch", "compile", "onnx", "openvino"}, default="auto"
        What runs the network: torch, torch with a compiled network, ONNX Runtime or OpenVINO
        (``pip install 'skscan[openvino]'``). ``"auto"`` is ONNX Runtime on a CPU, or what
        ``skscan bench --tune`` found to be faster on this machine, and torch on other devices. In
        float32 the features of all are the same up to rounding.

    precision : {"float32", "bfloat16"}, default="float32"
        Numbers that are computed with. bfloat16 is far faster on CPUs that have it, with OpenVINO
        above all, and changes the features a little. ONNX Runtime has float32 only.

    n_jobs : int or None, default=None
        Workers that decode images, as in :class:`TimmFeatureExtractor`.

    verbose : int, default=0
        1 shows a progress bar on stderr.

    Attributes
    ----------
    engine_, precision_ : str
        What `fit` chose; `transform` keeps to it as long as `engine` and `precision` stay as they
        were, also in a model that was saved and loaded.

    Examples
    --------
    >>> from skscan.interop import load_scan_checkpoint
    >>> checkpoint = load_scan_checkpoint("simclr_cifar-10.pth.tar", "cifar")  # doctest: +SKIP
    >>> extractor = checkpoint.to_estimator()  # doctest: +SKIP
    >>> features = extractor.transform("photos/")  # doctest: +SKIP
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **EngineFeatureExtractor._parameter_constraints,
        "network": [TrainedNetwork],
        "output": [StrOptions({"backbone", "projection"})],
        "n_views": [Interval(Integral, 1, MAX_VIEWS, closed="both")],
    }

    def __init__(
        self,
        network: TrainedNetwork,
        *,
        output: str = "backbone",
        n_views: int = 1,
        batch_size: int = 256,
        errors: str = "skip",
        device: str = "auto",
        engine: str = "auto",
        precision: str = "float32",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.output = output
        self.n_views = n_views
        self.batch_size = batch_size
        self.errors = errors
        self.device = device
        self.engine = engine
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    @property
    def network_(self) -> TrainedNetwork:
        """The network, under the name that extractors have which train theirs."""
        return self.network

    @property
    def image_size(self) -> int:  # type: ignore[override]
        """Side of the decoded images in pixels."""
        return self.network.resize or self.network.image_size

    def _what_decides_features(self) -> dict[str, Any]:
        details = {"network": joblib.hash(self.network), "output": self.output}
        return {**details, "views": self.n_views, **engine_that_decides(self)}

    def _source(self) -> TrainedSource:
        return TrainedSource(self.network, self.output)

    @property
    def _n_features_out(self) -> int:
        return self.network.n_features(self.output)


class TrainedSource(NetworkSource):
    """A network that was trained here or converted.

    Parameters
    ----------
    network : TrainedNetwork
    output : {"backbone", "projection", "normalized backbone"}
        Features of the backbone, of the projection head at length 1, or of the backbone at
        length 1.
    """

    def __init__(self, network: TrainedNetwork, output: str) -> None:
        self._network = network
        self._output = output

    @property
    def description(self) -> str:
        """What the network is called in messages."""
        return f"network={self._network.architecture!r}"

    def identity(self) -> str:
        """Hash architecture, sizes, normalisation and weights."""
        return hashlib.sha256(f"{self._network.fingerprint()} {self._output}".encode()).hexdigest()

    def load(self, device: str) -> FrozenNetwork:
        """Build the network with its weights."""
        from skscan.networks.modules import ContrastiveNetwork

        network = self._network
        backbone = network.backbone(device)
        module: nn.Module = backbone
        if self._output == "projection":
            module = ContrastiveNetwork(backbone, network.projection_head(device))
        elif self._output == "normalized backbone":
            module = ContrastiveNetwork(backbone, None)
        side = network.resize or network.image_size
        return FrozenNetwork(module.eval(), network.image_size, network.mean, network.std, side)


def network_features(
    network: TrainedNetwork, output: str, device: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from pixels to features of a network, run by torch.

    Parameters
    ----------
    network, output
        See `TrainedSource`.
    device : str

    Returns
    -------
    callable
        From uint8 (b, side, side, 3) to float32 (b, n_features).
    """
    from skscan.engines.torch_engine import TorchEngine

    return TorchEngine(TrainedSource(network, output).load(device), device)


def features_function(
    module: nn.Module, image_size: int, mean: Sequence[float], std: Sequence[float], device: str
) -> Callable[[np.ndarray], np.ndarray]:
    """Return the function from pixels to features of a module, in evaluation mode.

    Parameters
    ----------
    module : torch.nn.Module
        On `device`; its mode is left as it was after each call.
    image_size : int
        Side of the centre that is cut out.
    mean, std : sequence of 3 floats
        Normalisation for pixels in 0..1.
    device : str

    Returns
    -------
    callable
        From uint8 (b, side, side, 3) to float32 (b, n_features).
    """
    import torch

    from skscan.engines.torch_engine import preparation

    prepare = preparation(image_size, mean, std, device)

    def compute(pixels: np.ndarray) -> np.ndarray:
        was_training = module.training
        module.eval()
        try:
            with torch.inference_mode():
                return module(prepare(pixels)).float().cpu().numpy()
        finally:
            module.train(was_training)

    return compute
