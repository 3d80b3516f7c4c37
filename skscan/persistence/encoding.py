"""From objects to JSON and arrays."""

from __future__ import annotations

import os
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
from joblib import Memory
from scipy.sparse import csr_matrix, issparse

from skscan.persistence.classes import CLASSES
from skscan.persistence.weights import file_hash

__all__ = ["Encoder"]


class Encoder:
    """Turns objects into JSON, with arrays and scikit-learn parts set aside."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        # arrays met before, with their keys: parts share them, a network and its extractor
        self._met: dict[int, tuple[np.ndarray, str]] = {}
        self.sklearn_parts: dict[str, bytes] = {}

    def encode(self, value: Any, path: str) -> Any:
        """Encode a value; `path` names it in errors."""
        if value is None or isinstance(value, (bool, str)):
            return value
        for applies, encode in self._table():
            if applies(value):
                return encode(value, path)
        raise TypeError(
            f"{path} is a {type(value).__module__}.{type(value).__qualname__}, which cannot be "
            "saved without pickle; parts must be of skscan or scikit-learn, values plain data "
            "or arrays."
        )

    def _table(self) -> list[tuple[Callable[[Any], bool], Callable[[Any, str], Any]]]:
        def is_type(*types: type) -> Callable[[Any], bool]:
            return lambda value: isinstance(value, types)

        return [
            (is_type(np.bool_), lambda value, path: bool(value)),
            (is_type(np.generic), self._scalar),
            (is_type(Integral), lambda value, path: int(value)),
            (is_type(Real), self._float),
            (is_type(list), self._list),
            (is_type(tuple), lambda value, path: {"tuple": self._list(value, path)}),
            (is_type(dict), self._dict),
            (is_type(np.ndarray), self._array),
            (issparse, self._sparse),
            (is_type(np.random.RandomState), self._random_state),
            (is_type(Memory), lambda value, path: {"memory": self.encode(value.location, path)}),
            (is_type(os.PathLike), lambda value, path: {"path": os.fspath(value)}),
            (_is_ours, self._object),
            (_is_sklearn, self._sklearn),
        ]

    def _float(self, value: Any, path: str) -> Any:
        value = float(value)
        return value if np.isfinite(value) else {"float": repr(value)}

    def _scalar(self, value: np.generic, path: str) -> Any:
        return {"scalar": self._array(np.asarray(value), path)}

    def _list(self, value: Any, path: str) -> list:
        return [self.encode(item, f"{path}[{i}]") for i, item in enumerate(value)]

    def _dict(self, value: dict, path: str) -> dict:
        items = [
            [self.encode(key, path), self.encode(item, f"{path}[{key!r}]")]
            for key, item in value.items()
        ]
        return {"dict": items}

    def _array(self, value: np.ndarray, path: str) -> dict:
        if value.dtype.kind in "OU":
            items = [self.encode(item, path) for item in value.ravel().tolist()]
            return {"strings": items, "shape": list(value.shape), "dtype": value.dtype.kind}
        if value.dtype.kind not in "biuf":
            raise TypeError(f"{path} is an array of {value.dtype}, which cannot be saved.")
        if id(value) not in self._met:
            key = f"{len(self.arrays)}:{path}"
            self.arrays[key] = np.ascontiguousarray(value).reshape(value.shape)
            self._met[id(value)] = (value, key)  # held, so that no other array gets its id
        return {"array": self._met[id(value)][1]}

    def _sparse(self, value: Any, path: str) -> dict:
        value = csr_matrix(value)
        names = ("data", "indices", "indptr")
        parts = {name: self._array(getattr(value, name), f"{path}.{name}") for name in names}
        return {"csr": parts, "shape": list(value.shape)}

    def _random_state(self, value: np.random.RandomState, path: str) -> dict:
        return {"random_state": self.encode(value.get_state(legacy=False), path)}

    def _object(self, value: Any, path: str) -> dict:
        state = value.__getstate__() if hasattr(value, "__getstate__") else vars(value)
        not_saved = getattr(value, "_not_saved", ())
        items = {
            name: self.encode(None if name in not_saved else item, f"{path}.{name}")
            for name, item in state.items()
            if name != "_sklearn_version"
        }
        encoded = {"object": type(value).__name__, "state": items}
        weights = getattr(value, "weights", None)
        # An extractor that holds its network needs the file no more.
        if isinstance(weights, str | os.PathLike) and "network_" not in state:
            encoded["weights_sha256"] = file_hash(weights, f"{path}.weights")
        return encoded

    def _sklearn(self, value: Any, path: str) -> dict:
        import skops.io

        try:
            data = skops.io.dumps(value)
        except Exception as error:
            raise TypeError(f"{path} cannot be saved without pickle: {error}") from error
        untrusted = skops.io.get_untrusted_types(data=data)
        if untrusted:
            raise TypeError(
                f"{path} holds {', '.join(untrusted)}, which cannot be saved without pickle; "
                "parts must be of skscan or scikit-learn."
            )
        name = f"sklearn{len(self.sklearn_parts)}"
        self.sklearn_parts[name] = data
        return {"sklearn": name}


def _is_ours(value: Any) -> bool:
    cls = type(value)
    return cls.__name__ in CLASSES and cls.__module__.startswith("skscan.")


def _is_sklearn(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "sklearn"
