"""Carry a plan out step by step, go on after a kill, and undo it. Nothing is ever overwritten."""

from __future__ import annotations

import contextlib
import errno
import filecmp
import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skscan._progress import progress
from skscan.images.archives import split_archive_path
from skscan.images.names import printable
from skscan.report.applying.journal import Journal, JournalWriter, Step, plan_hash
from skscan.report.applying.plan import Placement
from skscan.report.applying.tables import TABLES, read_source, table_bytes

__all__ = ["Undone", "carry_out", "rehearse", "steps_of_plan", "undo"]

_PARTIAL = ".skscan-partial"
_NO_HARD_LINKS = {
    errno.EXDEV,
    errno.EPERM,
    errno.EMLINK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.EACCES,
}


def steps_of_plan(plan: list[Placement], mode: str, tables: list[str]) -> list[Step]:
    """Return the files that a plan makes: images first, then tables that speak of them."""
    steps = [
        Step(mode, placed.source, placed.target) for placed in plan if placed.target is not None
    ]
    return steps + [Step("write", kind, TABLES[kind][0]) for kind in tables]


def rehearse(folder: Path, steps: list[Step]) -> Journal | None:
    """Go through all steps without touching a file, so that nothing fails half-way.

    Parameters
    ----------
    folder : Path
        Where everything goes.
    steps : list of Step

    Returns
    -------
    journal : Journal or None
        That of an earlier, killed attempt at the same plan, to go on from.

    Raises
    ------
    ValueError
        If a step cannot be done; the message says what to change.
    """
    journal = Journal.read(folder)
    if journal is None:
        _refuse_content(folder)
    elif journal.is_being_undone:
        raise ValueError(f"{folder} is being undone; finish that with --undo")
    elif plan_hash(journal.steps) != plan_hash(steps):
        raise ValueError(
            f"{folder} holds what other decisions or another mode made; undo that first with "
            "--undo, or choose another folder"
        )
    open_steps = [i for i in range(len(steps)) if journal is None or journal.state(i) == "planned"]
    missing = [i for i in open_steps if not _is_there(steps[i])]
    if missing:
        first = printable(steps[missing[0]].source)
        raise ValueError(
            f"{len(missing):,} of {len(steps):,} images are not where they were, such as {first}; "
            "where they lie now is told with --images FOLDER"
        )
    for i in open_steps:
        _refuse_odd_source(steps[i])
    taken = [i for i in open_steps if journal is not None and os.path.lexists(journal.target(i))]
    if taken:
        assert journal is not None
        raise ValueError(f"{printable(str(journal.target(taken[0])))} is there already")
    _refuse_lack_of_room(folder, [steps[i] for i in open_steps])
    return journal


def _refuse_content(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; --to takes a folder")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty; choose a folder that is new")


def _is_there(step: Step) -> bool:
    if step.do == "write":
        return True
    inside = split_archive_path(step.source)
    return inside is not None or os.path.isfile(step.source)


def _refuse_odd_source(step: Step) -> None:
    if step.do not in ("move", "link"):
        return
    if split_archive_path(step.source) is not None:
        raise ValueError(f"images in a zip cannot be taken out by a {step.do}; use --mode copy")
    if step.do == "move" and os.path.islink(step.source):
        raise ValueError(
            f"{printable(step.source)} is a link, which may lead nowhere from another place; "
            "use --mode copy or link"
        )


def _refuse_lack_of_room(folder: Path, steps: list[Step]) -> None:
    needed = 0
    for step in steps:
        if step.do == "copy":
            inside = split_archive_path(step.source)
            with contextlib.suppress(OSError):
                needed += os.path.getsize(step.source) if inside is None else 0
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise ValueError(
            f"{folder} has room for {free / 1e9:.1f} GB, and {needed / 1e9:.1f} GB are needed"
        )


