"""Which feature extractor the options ask for, and how one is described."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skscan.cli.errors import WrongUse
from skscan.cli.options import DEFAULT, DEFAULT_IMAGE_SIZE, EMBEDDED_BACKBONE, PIXELS

if TYPE_CHECKING:
    from skscan.extractors.joined import JoinedFeatureExtractor
    from skscan.extractors.timm import TimmFeatureExtractor


def extractor_from_options(
    *,
    backbone: str,
    weights: Path | None,
    image_size: int,
    more_sizes: Sequence[int] = (),
    views: int = 1,
    errors: str,
    jobs: int | None,
    device: str,
    engine: str = "auto",
    precision: str = "float32",
    verbose: int,
) -> Any:
    """Return the feature extractor that the options ask for.

    Weights without a backbone are those of the embedded one. With `more_sizes` the default
    extractor sees images at these too, and what it sees stands side by side.

    Raises
    ------
    WrongUse
        If the options contradict each other or `weights` does not exist.
    """
    if weights is not None and not weights.is_file():
        raise WrongUse(f"no such file: --weights {weights}")
    others = weights is not None or image_size != DEFAULT_IMAGE_SIZE or views > 1
    if backbone == PIXELS and others:
        raise WrongUse(f"--backbone {PIXELS} takes no --weights, no --image-size and no --views")
    if backbone == PIXELS and (engine != "auto" or precision != "float32"):
        raise WrongUse(f"--backbone {PIXELS} has no network: it takes no --engine, no --precision")
    check_engine(engine, precision, device)
    shared: dict[str, Any] = {"errors": errors, "n_jobs": jobs, "verbose": verbose}
    if backbone == PIXELS:
        from skscan.extractors.pixels import PixelFeatureExtractor

        return PixelFeatureExtractor(**shared)
    shared |= {"n_views": views, "device": device, "engine": engine, "precision": precision}
    if backbone == DEFAULT and weights is None:
        from skscan.parts import default_extractor

        return default_extractor((image_size, *more_sizes), **shared)
    from skscan.extractors.timm import TimmFeatureExtractor

    name = EMBEDDED_BACKBONE if backbone == DEFAULT else backbone
    path = None if weights is None else str(weights.resolve())  # `predict` reads it again
    return TimmFeatureExtractor(name, weights=path, image_size=image_size, **shared)


def check_engine(engine: str, precision: str, device: str) -> None:
    """Refuse an engine that is not there, or cannot be had with a precision or on a device."""
    if engine == "auto":
        return
    from skscan.engines.choice import check_choice, how_to_install, is_installed

    if not is_installed(engine):
        raise WrongUse(f"--engine {engine} is not installed. {how_to_install(engine)}")
    try:
        check_choice(engine, precision, device)
    except ValueError as error:
        raise WrongUse(str(error)) from error


def describe_extractor(extractor: Any) -> str:
    """Return one phrase on what `extractor` is, and on the labels it has seen in training."""
    from skscan.extractors.default import DefaultFeatureExtractor
    from skscan.extractors.joined import JoinedFeatureExtractor
    from skscan.extractors.pixels import PixelFeatureExtractor
    from skscan.extractors.timm import TimmFeatureExtractor

    if isinstance(extractor, JoinedFeatureExtractor):
        return _describe_joined(extractor)
    if isinstance(extractor, PixelFeatureExtractor):
        return PIXELS
    if isinstance(extractor, DefaultFeatureExtractor):
        described = _DEFAULT_CHOICES[extractor.choice_]
        views = 1 if extractor.choice_ == "pixels" else extractor.n_views
    elif isinstance(extractor, TimmFeatureExtractor):
        described, views = _describe_timm(extractor), extractor.n_views
    else:
        described, views = _describe_network(extractor), getattr(extractor, "n_views", 1)
    return f"{described}, mean of {views} views" if views > 1 else described


def _describe_joined(extractor: "JoinedFeatureExtractor") -> str:
    """Describe each part once, with the sizes at which it sees the images."""
    sizes: dict[str, list[int]] = {}
    for part in extractor.extractors_:
        size = getattr(part, "image_size", None)
        sizes.setdefault(describe_extractor(part), []).extend([] if size is None else [size])
    described = [
        f"{part}, at {' and '.join(map(str, found))} px" if len(found) > 1 else part
        for part, found in sizes.items()
    ]
    return "; ".join(described)


def _describe_timm(extractor: "TimmFeatureExtractor") -> str:
    if extractor.weights is not None:
        return f"{extractor.model_name} with weights of {extractor.weights}"
    if extractor.model_name == EMBEDDED_BACKBONE:
        return _EMBEDDED
    return f"{extractor.model_name} (timm)"


def _describe_network(extractor: Any) -> str:
    """Describe a network that was trained here or converted; no labels were needed for it."""
    network = getattr(extractor, "network_", None)
    if network is None:
        return type(extractor).__name__
    architecture = network.architecture
    if isinstance(architecture, dict):
        shown = ", ".join(f"{name} {value}" for name, value in architecture.items())
        architecture = f"SmallResNet ({shown})"
    return f"{architecture} at {network.image_size} px, by {type(extractor).__name__}"


_EMBEDDED = f"{EMBEDDED_BACKBONE} (trained with ImageNet labels)"
_DEFAULT_CHOICES = {
    "backbone": _EMBEDDED,
    "pixels": PIXELS,
    "both": f"{_EMBEDDED} and {PIXELS}",
}
