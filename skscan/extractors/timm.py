"""Features from a network of timm that was trained before."""

from __future__ import annotations

import os
from numbers import Integral
from typing import TYPE_CHECKING, Any, ClassVar

from sklearn.utils._param_validation import Interval

from skscan._device import resolve_device
from skscan.extractors._running import EngineFeatureExtractor
from skscan.extractors.views import MAX_VIEWS

if TYPE_CHECKING:
    from skscan.extractors.backbones import TimmSource
    from skscan.networks.trained import TrainedNetwork

__all__ = ["TimmFeatureExtractor"]


class TimmFeatureExtractor(EngineFeatureExtractor):
    """Turn images into the features of a frozen network.

    Each image is turned upright, its shorter side resized to `image_size`, the centre cut out and
    normalised as the network was trained; the features are the network's pooled output before its
    classifier. Nothing is learned from the images, so `transform` works without `fit`.

    Parameters
    ----------
    model_name : str, default="efficientnet_lite0"
        The network. The default one is installed with the package and needs no download:
        EfficientNet-Lite0 (1280 features), trained on ImageNet **with labels**. Any other name is
        one of timm (``timm.list_models(pretrained=True)``), whose weights are downloaded once;
        timm's own variant of the embedded network is ``"efficientnet_lite0.ra_in1k"``.

    weights : str, path or None, default=None
        A file with weights for `model_name`, safetensors or torch, instead of those that belong to
        the name. It is read without running code, and names and shapes have to match; a classifier
        in it is left out.

    image_size : int, default=128
        Side in pixels of the square that the network sees. Smaller images are enlarged.

    n_views : int, default=1
        From 1 to 8. The features of so many views of each image are averaged, which steadies them
        and costs as many times the time: the image itself, its mirror image, and closer looks
        (0.85 of the side) at corners and middle, mirrored by turns. `extract_views` gives each.

    batch_size : int, default=32
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
        Workers that decode images ahead of the network. None takes as many threads as there are
        cores (at most 8) where files are large (128 KiB on average), and otherwise one. More than 1
        are processes that decode files; -1 takes all cores. Images in memory are always left to
        threads. It does not change the features.

    verbose : int, default=0
        1 shows a progress bar on stderr.

    Attributes
    ----------
    engine_, precision_ : str
        What `fit` chose; `transform` keeps to it as long as `engine` and `precision` stay as they
        were, also in a model that was saved and loaded.

    See Also
    --------
    PixelFeatureExtractor : The pixels themselves, for small and simple images.

    Notes
    -----
    The network is loaded when it is first used and kept for later calls, also of other extractors
    with the same network; it is no part of a pickled extractor.

    Examples
    --------
    >>> import numpy as np
    >>> from skscan import TimmFeatureExtractor
    >>> images = np.zeros((2, 32, 32, 3), dtype=np.uint8)
    >>> TimmFeatureExtractor().fit_transform(images).shape
    (2, 1280)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **EngineFeatureExtractor._parameter_constraints,
        "model_name": [str],
        "weights": [str, os.PathLike, None],
        "n_views": [Interval(Integral, 1, MAX_VIEWS, closed="both")],
    }

    def __init__(
        self,
        model_name: str = "efficientnet_lite0",
        *,
        weights: str | os.PathLike | None = None,
        image_size: int = 128,
        n_views: int = 1,
        batch_size: int = 32,
        errors: str = "skip",
        device: str = "auto",
        engine: str = "auto",
        precision: str = "float32",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.model_name = model_name
        self.weights = weights
        self.image_size = image_size
        self.n_views = n_views
        self.batch_size = batch_size
        self.errors = errors
        self.device = device
        self.engine = engine
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _source(self) -> TimmSource:
        from skscan.extractors.backbones import TimmSource

        return TimmSource(self.model_name, self.weights, self.image_size)

    @property
    def network_(self) -> TrainedNetwork:
        """The network with its weights, for trainers with ``scope="network"``."""
        return self._source().load(resolve_device(self.device)).to_trained(self.model_name)
