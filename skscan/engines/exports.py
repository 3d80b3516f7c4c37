"""Exported networks that are kept for the next run.

In the folder ``engines`` of the cache, a network has a small file ``<identity>-<form>.json`` that
names its ONNX file, whose name holds the hash of its content. Both are written in one step, the
ONNX file first, so that a killed process leaves nothing that would be taken for a network, and two
processes that export the same network at once both succeed.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from contextlib import suppress
from pathlib import Path

from skscan import __version__
from skscan._cache_folder import cache_folder
from skscan._files import TEMPORARY_PREFIX, write_atomically
from skscan.engines.base import NetworkSource
from skscan.exceptions import SkscanWarning

__all__ = ["exported", "exports_folder"]

_LARGEST_FOLDER = 2**31
"""Bytes that may be kept; what was used longest ago goes first."""

_FORM_VERSION = 1
"""Of the form of exported networks: other files are made anew when it changes."""


def exports_folder() -> Path:
    """Return the folder of exported networks."""
    return cache_folder() / "engines"


def exported(source: NetworkSource) -> bytes:
    """Return a network in ONNX form, from the cache where it is there.

    Parameters
    ----------
    source : NetworkSource
        Loaded, by torch, only where its export is not there yet.

    Returns
    -------
    data : bytes
        The content of an ONNX file.

    Raises
    ------
    ImportError
        If the package onnx is missing and the export is not there yet.
    ExportError
        If the network cannot be exported.

    Warns
    -----
    SkscanWarning
        If the export could not be kept.
    """
    record = exports_folder() / f"{source.identity()}-{_FORM_VERSION}.json"
    found = _read(record)
    if found is not None:
        return found
    data = _export(source)
    try:
        _write(record, data, source.description)
    except OSError as error:
        warnings.warn(
            f"The network {source.description} in ONNX form could not be kept ({error}); it is "
            "made again in the next run. Make room there, or name another folder by SKSCAN_CACHE.",
            SkscanWarning,
            stacklevel=2,
        )
    return data


def _export(source: NetworkSource) -> bytes:
    from skscan.engines.export import export_onnx

    network = source.load("cpu")
    return export_onnx(
        network.module, network.image_size, network.mean, network.std, side=network.side
    )


def _read(record: Path) -> bytes | None:
    """Return the export that a record names; None where it is not there, or damaged."""
    try:
        name = json.loads(record.read_bytes())["file"]
        path = record.with_name(Path(name).name)
        data = path.read_bytes()
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if _file_name(data) != name:
        return None
    for used in (record, path):
        with suppress(OSError):  # of another user
            os.utime(used)
    return data


def _write(record: Path, data: bytes, description: str) -> None:
    record.parent.mkdir(parents=True, exist_ok=True)
    _prune(record.parent, _LARGEST_FOLDER - len(data))
    name = _file_name(data)
    write_atomically(record.with_name(name), data)
    content = {"file": name, "network": description, "skscan_version": __version__}
    write_atomically(record, json.dumps(content, indent=1).encode())


def _file_name(data: bytes) -> str:
    return f"{hashlib.sha256(data).hexdigest()}.onnx"


def _prune(folder: Path, limit: int) -> None:
    """Remove networks that were not used for longest, and what killed processes left."""
    files = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process was faster
            status = path.stat()
            files.append((status.st_mtime, status.st_size, path))
    files.sort(reverse=True)
    newest = files[0][0] if files else 0.0
    total = 0
    for changed, size, path in files:
        total += size
        abandoned = path.name.startswith(TEMPORARY_PREFIX) and changed < newest - 86400
        if total > limit or abandoned:
            path.unlink(missing_ok=True)