def carry_out(
    folder: Path,
    plan: list[Placement],
    steps: list[Step],
    journal: Journal | None = None,
    *,
    verbose: int = 0,
) -> Journal:
    """Do all steps that are not done yet.

    Parameters
    ----------
    folder : Path
        Made, with its parents, if it does not exist.
    plan : list of Placement
        What tables are made of.
    steps : list of Step
    journal : Journal or None, default=None
        As `rehearse` has returned it.
    verbose : int, default=0

    Returns
    -------
    Journal

    Raises
    ------
    OSError
        If a file cannot be made, for instance because another one has come to its place since the
        rehearsal. What was done so far is noted: the same call goes on, and `undo` undoes it.
    """
    if journal is None:
        whole = folder.absolute()
        created = [str(path) for path in (whole, *whole.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal.begin(folder, steps, created)
    (folder / _PARTIAL).unlink(missing_ok=True)
    numbers = [i for i in range(len(steps)) if journal.state(i) != "done"]
    with journal.writer() as writer:
        for i in progress(numbers, desc="files", unit="file", verbose=verbose):
            target = journal.target(i)
            if not (journal.state(i) == "begun" and _was_done(journal, i)):
                target.parent.mkdir(parents=True, exist_ok=True)
                if steps[i].do == "write":
                    content = table_bytes(steps[i].source, plan, folder)
                    writer.note(i, "begun", sha256=hashlib.sha256(content).hexdigest())
                    _make(target, folder, partial(_write, content))
                else:
                    writer.note(i, "begun")
                    _do(steps[i], target, folder)
            status = os.lstat(target)
            writer.note(i, "done", size=status.st_size, mtime_ns=status.st_mtime_ns)
    return journal


def _do(step: Step, target: Path, folder: Path) -> None:
    if step.do == "link":
        os.symlink(step.source, target)
    elif step.do == "move":
        _move(Path(step.source), target, folder)
    else:
        _make(target, folder, partial(_copy, step.source))


def _was_done(journal: Journal, i: int) -> bool:
    """Whether a step that was begun has made its file; puts the half of a move right."""
    step, target = journal.steps[i], journal.target(i)
    if not os.path.lexists(target):
        return False
    if step.do == "move" and not os.path.lexists(step.source):
        return True
    if _is_ours(journal, i):
        if step.do == "move":  # the file has both names, or was copied whole: the new one stays
            os.unlink(step.source)
        return True
    if step.do in ("copy", "move", "write") and os.lstat(target).st_size == 0:
        os.unlink(target)  # a name that was taken for a file to come
        return False
    raise FileExistsError(errno.EEXIST, "another file is in the way", str(target))


def _is_same(source: str, target: Path) -> bool:
    if split_archive_path(source) is not None:
        return read_source(source) == target.read_bytes()
    return os.path.samefile(source, target) or filecmp.cmp(source, target, shallow=False)


def _write(content: bytes, unnamed: Path) -> None:
    unnamed.write_bytes(content)


def _copy(source: str, unnamed: Path) -> None:
    if split_archive_path(source) is None:
        shutil.copyfile(source, unnamed)
        shutil.copystat(source, unnamed)
    else:
        unnamed.write_bytes(read_source(source))


def _make(target: Path, folder: Path, write: Callable[[Path], object]) -> None:
    """Make a file whole or not at all, and only where there is none."""
    unnamed = folder / _PARTIAL
    unnamed.unlink(missing_ok=True)
    write(unnamed)
    _publish(unnamed, target)


def _publish(unnamed: Path, target: Path) -> None:
    """Give a file its name, unless another one has it."""
    try:
        os.link(unnamed, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        # a file system without hard links: take the name first, which fails where it is taken
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.replace(unnamed, target)
        return
    os.unlink(unnamed)


def _move(source: Path, target: Path, folder: Path) -> None:
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _make(target, folder, partial(_copy_safely, source))
    os.unlink(source)


def _copy_safely(source: Path, unnamed: Path) -> None:
    """Copy to the disk itself: the original is removed afterwards."""
    shutil.copyfile(source, unnamed)
    shutil.copystat(source, unnamed)
    with unnamed.open("rb+") as file:
        os.fsync(file.fileno())


@dataclass(frozen=True)
class Undone:
    """What `undo` did.

    Attributes
    ----------
    n_undone : int
        Files that were removed or moved back.
    kept : list of (str, str)
        Files that were left where they are, and why.
    """

    n_undone: int
    kept: list[tuple[str, str]]


def undo(folder: Path, *, verbose: int = 0) -> Undone:
    """Bring everything back to how it was before `carry_out`; can be killed and called again.

    Files that were changed since, and originals whose place was taken, are left and named.

    Raises
    ------
    ValueError
        If nothing was carried out in `folder`.
    """
    journal = Journal.read(folder)
    if journal is None:
        raise ValueError(f"{folder} holds no journal of `skscan apply`: there is nothing to undo")
    created = journal.created
    n_undone, kept = 0, []
    numbers = [i for i in range(len(journal.steps)) if journal.state(i) in ("begun", "done")]
    with journal.writer() as writer:
        for i in progress(numbers[::-1], desc="undo", unit="file", verbose=verbose):
            reason = _undo_step(journal, i, writer)
            if reason is None:
                n_undone += 1
            else:
                kept.append((str(journal.target(i)), reason))
    (folder / _PARTIAL).unlink(missing_ok=True)
    parents = {journal.target(i).parent for i in range(len(journal.steps))} - {folder}
    for parent in sorted(parents, reverse=True):
        with contextlib.suppress(OSError):
            parent.rmdir()
    if not kept:
        journal.remove()
        for name in created:
            with contextlib.suppress(OSError):
                os.rmdir(name)
    return Undone(n_undone, kept)


def _undo_step(journal: Journal, i: int, writer: JournalWriter) -> str | None:
    """Undo a step; return why not, if it cannot be."""
    step, target = journal.steps[i], journal.target(i)
    if not os.path.lexists(target):
        gone = step.do == "move" and not os.path.lexists(step.source)
        if gone:
            return "it is gone"
    elif step.do == "move":
        reason = _move_back(step, target, journal.folder)
        if reason is not None:
            return reason
    elif _is_ours(journal, i):
        os.unlink(target)
    else:
        return "it was changed since"
    writer.note(i, "undone")
    return None


def _is_ours(journal: Journal, i: int) -> bool:
    step, target, note = journal.steps[i], journal.target(i), journal.notes[i]
    if step.do == "link":
        return os.path.islink(target) and os.readlink(target) == step.source
    status = os.lstat(target)
    if not stat.S_ISREG(status.st_mode):
        return False
    if note["state"] == "done":
        return (status.st_size, status.st_mtime_ns) == (note["size"], note["mtime_ns"])
    # killed within the step: what it makes appears whole
    if step.do == "write":
        return hashlib.sha256(target.read_bytes()).hexdigest() == note["sha256"]
    return _is_there(step) and _is_same(step.source, target)


def _move_back(step: Step, target: Path, folder: Path) -> str | None:
    source = Path(step.source)
    if os.path.lexists(source):
        if not _is_same(step.source, target):
            return "another file has taken its place"
        os.unlink(target)  # killed between the two halves of a move
        return None
    source.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(target, source)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        unnamed = source.parent / f"{_PARTIAL}-{os.getpid()}"
        _copy_safely(target, unnamed)
        _publish(unnamed, source)
    os.unlink(target)
    return None
