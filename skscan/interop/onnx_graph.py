"""Graphs in ONNX form, written node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["OnnxGraph"]

#: The set of operators; that of `skscan.engines.export`, whose graphs become part of these.
OPSET = 18
# The oldest form of file that has these operators; newer ones shut older readers out.
_IR_VERSION = 8


class OnnxGraph:
    """A graph that grows; values are known by their names.

    Parameters
    ----------
    input_name : str
        The one input, uint8 images of shape (batch, height, width, 3).

    Attributes
    ----------
    input_name : str
    """

    def __init__(self, input_name: str) -> None:
        self.input_name = input_name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._n_names = 0

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add an array."""
        from onnx import numpy_helper

        name = self._new_name("constant")
        # numpy's ascontiguousarray would make a scalar a vector.
        array = np.array(values, dtype=dtype, order="C")
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the name of that."""
        from onnx import helper

        name = self._new_name(operator)
        self._nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def cast(self, value: str, dtype: Any) -> str:
        """Convert to a numpy dtype."""
        from onnx import helper

        return self.add("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        """Change the shape: 0 keeps a length, -1 takes what is left."""
        return self.add("Reshape", value, self.constant(shape, np.int64))

    def cut(self, value: str, axis: int, start: int, stop: int, step: int = 1) -> str:
        """Take a slice along an axis."""
        bounds = (self.constant([bound], np.int64) for bound in (start, stop, axis, step))
        return self.add("Slice", value, *bounds)

    def splice(self, data: bytes, value: str) -> str:
        """Run a whole model of one input and one output on a value; return its output."""
        import onnx
        from onnx import compose

        prefix = self._new_name("network") + "/"
        graph = compose.add_prefix(onnx.load_from_string(data), prefix).graph
        self._nodes.append(onnx.helper.make_node("Identity", [value], [graph.input[0].name]))
        self._nodes.extend(graph.node)
        self._constants.extend(graph.initializer)
        return graph.output[0].name

    def to_model(self, output: str, output_name: str, n_columns: int, **metadata: str) -> Any:
        """Finish: make an ONNX model with one output of shape (batch, n_columns), float32.

        Parameters
        ----------
        output : str
            Which value is given out.
        output_name : str
            What it is called.
        n_columns : int
        **metadata : str
            What the file says of itself.

        Returns
        -------
        model : onnx.ModelProto
        """
        from onnx import TensorProto, helper

        self._nodes.append(helper.make_node("Identity", [output], [output_name]))
        images, rows = TensorProto.UINT8, TensorProto.FLOAT
        graph = helper.make_graph(
            self._nodes,
            "skscan",
            [
                helper.make_tensor_value_info(
                    self.input_name, images, ["batch", "height", "width", 3]
                )
            ],
            [helper.make_tensor_value_info(output_name, rows, ["batch", n_columns])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=_IR_VERSION,
            producer_name="skscan",
        )
        helper.set_model_props(model, metadata)
        return model

    def _new_name(self, what: str) -> str:
        self._n_names += 1
        return f"{what}_{self._n_names}"
