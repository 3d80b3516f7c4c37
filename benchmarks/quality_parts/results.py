"""The file of results: a line of JSON for each finished cell, appended in one write."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Cell", "ResultsFile"]

Record = dict[str, Any]


class Cell(NamedTuple):
    """One run of one method on one problem."""

    problem: str
    method: str
    seed: int


class ResultsFile:
    """Results by cell; of several records of one cell the last counts.

    A line that was cut off, as by a power failure, is passed over, and the next record begins a
    line of its own.

    Parameters
    ----------
    path : Path
        Made with its folder when the first record is added.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[Cell, Record]:
        """Return the records of all cells."""
        if not self.path.exists():
            return {}
        records = {}
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                record = json.loads(line)
                cell = Cell(record["problem"], record["method"], record["seed"])
            except (ValueError, KeyError, TypeError):
                continue
            records[cell] = record
        return records

    def add(self, cell: Cell, record: Record) -> None:
        """Append the record of a cell."""
        line = json.dumps({**cell._asdict(), **record}, ensure_ascii=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            if not self._ends_a_line():
                line = "\n" + line
            os.write(file.fileno(), line.encode())
            os.fsync(file.fileno())

    def _ends_a_line(self) -> bool:
        with open(self.path, "rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return True
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"
