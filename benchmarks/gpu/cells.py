"""The process that trains: the cells of a recipe that are not finished, one after the other.

It is ended by SIGKILL when the slice is over; the checkpoints of the training loop are all that is
needed to go on. Between stages it rounds what has to be rounded to be carried to the next slice.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from settling import choose_bits, settle_cell
from state_files import StateError

from skscan.exceptions import CheckpointError, CheckpointMismatchError
from skscan.networks.architecture import build_backbone, projection_head
from skscan.recipes import Machine, Plan, load_recipe, make_plan, read_data, reproduce

__all__ = ["train"]


def train(settings: dict[str, Any], out: str, events: Connection) -> None:
    """Run what is left of a recipe; meant as the target of a process.

    Parameters
    ----------
    settings : dict
        recipe, data, variant, scale, seeds, precision, compile, device, jobs, limit (in bytes).
    out : str
        Folder of the reproduction.
    events : Connection
        Takes ("facts", dict), ("begin", cell), ("end", line) and ("error", message).
    """
    os.setsid()  # its workers end with it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _train(settings, Path(out), events)
    except (CheckpointError, CheckpointMismatchError, OSError, StateError, ValueError) as error:
        events.send(("error", str(error)))
        raise SystemExit(1) from None


def _train(settings: dict[str, Any], out: Path, events: Connection) -> None:
    recipe = load_recipe(settings["recipe"], settings["variant"])
    data = read_data(recipe.layout, settings["data"])
    plan = make_plan(recipe, data, settings["scale"])
    facts = _facts(plan, settings["limit"])
    events.send(("facts", facts))
    settled: set[str] = set()

    def settle() -> None:
        for folder in (out / "cells").glob("*"):
            if folder.name not in settled:
                settle_cell(folder, facts["bits"])
                settled.add(folder.name)

    def report(line: str) -> None:
        cell = line.split(maxsplit=1)[0]
        if cell.endswith(":"):
            settle()
            events.send(("end", line))
        else:
            events.send(("begin", cell))

    machine = Machine(
        settings["device"], settings["precision"], settings["compile"], settings["jobs"]
    )
    # Apart from the rest, which would go on with the network in memory, as it was before rounding.
    for stage in ("pretext", None):
        reproduce(
            settings["recipe"],
            settings["data"],
            out,
            variant=settings["variant"],
            stage=stage,
            scale=settings["scale"],
            n_seeds=settings["seeds"],
            machine=machine,
            report=report,
        )


def _facts(plan: Plan, limit: int) -> dict[str, Any]:
    """Say how much there is to do, in steps and in passes of an image through the network."""
    recipe, n_train = plan.recipe, len(plan.data.train)
    pretext, scan, self_label = recipe.pretext, recipe.scan, recipe.self_label
    # A pass backward takes about as long as two forward.
    first = ["simclr", _steps(pretext, plan.data.n_pretext), 2 * 3 * pretext.batch_size]
    second = ["scan", _steps(scan, n_train), 2 * 3 * scan.batch_size]
    parts: dict[str, list[Any]] = {"pretext": [first], "scan": [second]}
    if self_label is not None:
        third = ["self-label", _steps(self_label, n_train), (1 + 3) * self_label.batch_size]
        parts |= {"self-label": [third], "overcluster": [second, third]}
    missing = recipe.n_further if plan.data.further is None else 0
    backbone = build_backbone(pretext.backbone)
    modules = (backbone, projection_head(backbone.n_features))  # type: ignore[arg-type]
    n_parameters = sum(each.numel() for module in modules for each in module.parameters())
    return {
        "parts": {name: each for name, each in parts.items() if name in recipe.stages},
        "stages": list(recipe.stages),
        "n_parameters": n_parameters,
        "bits": choose_bits(n_parameters, limit),
        "without": f"without its {missing:,} unlabelled images" if missing else "",
        "notes": [*plan.notes, *recipe.notes],
    }


def _steps(stage: Any, n_images: int) -> int:
    return stage.n_epochs * (n_images // stage.batch_size)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # it is the target of a process
    wait([parent.sentinel])
    os.killpg(0, signal.SIGKILL)
