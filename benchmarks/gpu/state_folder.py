"""A reproduction in few bytes: what later slices need of its folder, in a few files of one size.

``skscan reproduce`` keeps its work in a folder (here OUT): results, networks of finished cells, and
checkpoints of what is being trained. `pack` writes it to another folder (STATE)::

    STATE/
      state.json            settings, sizes and check sums, what was rounded or left out
      state-<n>-<i>.bin     the rest, a zip cut into pieces

`restore` makes OUT again. What does not fit is rounded, see `choose_bits` and `LADDER`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from settling import MANIFEST_BYTES, settle_cell, settle_checkpoints
from state_codec import EXACT_BITS, bits_in_use, change, round_mantissa
from state_files import File, StateError, join, read_file, read_training, to_archive, unpack_archive

import skscan

__all__ = ["LADDER", "MANIFEST", "Packed", "pack", "read_manifest", "restore"]

MANIFEST = "state.json"
PIECE_BYTES = 15 * 2**20
#: Bits of mantissa of weights and of the optimiser's moments of what is being trained: the first
#: pair that fits is taken. Weights last for good, moments for some tens to a thousand steps.
LADDER = [
    *[(23, 23), (23, 16), (23, 13), (23, 10), (16, 10), (13, 10), (13, 7), (10, 7), (10, 5)],
    *[(8, 5), (7, 5), (7, 4), (7, 3), (7, 2), (7, 1)],
]
_FORMAT = "skscan slices 1"
_MARK = "\0array "


@dataclass(frozen=True)
class Packed:
    """What `pack` wrote.

    Attributes
    ----------
    n_bytes, n_files : int
    notes : list of str
        What was rounded or left out, and how far off it is.
    results : dict
        The content of the results file, empty before the first cell.
    steps : dict of str to dict of str to int
        Of cells that are being trained: optimiser steps made in each of their stages.
    seconds : float
        Which packing took.
    """

    n_bytes: int
    n_files: int
    notes: list[str]
    results: dict[str, Any]
    steps: dict[str, dict[str, int]]
    seconds: float


def read_manifest(state: Path) -> dict[str, Any] | None:
    """Read what STATE says of itself; None if there is nothing yet.

    Raises
    ------
    StateError
        If it is damaged, of another format, or holds other files.
    """
    path = state / MANIFEST
    if not path.exists():
        foreign = sorted(p.name for p in state.iterdir()) if state.exists() else []
        if any(not name.startswith("state") for name in foreign):
            raise StateError(f"{state} holds no state of slices, but {foreign[0]}; give another")
        return None
    try:
        manifest = json.loads(path.read_text())
        if manifest["format"] != _FORMAT:
            raise ValueError(f"format {manifest['format']!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise StateError(f"{path} is damaged or of another version ({error})") from None
    if manifest["skscan_version"] != skscan.__version__:
        raise StateError(
            f"{state} was written with skscan {manifest['skscan_version']}, this is "
            f"{skscan.__version__}; go on with the version that began"
        )
    return manifest


# ----------------------------------------------------------------------------------------- packing


def pack(
    out: Path,
    state: Path,
    about: Callable[[dict[str, Any], dict[str, dict[str, int]]], dict[str, Any]],
    limit: int,
    bits: int,
    scratch: Path,
) -> Packed:
    """Write what later slices need of OUT to STATE, in one step.

    Parameters
    ----------
    out : Path
        Of a reproduction, which may be running.
    state : Path
        Made when missing.
    about : callable
        Called with results and steps as in `Packed`; returns what else belongs into the manifest.
    limit : int
        Bytes that STATE may have.
    bits : int
        From `choose_bits`.
    scratch : Path
        A folder on the disk of OUT.

    Returns
    -------
    packed : Packed

    Raises
    ------
    StateError
        If it does not fit, however it is rounded.
    """
    begin = time.perf_counter()
    snapshot = _take_snapshot(out, scratch / "snapshot")
    settle_checkpoints(snapshot, bits)
    results = _read_results(snapshot)
    cells = results.get("cells", {})
    needed, spare = [], []
    for folder in sorted(p for p in (snapshot / "cells").glob("*") if p.name in cells):
        settle_cell(folder, bits)
        (needed if _is_needed(folder.name, cells) else spare).append(folder)
    paths = [snapshot / "results.json", *(p for f in needed for p in sorted(f.iterdir()))]
    plain = [read_file(path, snapshot) for path in paths if path.exists()]
    steps: dict[str, dict[str, int]] = {}
    training = [
        path
        for path in sorted((snapshot / "checkpoints").glob("*/*.checkpoint"))
        if path.parent.name not in cells
    ]
    room = limit - MANIFEST_BYTES
    for with_moments in (True, False):
        parts = [read_training(path, snapshot, with_moments) for path in training]
        for path, (_, n_steps) in zip(training, parts, strict=True):
            steps.setdefault(path.parent.name, {})[path.stem] = n_steps
        files = [*plain, *(file for file, _ in parts)]
        smallest = _smallest_rounding(files, room)
        if smallest is not None:
            break
    else:
        raise StateError(
            f"the state does not fit into {room / 2**20:.1f} MiB, however far it is rounded; give "
            "a larger --limit"
        )
    archive, notes = smallest
    if not with_moments:
        notes.append("the optimiser's moments are left out: the next slice begins with none")
    notes = [*_settled_notes(needed, bits), *notes]
    archive, kept = _add_spare(archive, files, spare, snapshot, room)
    left_out = [folder.name for folder in spare if folder.name not in kept]
    left_out += [name for name in cells if "-seed-" in name and not (out / "cells" / name).exists()]
    if left_out:
        notes.append(
            f"networks of finished cells that nothing needs any more are left out: "
            f"{', '.join(sorted(set(left_out)))} (their scores stay)"
        )
    shutil.rmtree(snapshot)
    n_bytes, n_files = _write_state(state, archive, {**about(results, steps), "notes": notes})
    seconds = time.perf_counter() - begin
    return Packed(n_bytes, n_files, notes, results, steps, seconds)


def _take_snapshot(out: Path, snapshot: Path) -> Path:
    """Link the files of OUT, which are replaced and never changed, as they are at one moment."""
    while True:
        shutil.rmtree(snapshot, ignore_errors=True)
        snapshot.mkdir(parents=True)
        before = _content(out / "results.json")
        if before is not None:
            (snapshot / "results.json").write_bytes(before)
        try:
            for part in ("checkpoints", "cells"):
                for path in sorted((out / part).glob("*/*")):
                    if not path.name.startswith("."):  # being written
                        target = snapshot / path.relative_to(out)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        os.link(path, target)
        except FileNotFoundError:  # replaced or finished a moment ago
            continue
        if _content(out / "results.json") == before:
            return snapshot


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _read_results(out: Path) -> dict[str, Any]:
    content = _content(out / "results.json")
    return {} if content is None else json.loads(content)


def _is_needed(cell: str, cells: dict[str, Any]) -> bool:
    stage, _, seed = cell.partition("-seed-")
    return stage == "pretext" or (stage == "scan" and f"self-label-seed-{seed}" not in cells)


def _smallest_rounding(files: list[File], room: int) -> tuple[bytes, list[str]] | None:
    """Round as little as fits; None if nothing does."""
    sizes = [
        (array.role, array.values.size, bits_in_use(array.values))
        for file in files
        for array in file.arrays
        if array.role != "kept"
    ]
    exact = len(to_archive(files, EXACT_BITS, EXACT_BITS))
    for weights, moments in LADDER:
        wanted = {"weights": weights, "moments": moments}
        saved = sum(
            n * (used - min(used, wanted[role])) // 8 for role, n, used in sizes
        )  # copies count twice here, so this may be too hopeful: the archive itself decides
        if exact - saved > room:
            continue
        archive = to_archive(files, weights, moments)
        if len(archive) <= room:
            return archive, _rounding_notes(files, wanted)
    return None


def _rounding_notes(files: list[File], wanted: dict[str, int]) -> list[str]:
    notes = []
    for role, title in (("weights", "weights"), ("moments", "the optimiser's moments")):
        arrays = [array.values for file in files for array in file.arrays if array.role == role]
        arrays = [values for values in arrays if bits_in_use(values) > wanted[role]]
        if not arrays:
            continue
        changes = [change(values, round_mantissa(values, wanted[role])) for values in arrays]
        notes.append(
            f"{title} of what is being trained: rounded to {wanted[role]} bits of mantissa"
            f"{' (bfloat16)' if wanted[role] == 7 else ''}; a number changed by at most "
            f"{100 * max(each.largest for each in changes):.2g} %, a layer by at most "
            f"{100 * max(each.rms for each in changes):.2g} % (root mean square)"
        )
    return notes


def _settled_notes(needed: list[Path], bits: int) -> list[str]:
    if bits == EXACT_BITS or not needed:
        return []
    names = ", ".join(folder.name for folder in needed)
    return [
        f"networks of finished cells ({names}): rounded to {bits} bits of mantissa"
        f"{' (bfloat16)' if bits == 7 else ''} when they were finished, before anything began from "
        f"them; a number changed by at most {100 * 2.0 ** -(bits + 1):.2g} %"
    ]


def _add_spare(
    archive: bytes, files: list[File], spare: list[Path], snapshot: Path, room: int
) -> tuple[bytes, list[str]]:
    """Add finished networks that nothing needs, the last stages first, while there is room."""
    order = ["self-label", "overcluster", "scan"]
    kept: list[str] = []
    for folder in sorted(spare, key=lambda f: (order.index(f.name.partition("-seed-")[0]), f.name)):
        more = [read_file(path, snapshot) for path in sorted(folder.iterdir())]
        alone = to_archive(more, EXACT_BITS, EXACT_BITS)
        if len(archive) + len(alone) <= room:
            archive, kept = join(archive, alone), [*kept, folder.name]
    return archive, kept


def _write_state(state: Path, archive: bytes, about: dict[str, Any]) -> tuple[int, int]:
    """Write the pieces under new names, then the manifest in one step, then drop the old ones."""
    state.mkdir(parents=True, exist_ok=True)
    used = {path.name.split("-")[1] for path in state.glob("state-*-*.bin")}
    number = next(n for n in range(1, 10**6) if str(n) not in used)
    pieces = []
    for i, start in enumerate(range(0, len(archive), PIECE_BYTES)):
        piece, name = archive[start : start + PIECE_BYTES], f"state-{number}-{i}.bin"
        _write(state / name, piece)
        pieces.append([name, len(piece), hashlib.sha256(piece).hexdigest()])
    manifest = {
        "format": _FORMAT,
        "skscan_version": skscan.__version__,
        "pieces": pieces,
        **about,
    }
    text = json.dumps(manifest, indent=1).encode()
    _write(state / f"{MANIFEST}.tmp", text)
    os.replace(state / f"{MANIFEST}.tmp", state / MANIFEST)
    for path in state.glob("state-*-*.bin"):
        if path.name not in {name for name, *_ in pieces}:
            path.unlink()
    return len(archive) + len(text), len(pieces) + 1


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


# --------------------------------------------------------------------------------------- restoring


def restore(state: Path, manifest: dict[str, Any], out: Path) -> None:
    """Make OUT from STATE.

    Parameters
    ----------
    state : Path
    manifest : dict
        From `read_manifest`.
    out : Path
        New.

    Raises
    ------
    StateError
        If a file is missing or damaged.
    """
    archive = io.BytesIO()
    for name, n_bytes, digest in manifest["pieces"]:
        piece = _content(state / name)
        if piece is None or len(piece) != n_bytes or hashlib.sha256(piece).hexdigest() != digest:
            raise StateError(
                f"{state / name} is missing or damaged; take an earlier copy of {state}"
            )
        archive.write(piece)
    unpack_archive(archive, out)
