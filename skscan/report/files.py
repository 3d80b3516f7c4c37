"""What lies in the results folder of ``skscan cluster``: the names of its files, and its tables."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = [
    "CLUSTERS",
    "CONTACT_SHEETS",
    "DECISIONS",
    "FORMAT",
    "FORMAT_VERSION",
    "IMAGES",
    "MODEL",
    "REPORT",
    "REPORT_FILES",
    "SKIPPED",
    "SUMMARY",
    "is_results_folder",
    "read_numbers",
    "read_rows",
    "read_summary",
    "run_id",
    "was_updated",
]

CLUSTERS = "clusters.csv"
SKIPPED = "skipped.csv"
IMAGES = "images.csv"
CONTACT_SHEETS = "contact_sheets"
MODEL = "model"
SUMMARY = "summary.json"
REPORT = "report.html"
REPORT_FILES = "report_files"
DECISIONS = "decisions.json"
FORMAT = "skscan results"
FORMAT_VERSION = 1


def was_updated(folder: Path) -> bool:
    """Return whether images were added to the run in `folder`, or left it, after it was made."""
    return "run" in _summary(folder)


def read_numbers(folder: Path, paths: Sequence[str]) -> list[int] | None:
    """Return what decisions know each image by, or None where it is its place in the table.

    Raises
    ------
    ValueError
        If the table of images is damaged, or lacks some of `paths`.
    """
    table = folder / IMAGES
    if not was_updated(folder):
        return None
    number_of = {row["path"]: row["number"] for row in read_rows(table, ["path", "number"])}
    try:
        return [int(number_of[path]) for path in paths]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{table} and {CLUSTERS} do not belong together: {error}") from error


def is_results_folder(folder: Path) -> bool:
    """Return whether `folder` was written by ``skscan cluster``."""
    return _summary(folder).get("format") == FORMAT


def read_summary(folder: Path) -> dict[str, Any]:
    """Return the numbers of the run whose results lie in `folder`.

    Raises
    ------
    ValueError
        If `folder` holds no results of ``skscan cluster``, or those of a later version.
    """
    summary = _summary(folder)
    if summary.get("format") != FORMAT:
        raise ValueError(
            f"{folder} holds no results of `skscan cluster`; give the folder that it wrote (-o)"
        )
    version = summary.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{folder / SUMMARY} has format_version {version!r}, and this release of skscan reads "
            f"{FORMAT_VERSION}; install the release that wrote it"
        )
    return summary


def _summary(folder: Path) -> dict[str, Any]:
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return summary if isinstance(summary, dict) else {}


def read_rows(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Return the rows of a table in a results folder; names that are no UTF-8 as surrogates.

    Raises
    ------
    ValueError
        If the file is missing, is no CSV, or lacks one of the columns.
    """
    try:
        with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (FileNotFoundError, csv.Error) as error:
        raise ValueError(f"{table} cannot be read as a table: {error}") from error
    missing = [name for name in columns if name not in (reader.fieldnames or ())]
    if missing:
        raise ValueError(f"{table} has no column {missing[0]!r}")
    if any(row[name] is None for row in rows for name in columns):
        raise ValueError(f"{table} is cut off: a row has fewer columns than its header")
    return rows


def run_id(folder: Path) -> str:
    """Return what tells this run from others: a hash of the clusters that it found.

    It stays the same when images are added to them, so that decisions on the run hold on.
    """
    known = _summary(folder).get("run")
    if isinstance(known, str):
        return known
    with (folder / CLUSTERS).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
