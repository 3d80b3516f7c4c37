"""Networks run by OpenVINO."""

from __future__ import annotations

import numpy as np

from skscan._threads import n_inference_threads
from skscan.engines.base import Engine

__all__ = ["OpenvinoEngine"]

# What OpenVINO calls them; left to itself, it computes in bfloat16 wherever the CPU can.
_PRECISIONS = {"float32": "f32", "bfloat16": "bf16"}


class OpenvinoEngine(Engine):
    """Run an exported network by OpenVINO on the CPU.

    Parameters
    ----------
    data : bytes
        What `skscan.engines.export.export_onnx` gives.
    precision : {"float32", "bfloat16"}, default="float32"
        Weights of `data` are float32 in any case.

    Notes
    -----
    As many threads compute as there are cores for this process, and no more than
    ``OMP_NUM_THREADS``.
    """

    name = "openvino"

    def __init__(self, data: bytes, precision: str = "float32") -> None:
        import openvino

        self.precision = precision
        core = openvino.Core()
        self._model = core.compile_model(
            core.read_model(data),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
                "INFERENCE_NUM_THREADS": n_inference_threads(),
                "PERFORMANCE_HINT": "LATENCY",  # one batch at a time, on all cores
            },
        )
        self.n_features = self._model.output(0).get_partial_shape()[1].get_length()

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Compute features; see `skscan.engines.base.Engine`."""
        found = self._model({0: np.ascontiguousarray(pixels)})[0]
        return np.array(found, dtype=np.float32)  # the buffer is used again by the next call
