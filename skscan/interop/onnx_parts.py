"""The parts of a fitted clusterer as operators of ONNX: extractors, scalers and heads."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from skscan.exceptions import ExportError
from skscan.extractors.default import DefaultFeatureExtractor
from skscan.extractors.joined import JoinedFeatureExtractor
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.extractors.pixels import LUMA, PixelFeatureExtractor
from skscan.extractors.pretext import PretextFeatureExtractor
from skscan.extractors.timm import TimmFeatureExtractor
from skscan.interop.onnx_graph import OnnxGraph
from skscan.interop.onnx_pictures import add_squares, add_views
from skscan.networks.averaged_heads import AveragedHeads
from skscan.networks.heads import Heads, LinearHeads
from skscan.networks.mlp_heads import SMALLEST_LENGTH, MLPHeads
from skscan.networks.trained import TrainedNetwork
from skscan.scaling import FeatureScaler
from skscan.spaces import FeatureSpacesScaler

__all__ = ["add_features", "add_probabilities", "add_scaled"]


class _Network(NamedTuple):
    """A network, which of its outputs are the features, and how many views are averaged."""

    network: TrainedNetwork
    output: str
    n_views: int


def add_features(graph: OnnxGraph, extractor: Any) -> str:
    """Turn images into features, as an extractor does.

    Parameters
    ----------
    graph : OnnxGraph
        Its input are the images.
    extractor : transformer
        Fitted.

    Returns
    -------
    features : str
        float32, (batch, n_features).

    Raises
    ------
    ExportError
        If the extractor is of another kind, or its network cannot be written.
    """
    if isinstance(extractor, JoinedFeatureExtractor):
        return _add_joined(graph, [add_features(graph, each) for each in extractor.extractors_])
    if isinstance(extractor, PixelFeatureExtractor):
        return _add_pixels(graph, extractor)
    if isinstance(extractor, DefaultFeatureExtractor):
        return _add_default(graph, extractor)
    return _add_mean(graph, _add_network_views(graph, _network_of(extractor)))


def _network_of(extractor: Any) -> _Network:
    views = int(getattr(extractor, "n_views", 1))
    if isinstance(extractor, NetworkFeatureExtractor):
        return _Network(extractor.network, extractor.output, views)
    if isinstance(extractor, PretextFeatureExtractor):
        projected = extractor.output == "projection"
        output = "projection" if projected else "normalized backbone"
        return _Network(extractor.network_, output, views)
    if isinstance(extractor, TimmFeatureExtractor):
        return _Network(extractor.network_, "backbone", views)
    raise ExportError(
        f"feature_extractor is a {type(extractor).__name__}, which cannot be written as ONNX; "
        "extractors of skscan can."
    )


def _add_default(graph: OnnxGraph, extractor: DefaultFeatureExtractor) -> str:
    parts = extractor._extractors(verbose=0, n_views=extractor.n_views)
    if extractor.choice_ != "both":
        return add_features(graph, parts[extractor.choice_])
    weights = extractor.block_weights_
    pixels = _add_unit_rows(graph, add_features(graph, parts["pixels"]), weights[1])
    views = _add_network_views(graph, _network_of(parts["backbone"]))
    blocks = [_add_unit_rows(graph, view, weights[0]) for view in views]
    return _add_joined(graph, [_add_mean(graph, blocks), pixels])


def _add_joined(graph: OnnxGraph, parts: list[str]) -> str:
    return graph.add("Concat", *parts, axis=1)


def _add_unit_rows(graph: OnnxGraph, rows: str, weight: float = 1.0) -> str:
    """Bring rows to length `weight`; rows of zeros stay."""
    squares = graph.add("ReduceSumSquare", rows, graph.constant([1], np.int64), keepdims=1)
    tiny = graph.constant(np.finfo(np.float32).tiny)
    lengths = graph.add("Max", graph.add("Sqrt", squares), tiny)
    return graph.add("Mul", graph.add("Div", rows, lengths), graph.constant(weight))


def _add_mean(graph: OnnxGraph, views: list[str]) -> str:
    return views[0] if len(views) == 1 else graph.add("Mean", *views)


def _add_network_views(graph: OnnxGraph, part: _Network) -> list[str]:
    """Features of each view, by one copy of the network."""
    from skscan.engines.export import export_onnx as export_network

    network, output, n_views = part
    side = network.resize or network.image_size
    data = export_network(
        _module(network, output), network.image_size, network.mean, network.std, side=side
    )
    views = add_views(graph, add_squares(graph, side), side, n_views)
    if n_views == 1:
        return [graph.splice(data, views[0])]
    features = graph.splice(data, graph.add("Concat", *views, axis=0))
    features = graph.reshape(features, [n_views, -1, network.n_features(output)])
    numbers = (graph.constant(view, np.int64) for view in range(n_views))
    return [graph.add("Gather", features, number, axis=0) for number in numbers]


def _module(network: TrainedNetwork, output: str) -> Any:
    from skscan.networks.modules import ContrastiveNetwork

    backbone = network.backbone("cpu")
    if output == "backbone":
        return backbone
    head = network.projection_head("cpu") if output == "projection" else None
    return ContrastiveNetwork(backbone, head).eval()


def _add_pixels(graph: OnnxGraph, extractor: PixelFeatureExtractor) -> str:
    squares = graph.cast(add_squares(graph, extractor.image_size), np.float32)
    if extractor.channels == "grey":
        squares = graph.add("MatMul", squares, graph.constant(LUMA[:, None]))
    return graph.reshape(
        graph.add("Div", squares, graph.constant(255)), [0, extractor._n_features_out]
    )


def add_scaled(graph: OnnxGraph, features: str, scaler: Any) -> str:
    """Scale features, as a fitted scaler does.

    Parameters
    ----------
    graph : OnnxGraph
    features : str
        float32, (batch, n_features).
    scaler : transformer
        Fitted.

    Returns
    -------
    scaled : str
        float32, (batch, n_components).

    Raises
    ------
    ExportError
        If the scaler is of another kind.
    """
    if isinstance(scaler, FunctionTransformer) and scaler.func is None:
        return features
    if isinstance(scaler, FeatureSpacesScaler):
        ends = np.cumsum(scaler.widths)
        spaces = [
            add_scaled(graph, graph.cut(features, 1, end - width, end), each)
            for end, width, each in zip(ends, scaler.widths, scaler.scalers_, strict=True)
        ]
        return _add_joined(graph, spaces)
    if not isinstance(scaler, FeatureScaler):
        raise ExportError(
            f"feature_scaler is a {type(scaler).__name__}, which cannot be written as ONNX; "
            "FeatureScaler, FeatureSpacesScaler and FunctionTransformer() can."
        )
    rows = _add_unit_rows(graph, features) if scaler.normalize_ else features
    rows = graph.add("Sub", rows, graph.constant(scaler.mean_))
    components = graph.constant(scaler.components_.T * scaler.scale_)
    return graph.add("MatMul", rows, components)


def add_probabilities(
    graph: OnnxGraph, features: str, heads: Heads, head: int, temperature: float
) -> str:
    """Give the calibrated probabilities of one head.

    Parameters
    ----------
    graph : OnnxGraph
    features : str
        Scaled, float32, (batch, n_components).
    heads : Heads
    head : int
        Which of them.
    temperature : float
        What logits are divided by.

    Returns
    -------
    probabilities : str
        float32, (batch, n_clusters).

    Raises
    ------
    ExportError
        If the heads are of another kind.
    """
    logits = _add_logits(graph, features, heads, head)
    return graph.add("Softmax", graph.add("Div", logits, graph.constant(temperature)), axis=1)


def _add_logits(graph: OnnxGraph, features: str, heads: Heads, head: int) -> str:
    if isinstance(heads, LinearHeads):
        return _add_linear(graph, features, heads.weights[head], heads.biases[head])
    if isinstance(heads, MLPHeads):
        return _add_mlp(graph, features, heads, head)
    if isinstance(heads, AveragedHeads):
        return _add_averaged(graph, features, heads, head)
    raise ExportError(
        f"heads_ are {type(heads).__name__}, which cannot be written as ONNX; LinearHeads, "
        "MLPHeads and AveragedHeads can."
    )


def _add_linear(graph: OnnxGraph, rows: str, weights: np.ndarray, biases: np.ndarray) -> str:
    return graph.add("Gemm", rows, graph.constant(weights.T), graph.constant(biases))


def _add_mlp(graph: OnnxGraph, features: str, heads: MLPHeads, head: int) -> str:
    hidden = _add_linear(graph, features, heads.first_weights[head], heads.first_biases[head])
    erf = graph.add("Erf", graph.add("Mul", hidden, graph.constant(np.sqrt(0.5))))
    hidden = graph.add("Mul", hidden, graph.add("Add", erf, graph.constant(1)))
    hidden = graph.add("Mul", hidden, graph.constant(0.5))
    inner = _add_linear(graph, hidden, heads.second_weights[head], heads.second_biases[head])
    lengths = graph.add("ReduceL2", inner, graph.constant([1], np.int64), keepdims=1)
    lengths = graph.add("Max", lengths, graph.constant(SMALLEST_LENGTH))
    directions = graph.constant(heads.directions[head].T / np.float32(heads.temperature))
    return graph.add("MatMul", graph.add("Div", inner, lengths), directions)


def _add_averaged(graph: OnnxGraph, features: str, heads: AveragedHeads, head: int) -> str:
    probabilities, first = [], 0
    for space in heads.spaces:
        part = graph.cut(features, 1, first, first + space.n_features)
        logits = _add_linear(graph, part, space.weights[head], space.biases[head])
        probabilities.append(graph.add("Softmax", logits, axis=1))
        first += space.n_features
    mean = _add_mean(graph, probabilities)
    tiny = graph.constant(np.finfo(np.float32).tiny)
    return graph.add("Log", graph.add("Max", mean, tiny))
