"""The record of what was done to files, kept so that a kill at any moment loses nothing.

The whole plan is written before the first file is touched. Each step is noted before it begins
and after it has ended; a step that was begun but not ended is looked at again on disk. Lines go
to the system at once, so that only a loss of power could take the last few.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from skscan._files import write_atomically

__all__ = ["JOURNAL", "Journal", "JournalWriter", "Step", "plan_hash"]

JOURNAL = ".skscan-journal.jsonl"
_FORMAT = "skscan journal"
_STEPS_PER_SYNC = 256


@dataclass(frozen=True)
class Step:
    """One file that is made.

    Attributes
    ----------
    do : {"copy", "move", "link", "write"}
    source : str
        The image; for "write", the kind of table.
    target : str
        The new file, below the folder, with ``/``.
    """

    do: str
    source: str
    target: str


class Journal:
    """What was planned for a folder, and how far it has come.

    Parameters
    ----------
    folder : Path
    steps : list of Step
    notes : dict of int to dict
        The last note on each step: its ``"state"``, and what the file was like when it was made.
    """

    def __init__(self, folder: Path, steps: list[Step], notes: dict[int, dict[str, Any]]) -> None:
        self.folder = folder
        self.steps = steps
        self.notes = notes

    @classmethod
    def begin(cls, folder: Path, steps: list[Step], created: list[str]) -> Journal:
        """Write a plan into a folder that has none yet.

        Parameters
        ----------
        folder : Path
            Exists.
        steps : list of Step
        created : list of str
            Folders that were made for it, innermost first.
        """
        header = {
            "format": _FORMAT,
            "format_version": 1,
            "n_steps": len(steps),
            "plan": plan_hash(steps),
            "created": created,
        }
        lines = [json.dumps(header), *(json.dumps(asdict(step)) for step in steps)]
        write_atomically(folder / JOURNAL, ("\n".join(lines) + "\n").encode())
        return cls(folder, steps, {})

    @classmethod
    def read(cls, folder: Path) -> Journal | None:
        """Return the journal of a folder, or None.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        try:
            text = (folder / JOURNAL).read_text(encoding="ascii")
        except (FileNotFoundError, NotADirectoryError):
            return None
        lines = text.split("\n")
        try:
            header = json.loads(lines[0])
            if header["format"] != _FORMAT:
                raise ValueError
            n_steps = int(header["n_steps"])
            steps = [Step(**json.loads(line)) for line in lines[1 : n_steps + 1]]
            if plan_hash(steps) != header["plan"]:
                raise ValueError
            notes: dict[int, dict[str, Any]] = {}
            for line in lines[n_steps + 1 : -1]:  # the last one is empty, or was cut off
                note = json.loads(line)
                notes[int(note["step"])] = note
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"the journal {folder / JOURNAL} is damaged") from error
        return cls(folder, steps, notes)

    @property
    def created(self) -> list[str]:
        """Folders that were made for the plan, innermost first."""
        with (self.folder / JOURNAL).open(encoding="ascii") as file:
            created: list[str] = json.loads(file.readline())["created"]
        return created

    @property
    def is_finished(self) -> bool:
        """Whether all steps are done."""
        return all(self.state(i) == "done" for i in range(len(self.steps)))

    @property
    def is_being_undone(self) -> bool:
        """Whether a step was undone."""
        return any(note["state"] == "undone" for note in self.notes.values())

    def state(self, step: int) -> str:
        """Return "planned", "begun", "done" or "undone"."""
        note = self.notes.get(step)
        return "planned" if note is None else str(note["state"])

    def target(self, step: int) -> Path:
        """Return the file that a step makes."""
        return self.folder / self.steps[step].target

    def writer(self) -> JournalWriter:
        """Open the journal for more notes."""
        return JournalWriter(self)

    def remove(self) -> None:
        """Forget the plan."""
        (self.folder / JOURNAL).unlink()


class JournalWriter:
    """Adds notes to a journal, while it is entered."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> JournalWriter:
        path = self._journal.folder / JOURNAL
        # a line that a kill cut off is ended, so that the next one stands alone
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            whole = file.read() == b"\n"
        self._file = path.open("ab", buffering=0)
        if not whole:
            self._drop_half_a_line(path)
        self._n_noted = 0
        return self

    def _drop_half_a_line(self, path: Path) -> None:
        keep = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, keep)

    def note(self, step: int, state: str, **details: Any) -> None:
        """Note the state of a step."""
        note = {"step": step, "state": state, **details}
        self._file.write(json.dumps(note).encode("ascii") + b"\n")
        self._journal.notes[step] = note
        self._n_noted += 1
        if self._n_noted % _STEPS_PER_SYNC == 0:
            os.fsync(self._file.fileno())

    def __exit__(self, *_: object) -> None:
        os.fsync(self._file.fileno())
        self._file.close()


def plan_hash(steps: list[Step]) -> str:
    """Return a hash that tells plans apart."""
    digest = hashlib.sha256()
    for line in _lines(steps):
        digest.update(line)
    return digest.hexdigest()


def _lines(steps: list[Step]) -> Iterator[bytes]:
    for step in steps:
        yield json.dumps(asdict(step)).encode("ascii")
