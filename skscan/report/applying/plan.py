"""Which image goes where."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from skscan.images.archives import split_archive_path
from skscan.report.applying.names import NameGiver
from skscan.report.decisions import Decisions
from skscan.report.files import CLUSTERS, read_rows, read_summary
from skscan.report.run import find_images_of_run

__all__ = ["Placement", "make_plan"]

TABLE_NAMES = ("labels.csv", "labels.parquet", "annotations.json", "metadata.csv")


@dataclass(frozen=True)
class Placement:
    """Where one image of a run goes.

    Attributes
    ----------
    path : str
        As in ``clusters.csv``.
    source : str
        Where the image lies now; for one in a zip, the zip with the entry behind it.
    target : str or None
        Where it goes, below the new folder, with ``/``; None for one that stays where it is.
    class_name : str
    cluster : int
    confidence : float
    moved, rejected : bool
        Whether a person moved it to its class, or out of all classes.
    """

    path: str
    source: str
    target: str | None
    class_name: str
    cluster: int
    confidence: float
    moved: bool
    rejected: bool


def make_plan(
    folder: Path, decisions: Decisions, mode: str, images: Path | None = None
) -> list[Placement]:
    """Plan where the images of a run go; nothing is touched.

    Parameters
    ----------
    folder : Path
        The results of the run.
    decisions : Decisions
        Loaded with these results.
    mode : {"copy", "move", "link", "csv"}
        With ``"csv"`` no image goes anywhere.
    images : Path or None, default=None
        Where the images lie now, if elsewhere than they did.

    Returns
    -------
    list of Placement
        In the order of ``clusters.csv``.
    """
    rows = read_rows(folder / CLUSTERS, ["path", "cluster", "confidence"])
    sources = find_images_of_run(read_summary(folder), [row["path"] for row in rows], images)
    folders = NameGiver(TABLE_NAMES)
    # all classes, also those without an image, so that names never depend on the images
    folder_of = {own.id: folders.give(own.name, "class") for own in decisions.classes.values()}
    givers = {own: NameGiver() for own in folder_of}
    plan = []
    for row, source in zip(rows, sources, strict=True):
        decided = decisions.images[row["path"]]
        target = None
        if mode != "csv" and not decided.rejected:
            name = givers[decided.class_id].give(_file_name(row["path"]), "image")
            target = f"{folder_of[decided.class_id]}/{name}"
        plan.append(
            Placement(
                path=row["path"],
                source=os.path.abspath(source),
                target=target,
                class_name=decisions.classes[decided.class_id].name,
                cluster=int(row["cluster"]),
                confidence=float(row["confidence"]),
                moved=decided.moved,
                rejected=decided.rejected,
            )
        )
    return plan


def _file_name(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition("\\")[2] if os.name == "nt" or split_archive_path(path) else name
