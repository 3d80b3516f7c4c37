"""Files of a reproduction taken apart into large arrays and the rest, and put together again."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from state_codec import EXACT_BITS, decode, encode, round_mantissa

from skscan.training.checkpoints import Checkpoint

__all__ = [
    "SMALL",
    "Array",
    "File",
    "StateError",
    "join",
    "read_checkpoint",
    "read_file",
    "read_training",
    "to_archive",
    "unpack_archive",
    "write_checkpoint",
]

#: Smaller arrays (normalisation, heads, counters) are never rounded.
SMALL = 4096

_MARK = "\0array "


class StateError(Exception):
    """The state is damaged, of another run, or too large."""


@dataclass
class Array:
    """An array of a file, and how far it may be rounded."""

    values: NDArray
    role: str  # "weights", "moments", or "kept": as it is
    channels_last: bool = False


@dataclass
class File:
    """A file of OUT: what is not large arrays, and those."""

    path: str
    kind: str  # "plain", "safetensors", "checkpoint"
    rest: bytes
    arrays: list[Array] = field(default_factory=list)


def read_file(path: Path, out: Path) -> File:
    """Take a file apart; tensors of safetensors stand one after the other behind a header."""
    name, content = path.relative_to(out).as_posix(), path.read_bytes()
    if path.suffix != ".safetensors":
        return File(name, "plain", content)
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    tensors = sorted(
        (each for key, each in header.items() if key != "__metadata__"),
        key=lambda each: each["data_offsets"],
    )
    file = File(name, "safetensors", content[:start])
    for each in tensors:
        first, last = each["data_offsets"]
        dtype = np.float32 if each["dtype"] == "F32" else np.uint8
        file.arrays.append(
            Array(np.frombuffer(content[start + first : start + last], dtype), "kept")
        )
    return file


def read_training(path: Path, out: Path, with_moments: bool = True) -> tuple[File, int]:
    """Take a checkpoint apart.

    Parameters
    ----------
    path : Path
    out : Path
        Folder that its name is relative to.
    with_moments : bool, default=True
        False sets the moments of the optimiser, and the steps it counts, to zero: it begins anew.

    Returns
    -------
    file : File
    n_steps : int
        Steps of the optimiser that were made.
    """
    identity, state = read_checkpoint(path)
    if not with_moments:
        for moments in state["optimizer"]["state"].values():
            moments.update(
                {k: torch.zeros_like(v) for k, v in moments.items() if isinstance(v, torch.Tensor)}
            )
    settled = path.stem == "scan" and not state["optimizer"]["state"]
    file = File(path.relative_to(out).as_posix(), "checkpoint", b"")

    def without_arrays(value: Any, role: str) -> Any:
        if isinstance(value, dict):
            return {key: without_arrays(inner, role) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(without_arrays(inner, role) for inner in value)
        if not isinstance(value, torch.Tensor) or value.numel() < SMALL:
            return value
        if value.dtype != torch.float32:
            return value
        last = value.dim() == 4 and value.is_contiguous(memory_format=torch.channels_last)
        file.arrays.append(Array(value.contiguous().numpy(), role, last))
        return _MARK + json.dumps([len(file.arrays) - 1, list(value.shape)])

    roles = {"optimizer": "moments"}
    rest = {
        name: without_arrays(part, "kept" if settled else roles.get(name, "weights"))
        for name, part in state.items()
    }
    buffer = io.BytesIO()
    torch.save({"identity": identity, "state": rest}, buffer)
    file.rest = buffer.getvalue()
    position = state["position"]
    history = position["history"]
    n_steps = sum(int(entry["steps"]) for entry in history) + position["step"]
    return file, n_steps


def _encoded(values: NDArray) -> bytes:
    return encode(values) if values.dtype == np.float32 else values.tobytes()


def to_archive(files: list[File], weights: int, moments: int) -> bytes:
    """Write files into a zip, arrays that are the same once."""
    wanted = {"weights": weights, "moments": moments, "kept": EXACT_BITS}
    index, entries = {}, {}
    for file in files:
        arrays = []
        for array in file.arrays:
            values = array.values
            if values.dtype == np.float32:
                values = round_mantissa(values, wanted[array.role])
            data = _encoded(values)
            kind = "arrays" if values.dtype == np.float32 else "bytes"
            name = f"{kind}/" + hashlib.blake2b(data, digest_size=12).hexdigest()
            entries[name] = data
            arrays.append([name, values.dtype.str, values.size, array.channels_last])
        entries["rest/" + file.path] = file.rest
        index[file.path] = {"kind": file.kind, "arrays": arrays}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        _write_entries(archive, {"index.json": json.dumps(index).encode(), **entries})
    return buffer.getvalue()


def _write_entries(archive: zipfile.ZipFile, entries: dict[str, bytes]) -> None:
    for name, data in entries.items():
        compressed = not name.startswith("arrays/")
        archive.writestr(name, data, zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED)


def join(first: bytes, second: bytes) -> bytes:
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(first)) as one,
        zipfile.ZipFile(io.BytesIO(second)) as other,
        zipfile.ZipFile(buffer, "w") as joined,
    ):
        entries = {name: each.read(name) for each in (one, other) for name in each.namelist()}
        index = {**json.loads(one.read("index.json")), **json.loads(other.read("index.json"))}
        _write_entries(joined, {**entries, "index.json": json.dumps(index).encode()})
    return buffer.getvalue()


def unpack_archive(archive: io.BytesIO, out: Path) -> None:
    """Write the files of an archive to a folder."""
    with zipfile.ZipFile(archive) as files:
        for path, entry in json.loads(files.read("index.json")).items():
            target = out / path
            target.parent.mkdir(parents=True, exist_ok=True)
            rest = files.read("rest/" + path)
            arrays = [
                (_decoded(files.read(name), dtype, n), channels_last)
                for name, dtype, n, channels_last in entry["arrays"]
            ]
            if entry["kind"] == "checkpoint":
                _restore_training(target, rest, arrays)
            else:
                target.write_bytes(b"".join([rest, *(values.tobytes() for values, _ in arrays)]))


def _decoded(data: bytes, dtype: str, n: int) -> NDArray:
    is_float = np.dtype(dtype) == np.float32
    return decode(data, (n,)) if is_float else np.frombuffer(data, dtype)


def _restore_training(path: Path, rest: bytes, arrays: list[tuple[NDArray, bool]]) -> None:
    document = torch.load(io.BytesIO(rest), weights_only=True)

    def with_arrays(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: with_arrays(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(map(with_arrays, value))
        if not isinstance(value, str) or not value.startswith(_MARK):
            return value
        number, shape = json.loads(value.removeprefix(_MARK))
        values, channels_last = arrays[number]
        tensor = torch.from_numpy(values.reshape(shape))
        return tensor.contiguous(memory_format=torch.channels_last) if channels_last else tensor

    write_checkpoint(path, document["identity"], with_arrays(document["state"]))


def read_checkpoint(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    document = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    identity = dict(document["identity"])
    del document
    state = Checkpoint(path.parent, path.stem, identity).load()
    assert state is not None  # the file was there a moment ago
    return identity, state


def write_checkpoint(path: Path, identity: dict[str, Any], state: dict[str, Any]) -> None:
    Checkpoint(path.parent, path.stem, identity).save(state)
    if not path.exists():  # it only warns, since a training goes on without
        raise StateError(f"{path} could not be written")
