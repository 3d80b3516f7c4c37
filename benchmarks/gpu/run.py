"""The CIFAR-10 and STL-10 rows of the paper's tables in slices of a few minutes, on a GPU.

    python benchmarks/gpu/run.py cifar10 --data DIR --state STATE [--minutes 9]

For machines given for minutes at a time that begin empty: each call goes on from STATE, trains
until its time is over, and leaves in STATE what the next call needs: at most 60 MiB in files of at
most 15 MiB. A call that is killed leaves the STATE of some minutes before. README.md has the rest.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from began import BEGAN
from cells import train
from pace import Pace
from settling import settle_checkpoints
from state_codec import EXACT_BITS
from state_files import StateError
from state_folder import Packed, pack, read_manifest, restore

from skscan._device import resolve_device
from skscan.recipes import comparison_rows, comparison_table, load_recipe
from skscan.training.checkpoints import CHECKPOINT_SECONDS

RECIPES = ("cifar10", "stl10")
_TICK = 0.2
_FIXED = ("recipe", "variant", "scale", "precision", "compile", "limit")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("recipe", choices=RECIPES)
    add("--data", type=Path, help="folder of the data set, as `skscan reproduce` takes it")
    add("--state", type=Path, required=True, help="folder that is carried from slice to slice")
    add("--minutes", type=float, default=9.0, help="length of this slice, packing included")
    add("--scale", type=float, default=1.0, help="as `skscan reproduce`; 0.01 is a rehearsal")
    add("--seeds", type=int, default=1, help="runs after the pretext task; may grow later")
    add("--variant", choices=("sound", "faithful"), default="sound")
    add("--precision", choices=("bf16", "no"), default="bf16", help="of training; no is float32")
    add("--device", default="auto")
    add("--jobs", type=int, default=None, help="workers that decode images")
    add("--limit", type=float, default=60.0, help="size of STATE in MiB")
    add("--restart-cell", action="store_true", help="drop what the cell in training has learned")
    add("--unpack", type=Path, help="only write what STATE holds to this new folder")
    args = parser.parse_args()
    if args.unpack is None and args.data is None:
        parser.error("--data is needed")
    if args.minutes <= 0 or args.seeds < 1 or not 0 < args.scale <= 1 or args.limit <= 1e-3:
        parser.error("--minutes, --seeds and --limit must be positive, --scale in 0..1")
    return args


class Slice:
    """One slice: the process that trains, and what is kept of it.

    Parameters
    ----------
    settings : dict
        For `cells.train`.
    manifest : dict
        Of the slice before; empty for the first.
    state, scratch : Path
    minutes : float
    """

    def __init__(
        self,
        settings: dict[str, Any],
        manifest: dict[str, Any],
        state: Path,
        scratch: Path,
        minutes: float,
    ) -> None:
        self.settings, self.manifest, self.state = settings, manifest, state
        self.scratch, self.out = scratch, scratch / "out"
        self.seconds = 60 * minutes
        self.facts: dict[str, Any] | None = manifest.get("facts")
        self.pace: Pace | None = None
        self.packed: Packed | None = None
        self.error = ""
        self._cell = ""
        self._finished_a_cell = False
        # what STATE had of two checkpoints in a cell was settled when it was packed
        self._settled = set(self._pairs())
        self._pack_seconds: float | None = manifest.get("pack_seconds")

    def run(self) -> bool:
        """Train until the time is over; return whether the row is complete."""
        complete = again = False
        while not complete:
            complete, again = self._run_process()
            if not again:
                break
        self._pack()
        return complete

    def _run_process(self) -> tuple[bool, bool]:
        """Return whether all cells are finished, and whether to start another process."""
        context = multiprocessing.get_context("spawn")
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=train, args=(self.settings, str(self.out), sender))
        process.start()
        sender.close()
        next_pack = time.monotonic() + self._between_packs
        saved = self._saved_at()
        before = time.monotonic()
        try:
            while True:
                alive = process.is_alive()
                while receiver.poll():
                    try:
                        self._take(*receiver.recv())
                    except EOFError:
                        break
                now = time.monotonic()
                if self.pace is not None and self._cell:
                    self.pace.spend(self._cell.partition("-seed-")[0], now - before)
                before = now
                if not alive:
                    if process.exitcode and not self.error:
                        self.error = f"the training ended with exit code {process.exitcode}"
                    return process.exitcode == 0, False
                if now >= self._deadline or (
                    # the next save would come too late
                    now + CHECKPOINT_SECONDS + 2 >= self._deadline and self._saved_at() > saved
                ):
                    return False, False
                if self._must_settle():
                    _kill(process)
                    self._cell = ""
                    self._settled |= set(self._pairs())
                    settle_checkpoints(self.out, self._bits)
                    return False, True
                if self._finished_a_cell or now >= next_pack:
                    self._finished_a_cell = False
                    self._pack()
                    next_pack = time.monotonic() + self._between_packs
                saved = max(saved, self._saved_at()) if self._early(now) else saved
                time.sleep(_TICK)
        finally:
            _kill(process)
            receiver.close()

    def _early(self, now: float) -> bool:
        return now + CHECKPOINT_SECONDS + 2 < self._deadline

    @property
    def _bits(self) -> int:
        return EXACT_BITS if self.facts is None else self.facts["bits"]

    @property
    def _between_packs(self) -> float:
        """A call that is killed loses as much; packing must not take most of the time."""
        return max(self.seconds / 4, 10 * (self._pack_seconds or 0.0))

    @property
    def _deadline(self) -> float:
        guess = 1.0 if self.facts is None else 1 + self.facts["n_parameters"] / 5e5
        reserve = guess if self._pack_seconds is None else 1 + 2 * self._pack_seconds
        return BEGAN + self.seconds - min(reserve, self.seconds / 2)

    def _take(self, kind: str, content: Any) -> None:
        if kind == "facts":
            self.facts = content
            if self.pace is None:
                self.pace = Pace(content, self.settings["seeds"], self.manifest.get("pace", {}))
                self.pace.stand(self.manifest.get("cells", {}), self.manifest.get("steps", {}))
        elif kind == "begin":
            self._cell = content
        elif kind == "end":
            self._cell = ""
            self._finished_a_cell = True
            print(f"  {content}", flush=True)
        else:
            self.error = content

    def _saved_at(self) -> float:
        """Return when a checkpoint was last saved, 0 if there is none."""
        return max((_time_of(p) for p in self.out.glob("checkpoints/*/*.checkpoint")), default=0.0)

    def _pairs(self) -> list[Path]:
        """Return second checkpoints of cells that have two."""
        second = self.out.glob("checkpoints/*/self-label.checkpoint")
        return [path for path in second if path.with_name("scan.checkpoint").exists()]

    def _must_settle(self) -> bool:
        return self._bits < EXACT_BITS and bool(set(self._pairs()) - self._settled)

    def _pack(self) -> None:
        if self.facts is None:  # nothing was trained yet
            return
        fixed = {name: self.settings[name] for name in (*_FIXED, "seeds")}

        def about(results: dict[str, Any], steps: dict[str, Any]) -> dict[str, Any]:
            cells, measured = dict.fromkeys(results.get("cells", {}), True), {}
            if self.pace is not None:
                self.pace.stand(cells, steps)
                measured = self.pace.measured()
            return {
                "settings": fixed,
                "facts": self.facts,
                "slices": self.manifest.get("slices", 0) + 1,
                "cells": cells,
                "steps": steps,
                "pace": measured or self.manifest.get("pace", {}),
                "pack_seconds": self._pack_seconds,
            }

        limit = self.settings["limit"]
        self.packed = pack(self.out, self.state, about, limit, self._bits, self.scratch)
        self._pack_seconds = self.packed.seconds


def _time_of(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _kill(process: Any) -> None:
    """End a process and its workers at once: what it saved is all that counts."""
    if process.is_alive():
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has no group of its own yet
            process.kill()
    process.join()


def check(settings: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Refuse to go on with another row."""
    there = manifest["settings"]
    different = [
        f"{name} {there[name]} there, {settings[name]} now"
        for name in _FIXED
        if there[name] != settings[name]
    ]
    if settings["seeds"] < there["seeds"]:
        different.append(f"{there['seeds']} seeds there, {settings['seeds']} now")
    if different:
        raise StateError(
            f"it holds another run ({'; '.join(different)}); give the same options to go on with "
            "it, or another --state"
        )


