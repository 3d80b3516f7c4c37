"""Fitted estimators as one ONNX file, from images to probabilities."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from skscan._files import write_atomically
from skscan.exceptions import ExportError
from skscan.extractors.backbones import EMBEDDED_BACKBONE
from skscan.extractors.default import DefaultFeatureExtractor
from skscan.extractors.joined import JoinedFeatureExtractor
from skscan.extractors.timm import TimmFeatureExtractor
from skscan.images import as_collection

__all__ = ["ONNX_INPUT", "ONNX_OUTPUT", "OnnxExport", "export_onnx"]

ONNX_INPUT = "images"
ONNX_OUTPUT = "probabilities"

# The same sums in another order, and a few pixels rounded the other way, move probabilities by up
# to 0.0005 on real images.
TOLERANCE = 0.01

_LARGEST_FILE = 2**31 - 1
_IMAGES_CHECKED = 64
_SHAPES_MADE_UP = ((128, 128), (96, 96), (375, 500), (333, 250), (32, 32), (64, 201))
_BATCH = 32
_ROUNDS = 5


@dataclass(frozen=True)
class OnnxExport:
    """What was written, and what a check of the file found.

    Attributes
    ----------
    path : str
        The file.
    n_bytes : int
        Its size.
    class_names : list of str
        What the columns of the probabilities are called.
    image_size : int or None
        Side in pixels of the squares that the network sees; None if there is no network.
    n_checked : int
        Images that the file was checked on.
    largest_difference : float
        Between a probability by the file and one by `predict_proba`.
    tolerance : float
        The largest difference that is taken for rounding.
    label_agreement : float
        Share of these images with the same most probable class.
    milliseconds : float
        For one image of 128 x 128 pixels, median.
    images_per_second : float
        In batches of 32 such images.
    """

    path: str
    n_bytes: int
    class_names: list[str]
    image_size: int | None
    n_checked: int
    largest_difference: float
    tolerance: float
    label_agreement: float
    milliseconds: float
    images_per_second: float


def export_onnx(estimator: Any, path: str | os.PathLike, images: Any = None) -> OnnxExport:
    """Write a fitted estimator as one ONNX file, from images to probabilities.

    The file takes ``images``: uint8, shape (batch, height, width, 3), RGB, upright, of any one
    size. It gives ``probabilities``: float32, shape (batch, n_clusters), as `predict_proba` does:
    resizing, cutting, normalisation, network, scaling, heads and temperature are inside. It needs
    nothing but a runtime of ONNX with operator set 18, such as ONNX Runtime from 1.14 on, from any
    language. Its metadata hold the names of the classes and what wrote it.

    Before the file takes its place, it is run beside `predict_proba`.

    Parameters
    ----------
    estimator : SCANClusterer or SCANClassifier
        Fitted on images.
    path : str or path
        Where to write; an existing file is replaced in one step.
    images : images or None, default=None
        What to check the file on, in any form; up to 64, spread over all. None is made-up images of
        several sizes.

    Returns
    -------
    export : OnnxExport
        What the check found.

    Raises
    ------
    TypeError
        If the estimator is of another kind.
    ValueError
        If it is not fitted, or was fitted on features.
    ExportError
        If a part cannot be written as ONNX, or the file does not give what `predict_proba` gives.
    ImportError
        If onnx or onnxruntime is missing.

    Notes
    -----
    Large JPEG files are decoded at a reduced size by `predict_proba`; who decodes them whole for
    the file gets slightly other pixels. Everything else comes out the same to within
    rounding.

    The embedded backbone was trained with ImageNet labels; the metadata say so where it is inside.

    Examples
    --------
    >>> from skscan.interop import export_onnx
    >>> export = export_onnx(clusterer, "sorter.onnx", "photos/")  # doctest: +SKIP
    >>> print(export.milliseconds)  # doctest: +SKIP
    """
    _import_packages()
    _check_estimator(estimator)
    model, image_size, names = _make_model(estimator)
    size = model.ByteSize()
    if size > _LARGEST_FILE:
        raise ExportError(f"the model takes {size / 2**30:.1f} GiB; an ONNX file holds at most 2.")
    data = model.SerializeToString()
    pictures = _made_up_images() if images is None else _read_some(images)
    session = _open(data)
    difference, agreement = _compare(estimator, session, pictures)
    if difference > TOLERANCE:
        raise ExportError(
            f"probabilities by the file differ from those of predict_proba by up to "
            f"{difference:.3f} on {len(pictures)} images (more than {TOLERANCE}); "
            f"{os.fspath(path)!r} was not written."
        )
    milliseconds, rate = _measure(session)
    write_atomically(Path(path), data)
    return OnnxExport(
        os.fspath(path),
        size,
        names,
        image_size,
        len(pictures),
        difference,
        TOLERANCE,
        agreement,
        milliseconds,
        rate,
    )


def _import_packages() -> None:
    missing = []
    for name in ("onnx", "onnxruntime"):
        try:
            __import__(name)
        except ImportError:
            missing.append(name)
    if missing:
        raise ImportError(
            f"{' and '.join(missing)} missing, which models are written and checked with in ONNX "
            f"form; `pip install {' '.join(missing)}`."
        )


def _check_estimator(estimator: Any) -> None:
    parts = ("heads_", "best_head_", "feature_extractor_", "feature_scaler_")
    if not hasattr(type(estimator), "predict_proba") or not hasattr(type(estimator), "assess"):
        raise TypeError(
            f"estimator is a {type(estimator).__name__}; takes a fitted SCANClusterer or "
            "SCANClassifier"
        )
    if not all(hasattr(estimator, part) for part in parts):
        raise ValueError(f"estimator is a {type(estimator).__name__} that is not fitted")
    if estimator.feature_extractor_ is None:
        raise ValueError(
            f"estimator is a {type(estimator).__name__} fitted on a feature matrix: there is no "
            "way from images to features to write; fit it on images"
        )


def _make_model(estimator: Any) -> tuple[Any, int | None, list[str]]:
    """Return the ONNX model, the side of what its network sees, and the names of the classes."""
    from skscan import __version__
    from skscan.interop.onnx_graph import OnnxGraph
    from skscan.interop.onnx_parts import add_features, add_probabilities, add_scaled

    graph = OnnxGraph(ONNX_INPUT)
    features = add_features(graph, estimator.feature_extractor_)
    scaled = add_scaled(graph, features, estimator.feature_scaler_)
    temperature = float(getattr(estimator, "temperature_", 1.0))
    probabilities = add_probabilities(
        graph, scaled, estimator.heads_, estimator.best_head_, temperature
    )
    n_classes = estimator.heads_.n_clusters
    names = [str(name) for name in getattr(estimator, "classes_", range(n_classes))]
    metadata = {
        "skscan_version": __version__,
        "estimator": type(estimator).__name__,
        "class_names": json.dumps(names),
        "input_format": "uint8 RGB, upright, (batch, height, width, 3), of any one size",
        "output_format": "float32, (batch, n_classes), rows sum to 1",
    }
    embedded = _holds_embedded_backbone(estimator.feature_extractor_)
    if embedded:
        metadata["backbone"] = f"{EMBEDDED_BACKBONE}, trained with ImageNet labels"
    size = _image_size(estimator.feature_extractor_)
    if size is not None:
        metadata["image_size"] = str(size)
    return graph.to_model(probabilities, ONNX_OUTPUT, n_classes, **metadata), size, names


def _extractors(extractor: Any) -> list[Any]:
    """Extractors that are at work in one."""
    if isinstance(extractor, JoinedFeatureExtractor):
        return [part for each in extractor.extractors_ for part in _extractors(each)]
    if isinstance(extractor, DefaultFeatureExtractor):
        parts = extractor._extractors(verbose=0)
        return [part for name, part in parts.items() if extractor.choice_ in (name, "both")]
    return [extractor]


def _holds_embedded_backbone(extractor: Any) -> bool:
    return any(
        isinstance(part, TimmFeatureExtractor)
        and part.model_name == EMBEDDED_BACKBONE
        and part.weights is None
        for part in _extractors(extractor)
    )


def _image_size(extractor: Any) -> int | None:
    sizes = [part.image_size for part in _extractors(extractor) if hasattr(part, "network_")]
    return max(sizes, default=None)


def _made_up_images() -> list[np.ndarray]:
    """Smooth coloured patches with some noise; the same in every call."""
    from PIL import Image

    random_state = np.random.RandomState(0)
    pictures = []
    for number in range(_IMAGES_CHECKED // 2):
        height, width = _SHAPES_MADE_UP[number % len(_SHAPES_MADE_UP)]
        coarse = random_state.randint(0, 256, (6, 6, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        noise = random_state.randint(-20, 21, (height, width, 3))
        pictures.append(np.clip(np.asarray(smooth) + noise, 0, 255).astype(np.uint8))
    return pictures


def _read_some(images: Any) -> list[np.ndarray]:
    """Read up to 64 images whole, as arrays; those that cannot be read are passed over."""
    from skscan.exceptions import ImageReadError

    collection = as_collection(images)
    pictures = []
    step = max(1, len(collection) // _IMAGES_CHECKED)
    for row in range(0, len(collection), step)[:_IMAGES_CHECKED]:
        try:
            pictures.append(np.asarray(collection.read(row)))
        except ImageReadError:
            continue
    if not pictures:
        raise ImageReadError("none of the images to check the file on could be read")
    return pictures


def _open(data: bytes) -> Any:
    import onnxruntime

    # Given as bytes, so that what is checked is what will lie in the file.
    return onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])


def _compare(estimator: Any, session: Any, pictures: list[np.ndarray]) -> tuple[float, float]:
    """Return the largest difference of a probability and the share of equal labels."""
    expected = estimator.predict_proba(pictures)
    found = np.concatenate([_run(session, picture[None]) for picture in pictures])
    difference = float(np.abs(expected - found).max())
    return difference, float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1)))


def _run(session: Any, batch: np.ndarray) -> np.ndarray:
    return session.run([ONNX_OUTPUT], {ONNX_INPUT: np.ascontiguousarray(batch)})[0]


def _measure(session: Any) -> tuple[float, float]:
    """Return the milliseconds for one image and the images a second in batches, medians."""
    batch = np.random.RandomState(0).randint(0, 256, (_BATCH, 128, 128, 3), dtype=np.uint8)
    seconds: dict[int, list[float]] = {1: [], _BATCH: []}
    for _ in range(_ROUNDS + 1):
        for n_images, times in seconds.items():
            started = time.perf_counter()
            _run(session, batch[:n_images])
            times.append(time.perf_counter() - started)
    one, many = (float(np.median(times[1:])) for times in seconds.values())
    return 1000 * one, _BATCH / many
