"""From JSON and arrays back to objects; no code is run from the files."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Memory
from scipy.sparse import csr_matrix

from skscan.exceptions import ModelFileError
from skscan.persistence.classes import CLASSES
from skscan.persistence.weights import check_weights

__all__ = ["Decoder"]


class Decoder:
    """Turns the JSON of :class:`~skscan.persistence.encoding.Encoder` back into objects."""

    def __init__(self, folder: Path, files: dict[str, str]) -> None:
        self._folder = folder
        self._files = files
        self._arrays: dict[str, np.ndarray] | None = None

    def decode(self, value: Any) -> Any:
        """Decode a value."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        kind = next(iter(value))
        return getattr(self, f"_decode_{kind}")(value)

    def _decode_float(self, value: dict) -> float:
        return float(value["float"])

    def _decode_scalar(self, value: dict) -> Any:
        return self.decode(value["scalar"])[()]

    def _decode_tuple(self, value: dict) -> tuple:
        return tuple(self.decode(value["tuple"]))

    def _decode_dict(self, value: dict) -> dict:
        return {self.decode(key): self.decode(item) for key, item in value["dict"]}

    def _decode_strings(self, value: dict) -> np.ndarray:
        dtype = object if value["dtype"] == "O" else str
        return np.array(self.decode(value["strings"]), dtype=dtype).reshape(value["shape"])

    def _decode_array(self, value: dict) -> np.ndarray:
        if self._arrays is None:
            from safetensors import SafetensorError
            from safetensors.numpy import load as from_safetensors

            try:
                self._arrays = from_safetensors(self._read("arrays"))
            except SafetensorError as error:
                raise ModelFileError(f"{self._files['arrays']} is damaged: {error}") from error
        return self._arrays[value["array"]]

    def _decode_csr(self, value: dict) -> csr_matrix:
        parts = tuple(self.decode(value["csr"][name]) for name in ("data", "indices", "indptr"))
        return csr_matrix(parts, shape=tuple(value["shape"]))

    def _decode_random_state(self, value: dict) -> np.random.RandomState:
        random_state = np.random.RandomState()
        random_state.set_state(self.decode(value["random_state"]))
        return random_state

    def _decode_memory(self, value: dict) -> Memory:
        return Memory(self.decode(value["memory"]), verbose=0)

    def _decode_path(self, value: dict) -> Path:
        return Path(value["path"])

    def _decode_object(self, value: dict) -> Any:
        name = value["object"]
        if name not in CLASSES:
            raise ModelFileError(f"the class {name!r} is not one of skscan's")
        cls = getattr(import_module(CLASSES[name]), name)
        result = cls.__new__(cls)
        state = {key: self.decode(item) for key, item in value["state"].items()}
        if "weights_sha256" in value:
            check_weights(state["weights"], value["weights_sha256"])
        if hasattr(result, "__setstate__"):
            result.__setstate__(state)
        else:
            result.__dict__.update(state)
        return result

    def _decode_sklearn(self, value: dict) -> Any:
        import skops.io

        data = self._read(value["sklearn"])
        untrusted = skops.io.get_untrusted_types(data=data)
        if untrusted:
            raise ModelFileError(f"the model holds types that are not trusted: {untrusted}")
        return skops.io.loads(data)

    def _read(self, name: str) -> bytes:
        file_name = self._files[name]
        if Path(file_name).name != file_name:
            raise ModelFileError(f"{file_name!r} is not a plain file name")
        try:
            data = (self._folder / file_name).read_bytes()
        except OSError as error:
            raise ModelFileError(f"{file_name} cannot be read: {error}") from error
        if hashlib.sha256(data).hexdigest()[:16] not in file_name:
            raise ModelFileError(f"{file_name} is damaged: its content does not match its name")
        return data
