"""Save and load fitted estimators without pickle.

A model folder holds ``model.json`` (structure, parameters, small values; a format version) and one
``arrays-<hash>.safetensors`` file with all arrays; parts that are scikit-learn's own are kept as
``sklearn-<hash>.skops``. The JSON file names the others and is replaced last and in one step,
so that a crash leaves the old model or the new one, never half of either.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable
from importlib import import_module
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
from joblib import Memory
from scipy.sparse import csr_matrix, issparse

import skscan
from skscan._files import TEMPORARY_PREFIX, write_atomically
from skscan.exceptions import InconsistentVersionWarning, ModelFileError

FORMAT_VERSION = 1
MODEL_FILE = "model.json"

#: Classes of this library that may stand in a model file, by name.
_CLASSES = {
    "AveragedHeads": "skscan.networks.averaged_heads",
    "ClusterCountCurve": "skscan.cluster_count",
    "ClusterCountSearch": "skscan.cluster_count",
    "ClusterTrainer": "skscan.training.clustering",
    "DefaultFeatureExtractor": "skscan.extractors.default",
    "FeatureScaler": "skscan.scaling",
    "FeatureSpacesScaler": "skscan.spaces",
    "JoinedFeatureExtractor": "skscan.extractors.joined",
    "KeyReport": "skscan.extractors.checkpoint_files",
    "LabelTrainer": "skscan.training.few_labels",
    "LinearHeads": "skscan.networks.heads",
    "MLPHeads": "skscan.networks.mlp_heads",
    "MergeTree": "skscan.merge_tree",
    "MoCoFeatureExtractor": "skscan.extractors.moco",
    "NeighborMiner": "skscan.neighbors",
    "NetworkFeatureExtractor": "skscan.extractors.network",
    "NetworkTraining": "skscan.training.network_settings",
    "OutlierScorer": "skscan.outliers",
    "PixelFeatureExtractor": "skscan.extractors.pixels",
    "SCANClassifier": "skscan.classifier",
    "SCANClusterer": "skscan.clusterer",
    "ScanObjective": "skscan.training.objectives",
    "SelfLabelTrainer": "skscan.training.self_labeling",
    "SimCLRFeatureExtractor": "skscan.extractors.simclr",
    "SkippedImage": "skscan.images",
    "TemiObjective": "skscan.training.objectives",
    "TimmFeatureExtractor": "skscan.extractors.timm",
    "TrainedNetwork": "skscan.networks.trained",
    "TurtleObjective": "skscan.training.objectives",
}


def save(estimator: Any, folder: str | os.PathLike) -> Path:
    """Write an estimator of this library to a folder.

    Parameters
    ----------
    estimator : estimator
        Fitted or not. Parts may be of this library or of scikit-learn.
    folder : str or path-like
        Where to write; made when missing. A model that is there already is replaced.

    Returns
    -------
    folder : Path
        Where the model is.

    Raises
    ------
    TypeError
        If a part or value cannot be saved safely; it is named.
    OSError
        If writing fails, for instance on a full disk; an earlier model is left intact.

    Examples
    --------
    >>> import tempfile
    >>> import skscan
    >>> model = skscan.SCANClusterer(n_clusters=3)
    >>> folder = skscan.save(model, tempfile.mkdtemp())
    >>> skscan.load(folder).n_clusters
    3
    """
    from safetensors.numpy import save as to_safetensors

    folder = Path(folder)
    encoder = _Encoder()
    tree = encoder.encode(estimator, type(estimator).__name__)
    files = {}
    if encoder.arrays:
        files["arrays"] = ("safetensors", to_safetensors(encoder.arrays))
    for name, data in encoder.sklearn_parts.items():
        files[name] = ("skops", data)

    folder.mkdir(parents=True, exist_ok=True)
    names = {
        name: f"{name}-{hashlib.sha256(data).hexdigest()[:16]}.{suffix}"
        for name, (suffix, data) in files.items()
    }
    document = {
        "format": "skscan",
        "format_version": FORMAT_VERSION,
        "skscan_version": skscan.__version__,
        "files": names,
        "estimator": tree,
    }
    for name, (_, data) in files.items():
        write_atomically(folder / names[name], data)
    text = json.dumps(document, indent=1, allow_nan=False)
    write_atomically(folder / MODEL_FILE, text.encode())
    _remove_leftovers(folder, keep=set(names.values()))
    return folder


def replace_model(source: Path, target: Path) -> None:
    """Move a saved model over another one, which stays valid until the last step.

    Parameters
    ----------
    source, target : Path
        Folders on the same disk; the second may hold an earlier model or be missing.
    """
    target.mkdir(exist_ok=True)
    data_files = {path.name for path in source.iterdir()} - {MODEL_FILE}
    for name in [*sorted(data_files), MODEL_FILE]:
        os.replace(source / name, target / name)
    _remove_leftovers(target, keep=data_files)


def load(folder: str | os.PathLike) -> Any:
    """Read an estimator written by :func:`save`.

    No code is run from the files: classes are taken from a fixed list, and parts of
    scikit-learn must be of the types that skops trusts.

    Parameters
    ----------
    folder : str or path-like
        A folder written by :func:`save`.

    Returns
    -------
    estimator : estimator
        Predicts bit for bit as the one that was saved.

    Raises
    ------
    FileNotFoundError
        If the folder holds no model.
    ModelFileError
        If a file is damaged, missing, of a newer format, or holds what is not trusted; or if an
        extractor's own file of weights, which stays where it is, is missing or has changed.

    Warns
    -----
    InconsistentVersionWarning
        If another release of skscan has saved the model.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skscan import FeatureScaler, load, save
    >>> scaler = FeatureScaler(2).fit(np.eye(4))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     loaded = load(save(scaler, f"{folder}/scaler"))
    >>> bool((loaded.transform(np.eye(4)) == scaler.transform(np.eye(4))).all())
    True
    """
    folder = Path(folder)
    try:
        text = (folder / MODEL_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise FileNotFoundError(
            f"folder={str(folder)!r} holds no {MODEL_FILE}; give a folder written by skscan.save."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFileError(f"{folder / MODEL_FILE} cannot be read: {error}") from error
    try:
        document = json.loads(text)
        version = document["format_version"]
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise ModelFileError(
                f"{folder / MODEL_FILE} has format version {version!r}; this skscan "
                f"{skscan.__version__} reads up to {FORMAT_VERSION}. Upgrade skscan to load it."
            )
        estimator = _Decoder(folder, document["files"]).decode(document["estimator"])
    except ModelFileError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(f"{folder / MODEL_FILE} is damaged: {error!r}") from error
    _tell_of_other_release(folder, document.get("skscan_version"))
    return estimator


def _tell_of_other_release(folder: Path, release: Any) -> None:
    if release != skscan.__version__:
        warnings.warn(
            f"The model in {str(folder)!r} was saved by skscan {release}, and this is "
            f"{skscan.__version__}: where features or predictions were changed between the two, it "
            "does not predict as it did. CHANGELOG.md tells; fit it again to be sure.",
            InconsistentVersionWarning,
            stacklevel=3,
        )


class _Encoder:
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
            encoded["weights_sha256"] = _file_hash(weights, f"{path}.weights")
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


class _Decoder:
    """Turns the JSON of :class:`_Encoder` back into objects."""

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
        if name not in _CLASSES:
            raise ModelFileError(f"the class {name!r} is not one of skscan's")
        cls = getattr(import_module(_CLASSES[name]), name)
        result = cls.__new__(cls)
        state = {key: self.decode(item) for key, item in value["state"].items()}
        if "weights_sha256" in value:
            _check_weights(state["weights"], value["weights_sha256"])
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


def _file_hash(path: str | os.PathLike, name: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(f"{name}={os.fspath(path)!r} cannot be read: {error}") from error


def _check_weights(path: str | os.PathLike, expected: str) -> None:
    """Refuse weights that are not those that the model was saved with."""
    if _file_hash(path, "weights") != expected:
        raise ModelFileError(
            f"weights={os.fspath(path)!r} is another file than when the model was saved; "
            "put the file back that the model was fitted with."
        )


def _is_ours(value: Any) -> bool:
    cls = type(value)
    return cls.__name__ in _CLASSES and cls.__module__.startswith("skscan.")


def _is_sklearn(value: Any) -> bool:
    return type(value).__module__.split(".")[0] == "sklearn"


def _remove_leftovers(folder: Path, keep: set[str]) -> None:
    """Remove data files of an earlier model, or of a save that was killed."""
    for pattern in ("arrays-*.safetensors", "sklearn*-*.skops", f"{TEMPORARY_PREFIX}*.tmp"):
        for path in folder.glob(pattern):
            if path.name not in keep:
                path.unlink(missing_ok=True)
