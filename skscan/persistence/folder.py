"""The folder of a model: written, moved and read."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import skscan
from skscan._files import TEMPORARY_PREFIX, write_atomically
from skscan.exceptions import InconsistentVersionWarning, ModelFileError
from skscan.persistence.decoding import Decoder
from skscan.persistence.encoding import Encoder

__all__ = ["FORMAT_VERSION", "MODEL_FILE", "load", "replace_model", "save"]

FORMAT_VERSION = 1
MODEL_FILE = "model.json"


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
    encoder = Encoder()
    tree = encoder.encode(estimator, type(estimator).__name__)
    files = {}
    if encoder.arrays:
        files["arrays"] = ("safetensors", to_safetensors(encoder.arrays))
    for name, data in encoder.sklearn_parts.items():
        files[name] = ("skops", data)

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if folder.is_file() else error.strerror
        message = f"folder={str(folder)!r} cannot be written to ({reason}); give another folder."
        raise OSError(error.errno, message) from error
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
    except (FileNotFoundError, NotADirectoryError):
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
        estimator = Decoder(folder, document["files"]).decode(document["estimator"])
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


def _remove_leftovers(folder: Path, keep: set[str]) -> None:
    """Remove data files of an earlier model, or of a save that was killed."""
    for pattern in ("arrays-*.safetensors", "sklearn*-*.skops", f"{TEMPORARY_PREFIX}*.tmp"):
        for path in folder.glob(pattern):
            if path.name not in keep:
                path.unlink(missing_ok=True)
