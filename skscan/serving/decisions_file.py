"""Where a server keeps decisions: ``decisions.json`` in the results folder.

The file is what the report exports and ``skscan apply`` reads. Beside that it holds the steps that
led there (``review``), so that they can be undone after a restart, and a ``version`` that each save
raises. Whoever saves says which version the decisions are built on: if it is not the present one,
another tab was quicker, and nothing is written.
"""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

from skscan._files import TEMPORARY_PREFIX, write_atomically
from skscan.report.decisions import parse_document
from skscan.report.files import CLUSTERS, DECISIONS

__all__ = ["DecisionsFile", "OutdatedRunError", "StaleVersionError"]


class StaleVersionError(Exception):
    """The decisions are built on a version that another tab has replaced."""


class OutdatedRunError(Exception):
    """The results folder holds another run than the one that is served."""


class DecisionsFile:
    """Decisions on one run, on disk.

    May be used from several threads, but by one process only.

    Parameters
    ----------
    folder : Path
        The results folder.
    run : str
        Tells which run is served.

    Attributes
    ----------
    set_aside : Path or None
        Where decisions on an earlier run were put, which lay in the place of the file.

    Raises
    ------
    ValueError
        If something else than decisions lies in the place of the file.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.path = folder / DECISIONS
        self.set_aside: Path | None = None
        self._run = run
        self._clusters = folder / CLUSTERS
        self._clusters_as_read = _identity(self._clusters)
        self._changing = threading.Lock()
        for left_over in folder.glob(f"{TEMPORARY_PREFIX}{DECISIONS}-*.tmp"):
            left_over.unlink(missing_ok=True)  # by a process that was killed while it saved
        self._document = self._read()

    @property
    def document(self) -> dict[str, Any] | None:
        """What was decided, as the page exports it; None before the first decision."""
        return self._document

    @property
    def version(self) -> int:
        """Number of saves so far."""
        return 0 if self._document is None else self._document["version"]

    def save(self, based_on: int, document: Any) -> int:
        """Write decisions, in one step.

        Parameters
        ----------
        based_on : int
            The version that the page knew when it made them.
        document : dict
            What the page exports, with its steps as ``"review"``.

        Returns
        -------
        version : int
            The new one.

        Raises
        ------
        StaleVersionError
            If `based_on` is not the present version.
        OutdatedRunError
            If the results folder was replaced by that of another run.
        ValueError
            If `document` holds no decisions on this run.
        OSError
            If the file cannot be written; the earlier one is left as it was.
        """
        run, *_ = parse_document(document)
        _check_review(document.get("review"))
        if run != self._run:
            raise ValueError("they were decided on another run")
        with self._changing:
            if based_on != self.version:
                raise StaleVersionError
            if _identity(self._clusters) != self._clusters_as_read:
                raise OutdatedRunError
            document = document | {"version": self.version + 1}
            text = json.dumps(document, allow_nan=False, separators=(",", ":"))
            write_atomically(self.path, text.encode("ascii"))
            self._document = document
            return self.version

    def _read(self) -> dict[str, Any] | None:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            run, *_ = parse_document(document)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise ValueError(
                f"{self.path} cannot be read as decisions: {error}; move it to another place"
            ) from None
        if run != self._run:
            self._set_aside(run)
            return None
        if "review" not in document:  # exported by a page from disk
            return document | {"version": 0}
        try:
            _check_review(document["review"])
            if type(document.get("version")) is not int:
                raise ValueError("its version is no number")
        except ValueError as error:
            raise ValueError(f"{self.path} is damaged: {error}; move it away") from None
        return document

    def _set_aside(self, run: str) -> None:
        name = run if re.fullmatch("[0-9a-f]{1,64}", run) else "other"
        number, target = 1, self.path.with_name(f"decisions-{name}.json")
        while target.exists():
            number += 1
            target = self.path.with_name(f"decisions-{name}-{number}.json")
        self.path.rename(target)
        self.set_aside = target


def _check_review(review: Any) -> None:
    log = review.get("log") if isinstance(review, dict) else None
    cursor = review.get("cursor") if isinstance(review, dict) else None
    if not isinstance(log, list) or type(cursor) is not int or not 0 <= cursor <= len(log):
        raise ValueError("its steps, 'review', are missing or damaged")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
