"""Networks run by ONNX Runtime."""

from __future__ import annotations

import numpy as np

from skscan._threads import n_inference_threads
from skscan.engines.base import Engine
from skscan.engines.export import INPUT_NAME, OUTPUT_NAME

__all__ = ["OnnxEngine"]


class OnnxEngine(Engine):
    """Run an exported network by ONNX Runtime on the CPU.

    Parameters
    ----------
    data : bytes
        What `skscan.engines.export.export_onnx` gives.

    Notes
    -----
    As many threads compute as there are cores for this process, and no more than
    ``OMP_NUM_THREADS``. They do not spin while they wait: what decodes images needs the cores.
    """

    name = "onnx"
    precision = "float32"

    def __init__(self, data: bytes) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = n_inference_threads()
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors; warnings are about its own optimisations
        self._session = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        self.n_features = int(self._session.get_outputs()[0].shape[1])

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Compute features; see `skscan.engines.base.Engine`."""
        (features,) = self._session.run([OUTPUT_NAME], {INPUT_NAME: np.ascontiguousarray(pixels)})
        return features
