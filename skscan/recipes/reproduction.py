"""Run a recipe: every stage and seed that is wanted and not finished yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from skscan.recipes.comparison import comparison_rows
from skscan.recipes.layouts import read_data
from skscan.recipes.plan import check_batches, make_plan
from skscan.recipes.recipe import load_recipe
from skscan.recipes.runner import Reproduction
from skscan.recipes.store import RESULTS, Store, fingerprint
from skscan.recipes.trainers import Machine, file_hash

__all__ = ["reproduce"]


def reproduce(
    name: str,
    data: str | os.PathLike,
    out: str | os.PathLike,
    *,
    variant: str = "sound",
    stage: str | None = None,
    scale: float = 1.0,
    n_seeds: int = 10,
    weights: str | os.PathLike | None = None,
    machine: Machine | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Run a row of the paper's tables and compare its figures with the published ones.

    The pretext task runs once, the later stages once for each seed, as in the paper. Each stage
    and seed is written to `out` when it is finished and is not run again; what is being trained
    when the process is killed goes on from its last checkpoint.

    Parameters
    ----------
    name : str
        One of `skscan.recipes.recipe_names`.
    data : path
        Folder or zip of the data set; see `skscan.recipes.read_data`.
    out : path
        Folder for results, made when missing.
    variant : {"sound", "faithful"}, default="sound"
        Whether defects of the original are mended or kept.
    stage : str or None, default=None
        Run only this stage and those that it needs; None runs all of the recipe.
    scale : float, default=1.0
        Below 1, data, epochs and width shrink together; see `skscan.recipes.plan.make_plan`.
    n_seeds : int, default=10
        Runs of the later stages: seeds 0 to ``n_seeds - 1``.
    weights : path or None, default=None
        A file of a pretext network, of the authors of SCAN or of MoCo, to begin with instead of
        training one.
    machine : Machine or None, default=None
        Device, precision, workers; None is `Machine()`. Results of another precision are refused
        in the same folder, those of another device are not.
    report : callable
        Called with a line of text when a stage begins or ends.

    Returns
    -------
    result : dict of plain data
        recipe, title, variant, scale, notes, stages (names of finished cells), rows (see
        `skscan.recipes.comparison.comparison_rows`) and out.

    Raises
    ------
    ValueError
        If an argument is wrong, or the data cannot be read.
    OutputMismatchError
        If `out` holds something else; the message names what differs.
    """
    recipe = load_recipe(name, variant)
    if stage is not None and stage not in recipe.stages:
        raise ValueError(
            f"stage must be one of {', '.join(recipe.stages)} for {name}, got {stage!r}."
        )
    if n_seeds < 1:
        raise ValueError(f"n_seeds must be at least 1, got {n_seeds!r}.")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"reproduce runs in one process, got WORLD_SIZE={os.environ['WORLD_SIZE']}; start it "
            "without torchrun or accelerate launch. To train in several processes, call the "
            "estimators from a script of your own."
        )
    machine = machine or Machine()
    plan = make_plan(recipe, read_data(recipe.layout, Path(data)), scale, weights is not None)
    check_batches(plan)
    identity = {
        "recipe": {
            key: value
            for key, value in asdict(plan.recipe).items()
            if key not in ("published", "notes", "title")
        },
        "scale": scale,
        "clusters": plan.n_clusters,
        "data": fingerprint(plan.data),
        "weights": None if weights is None else file_hash(weights),
        "precision": machine.precision,
    }
    with Store(out, identity) as store:
        Reproduction(plan, store, n_seeds, weights, machine, report).run(stage)
        rows = comparison_rows(plan.recipe, store.cells)
        result = {
            "recipe": name,
            "title": recipe.title,
            "variant": variant,
            "scale": scale,
            "notes": [*plan.notes, *recipe.notes],
            "rows": rows,
        }
        store.write(**result)
        return {**result, "stages": sorted(store.cells), "out": os.fspath(Path(out) / RESULTS)}
