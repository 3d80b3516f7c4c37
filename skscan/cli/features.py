"""Which feature extractor the options ask for, and how one is described."""

from pathlib import Path
from typing import Any

from skscan.cli.errors import WrongUse
from skscan.cli.options import DEFAULT, EMBEDDED_BACKBONE, PIXELS


def extractor_from_options(
    *,
    backbone: str,
    weights: Path | None,
    image_size: int | None,
    errors: str,
    jobs: int | None,
    device: str,
    verbose: int,
) -> Any:
    """Return the `feature_extractor` of SCANClusterer that the options ask for.

    Weights or an image size without a backbone mean the embedded one.

    Raises
    ------
    WrongUse
        If the options contradict each other or `weights` does not exist.
    """
    if weights is not None and not weights.is_file():
        raise WrongUse(f"no such file: --weights {weights}")
    if backbone == PIXELS and (weights is not None or image_size is not None):
        raise WrongUse(f"--backbone {PIXELS} takes neither --weights nor --image-size")
    from skscan.extractors.pixels import PixelFeatureExtractor
    from skscan.extractors.timm import TimmFeatureExtractor

    if backbone == PIXELS:
        return PixelFeatureExtractor(errors=errors, n_jobs=jobs, verbose=verbose)
    if backbone == DEFAULT and weights is None and image_size is None and errors == "skip":
        return DEFAULT
    return TimmFeatureExtractor(
        EMBEDDED_BACKBONE if backbone == DEFAULT else backbone,
        weights=weights,
        image_size=image_size or 128,
        errors=errors,
        device=device,
        n_jobs=jobs,
        verbose=verbose,
    )


def describe_extractor(extractor: Any) -> str:
    """Return one phrase on what `extractor` is, and on the labels it has seen in training."""
    name = getattr(extractor, "model_name", None)
    if name is None:
        return PIXELS if "Pixel" in type(extractor).__name__ else type(extractor).__name__
    if extractor.weights is not None:
        return f"{name} with weights of your own"
    if name == EMBEDDED_BACKBONE:
        return f"{name} (trained with ImageNet labels)"
    return f"{name} (timm)"
