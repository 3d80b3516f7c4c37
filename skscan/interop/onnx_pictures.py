"""What happens to pictures before a network sees them, as operators of ONNX.

Resizing is done as Pillow does it, in two passes with weights in fixed point, each a product with a
matrix. The operator Resize would do for squares; it knows no boxes with fractions of a pixel, and
runtimes differ in what they make of its borders.
"""

from __future__ import annotations

import numpy as np

from skscan.extractors.views import VIEWS, closer_box
from skscan.interop.onnx_graph import OnnxGraph

__all__ = ["add_squares", "add_views"]

# Pillow keeps weights as integers of so many binary places.
_WEIGHT_PLACES = 22

_SUPPORT = 2.0
"""Reach of the cubic filter, in pixels of the smaller of the two pictures."""


def add_squares(graph: OnnxGraph, size: int) -> str:
    """Resize the shorter side and cut out the centre, as `skscan.images.transforms.to_square` does.

    Parameters
    ----------
    graph : OnnxGraph
        Its input is resized.
    size : int
        Side of the squares in pixels.

    Returns
    -------
    squares : str
        uint8, (batch, size, size, 3).
    """
    shape = graph.add("Shape", graph.input_name)
    height, width = (
        graph.cast(graph.add("Gather", shape, graph.constant(axis, np.int64)), np.float64)
        for axis in (1, 2)
    )
    short = graph.add("Min", height, width)
    down, across = (_add_weights(graph, side, short, size) for side in (height, width))
    return _add_passes(graph, graph.input_name, down, across, size)


def add_views(graph: OnnxGraph, squares: str, size: int, n_views: int) -> list[str]:
    """Make views of squares, as `skscan.extractors.views.make_view` does.

    Parameters
    ----------
    graph : OnnxGraph
    squares : str
        uint8, (batch, size, size, 3).
    size, n_views : int

    Returns
    -------
    views : list of str
        Each like `squares`, which is the first.
    """
    views = []
    for view in VIEWS[:n_views]:
        pixels = squares
        if view.side < 1:
            top, left, cut = closer_box(view, size)
            pixels = graph.cut(graph.cut(pixels, 1, top, top + cut), 2, left, left + cut)
            weights = graph.constant(_weights(cut, size), np.float64)
            pixels = _add_passes(graph, pixels, weights, weights, size)
        if view.mirrored:
            pixels = graph.cut(pixels, 2, -1, np.iinfo(np.int64).min, -1)
        views.append(pixels)
    return views


def _add_passes(graph: OnnxGraph, pixels: str, down: str, across: str, size: int) -> str:
    """Resize along the rows, then along the columns, each with a matrix (size, length)."""
    channels_first = graph.add("Transpose", pixels, perm=[0, 1, 3, 2])
    # Of 64 bits, in which the sums are as exact as Pillow's of integers.
    rows = graph.cast(channels_first, np.float64)
    rows = graph.add("MatMul", rows, graph.add("Transpose", across, perm=[1, 0]))
    rows = graph.reshape(_add_rounding(graph, rows), [0, 0, 3 * size])
    squares = _add_rounding(graph, graph.add("MatMul", down, rows))
    squares = graph.cast(graph.reshape(squares, [0, 0, 3, size]), np.uint8)
    return graph.add("Transpose", squares, perm=[0, 1, 3, 2])


def _add_rounding(graph: OnnxGraph, values: str) -> str:
    """Round to whole numbers of 0 to 255; halves go up."""
    half, black, white = (graph.constant(value, np.float64) for value in (0.5, 0, 255))
    return graph.add("Clip", graph.add("Floor", graph.add("Add", values, half)), black, white)


def _add_weights(graph: OnnxGraph, length: str, box: str, size: int) -> str:
    """Weights (size, length), float64, that bring the middle of a side to `size` pixels.

    Parameters
    ----------
    length : str
        Pixels of the side, float64.
    box : str
        How many of them are brought to `size`.
    """

    def number(value: float) -> str:
        return graph.constant(value, np.float64)

    scale = graph.add("Div", box, number(size))
    reach = graph.add("Max", scale, number(1))
    first = graph.add("Mul", graph.add("Sub", length, box), number(0.5))
    steps = graph.constant(np.arange(size)[:, None] + 0.5, np.float64)
    centers = graph.add("Add", first, graph.add("Mul", steps, scale))
    middles = graph.add("Add", graph.add("Range", number(0), length, number(1)), number(0.5))
    distances = graph.add("Abs", graph.add("Div", graph.add("Sub", middles, centers), reach))

    def polynomial(*coefficients: float) -> str:
        value = number(coefficients[0])
        for coefficient in coefficients[1:]:
            product = graph.add("Mul", value, distances)
            value = graph.add("Add", product, number(coefficient))
        return value

    near = graph.add("Less", distances, number(1))
    within = graph.add("Less", distances, number(_SUPPORT))
    beyond = graph.add("Where", within, polynomial(*_FAR), number(0))
    weights = graph.add("Where", near, polynomial(*_NEAR), beyond)
    last = graph.constant([1], np.int64)
    weights = graph.add("Div", weights, graph.add("ReduceSum", weights, last, keepdims=1))
    places = number(2.0**_WEIGHT_PLACES)
    fixed = graph.add("Round", graph.add("Mul", weights, places))
    return graph.add("Div", fixed, places)


# Keys' cubic with a = -0.5, by falling powers of the distance: up to 1, and from there to 2.
_NEAR = (1.5, -2.5, 0.0, 1.0)
_FAR = (-0.5, 2.5, -4.0, 2.0)


def _weights(length: int, size: int) -> np.ndarray:
    """Weights (size, length), float64, that enlarge a whole side of known length."""
    scale = length / size
    centers = (np.arange(size)[:, None] + 0.5) * scale
    distances = np.abs(np.arange(length) + 0.5 - centers) / max(scale, 1.0)
    far = np.where(distances < _SUPPORT, np.polyval(_FAR, distances), 0)
    weights = np.where(distances < 1, np.polyval(_NEAR, distances), far)
    weights /= weights.sum(axis=1, keepdims=True)
    places = 2.0**_WEIGHT_PLACES
    return np.rint(weights * places) / places