def show(part: Slice, complete: bool) -> None:
    """Print what is known of the row, what STATE holds, and how much is left."""
    packed, facts = part.packed, part.facts
    assert packed is not None
    assert facts is not None
    print(f"\nSTATE: {packed.n_bytes / 2**20:.2f} MiB in {packed.n_files} files")
    for remark in packed.notes or ["nothing was rounded or left out"]:
        print(f"  {remark}")
    if part.pace is not None:
        print("\nsteps:")
        for line in part.pace.lines():
            print(f"  {line}")
    recipe = load_recipe(part.settings["recipe"], part.settings["variant"])
    cells = packed.results.get("cells", {})
    without = f", {facts['without']}" if facts["without"] else ""
    print(f"\n{recipe.title}{without} ({part.settings['variant']}), test split, per cent")
    print(comparison_table(comparison_rows(recipe, cells)))
    for remark in facts["notes"]:
        print(f"note: {remark}")
    if complete:
        print("\nThe row is complete.")
    elif part.pace is not None:
        usable = part.seconds - 2 * packed.seconds
        print(f"\n{part.pace.left(max(usable, part.seconds / 2))}. The same command goes on.")


def main() -> int:
    args = parse()
    # processes that are killed leave semaphores, which their minder frees and need not report
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    try:
        manifest = read_manifest(args.state) or {}
        device = resolve_device(args.device)
        settings = {
            **{name: getattr(args, name) for name in ("recipe", "variant", "scale", "seeds")},
            **{name: getattr(args, name) for name in ("precision", "jobs")},
            "limit": round(args.limit * 2**20),
            "data": str(args.data),
            "device": device,
            "compile": device.startswith("cuda"),
        }
        if manifest:
            # the checkpoints say so too: a run that was begun compiled stays so on any machine
            settings["compile"] = manifest["settings"]["compile"]
        if args.unpack is not None:
            if not manifest or args.unpack.exists():
                raise StateError(f"{args.state} is empty, or {args.unpack} exists already")
            restore(args.state, manifest, args.unpack)
            return 0
        if manifest:
            check(settings, manifest)
        name = hashlib.sha256(str(args.state.resolve()).encode()).hexdigest()[:12]
        scratch = Path(tempfile.gettempdir()) / f"skscan-slices-{name}"
        shutil.rmtree(scratch, ignore_errors=True)  # of a call that was killed
        scratch.mkdir(parents=True)
        try:
            if manifest:
                restore(args.state, manifest, scratch / "out")
            if args.restart_cell:
                shutil.rmtree(scratch / "out" / "checkpoints", ignore_errors=True)
                manifest["steps"] = {}
            kind = "compiled" if settings["compile"] else "not compiled"
            print(
                f"slice {manifest.get('slices', 0) + 1} of {args.recipe}: {args.minutes:g} min on "
                f"{_title(device)}, {settings['precision']}, {kind}, scale {args.scale:g}",
                flush=True,
            )
            part = Slice(settings, manifest, args.state, scratch, args.minutes)
            complete = part.run()
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except StateError as error:
        print(f"{args.state}: {error}", file=sys.stderr)
        return 2
    if part.packed is not None:
        show(part, complete)
    elif not part.error:
        print("the slice was over before anything was trained; give it more --minutes")
    if part.error:
        print(part.error, file=sys.stderr)
        if "belongs to another run" in part.error:
            print("Or give --restart-cell once: only the cell in training begins anew.")
        return 1
    print(f"{time.monotonic() - BEGAN:.0f} s in all")
    return 0


def _title(device: str) -> str:
    if not device.startswith("cuda"):
        return f"the {device.upper()}"
    import torch

    return torch.cuda.get_device_name(torch.device(device))


if __name__ == "__main__":
    sys.exit(main())
