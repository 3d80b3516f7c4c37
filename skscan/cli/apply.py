"""``skscan apply``: carry out what was decided in the report, or undo it."""

import os
import sys
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import interrupt, options
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.report import ImagesNow
from skscan.cli.reporting import reports_errors
from skscan.cli.terminal import (
    complain,
    escaped,
    note,
    only_results_on_stdout,
    say,
    say_json,
)
from skscan.report.files import is_results_folder, read_summary

if TYPE_CHECKING:
    from skscan.report.applying.plan import Placement

EXAMPLES = """Examples:

\b
  skscan apply photos-clusters decisions.json --to sorted --mode copy --dry-run
  skscan apply photos-clusters decisions.json --to sorted --mode copy
  skscan apply photos-clusters decisions.json --to sorted --mode move --table coco
  skscan apply photos-clusters --to sorted --undo
"""
_MOST_LISTED = 20


class Mode(StrEnum):
    """What becomes of the images."""

    COPY = "copy"
    MOVE = "move"
    LINK = "link"
    CSV = "csv"


class Table(StrEnum):
    """A table on the images."""

    CSV = "csv"
    PARQUET = "parquet"
    COCO = "coco"
    HUGGINGFACE = "huggingface"


@reports_errors
def apply(
    out: options.ResultsArgument,
    decisions: Annotated[
        Path | None,
        typer.Argument(
            metavar="DECISIONS",
            parser=options.place,
            help="The file that the report exports, decisions.json.",
        ),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="NEWFOLDER", parser=options.place, help="Where everything goes: new."
        ),
    ] = None,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="Copy, move or link the images into a folder for each class, or only write "
            "tables (csv).",
        ),
    ] = None,
    tables: Annotated[
        list[Table] | None,
        typer.Option(
            "--table",
            help="A table beside the folders, can be repeated: labels.csv, labels.parquet (needs "
            "pyarrow), COCO's annotations.json, metadata.csv of Hugging Face's imagefolder.  "
            "[default: csv]",
        ),
    ] = None,
    images: ImagesNow = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and stop there.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before images are moved.")
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Bring everything back to how it was before.")
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Carry out what was decided in the report: a folder for each class.

    Each image goes into NEWFOLDER/CLASS/; rejected ones stay where they are. First the whole plan
    is gone through without touching a file; nothing is ever overwritten. A journal in NEWFOLDER
    lets the same command go on after a kill, and --undo restore what was.
    """
    if not is_results_folder(out):
        raise WrongUse(f"{escaped(str(out))} holds no results of `skscan cluster`")
    if to is None:
        raise WrongUse("--to NEWFOLDER is missing: where everything goes")
    if undo:
        _undo(to, as_json=as_json, quiet=quiet)
        return
    if decisions is None or mode is None:
        missing = "DECISIONS, the file that the report exports," if decisions is None else "--mode"
        raise WrongUse(f"{missing} is missing; see `skscan apply --help`")
    if not decisions.is_file():
        raise WrongUse(f"no such file: {escaped(str(decisions))}")
    _refuse_place(to, out, images or Path(str(read_summary(out)["folder"])))

    from skscan.report.applying.carry_out import carry_out, rehearse, steps_of_plan
    from skscan.report.applying.plan import make_plan
    from skscan.report.applying.tables import check_table
    from skscan.report.decisions import Decisions

    kinds = list(dict.fromkeys(table.value for table in tables or [Table.CSV]))
    try:
        for kind in kinds:
            check_table(kind, mode.value)
    except ValueError as error:
        raise WrongUse(str(error)) from error
    plan = make_plan(out, Decisions.load(decisions, out), mode.value, images)
    steps = steps_of_plan(plan, mode.value, kinds)
    journal = rehearse(to, steps)
    summary = _summarise(plan, to, mode.value, kinds, done=not dry_run)
    if dry_run or not (journal is not None and journal.is_finished):
        if not as_json and not quiet:
            _print_plan(summary, going_on=journal is not None)
        if not dry_run:
            if mode is Mode.MOVE and not yes and not _agrees():
                raise typer.Exit(1)
            interrupt.keep(
                lambda: "The same command goes on from here; with --undo it takes all back."
            )
            with only_results_on_stdout():
                carry_out(to, plan, steps, journal, verbose=int(not quiet))
    else:
        note("note: all of it was done before; nothing was left to do")
    if as_json:
        say_json(summary)
    elif not quiet and dry_run:
        say("nothing was touched (--dry-run)")
    elif not quiet:
        say(f"done       {escaped(str(to))}")
        say(f"undo       skscan apply {escaped(str(out))} --to {escaped(str(to))} --undo")


def _refuse_place(to: Path, out: Path, images: Path) -> None:
    """Refuse a new folder within the results or the images: another run would read it."""
    place = to.resolve()
    if place.is_relative_to(out.resolve()):
        raise WrongUse(f"--to {escaped(str(to))} lies in the results folder; choose another place")
    if images.is_dir() and place.is_relative_to(images.resolve()):
        raise WrongUse(
            f"--to {escaped(str(to))} lies among the images; choose a place outside of "
            f"{escaped(str(images))}"
        )


def _agrees() -> bool:
    if not sys.stdin.isatty():
        return True
    return typer.confirm("Move the images?", default=False, err=True)


def _summarise(
    plan: "list[Placement]", to: Path, mode: str, tables: list[str], *, done: bool
) -> dict[str, Any]:
    sizes = Counter(placed.class_name for placed in plan if not placed.rejected)
    return {
        "to": os.fspath(to),
        "mode": mode,
        "tables": tables,
        "n_images": sum(sizes.values()),
        "n_rejected": sum(placed.rejected for placed in plan),
        "n_moved_by_hand": sum(placed.moved for placed in plan),
        "classes": dict(sizes.most_common()),
        "done": done,
    }


def _print_plan(summary: dict[str, Any], *, going_on: bool) -> None:
    verbs = {"copy": "to copy", "move": "to move", "link": "to link", "csv": "in tables"}
    again = " (going on where it stopped)" if going_on else ""
    say(f"images     {summary['n_images']:,} {verbs[summary['mode']]}{again}")
    if summary["n_rejected"]:
        say(f"rejected   {summary['n_rejected']:,}, which stay where they are")
    classes = list(summary["classes"].items())
    listed = "  ".join(f"{escaped(name)}: {size:,}" for name, size in classes[:_MOST_LISTED])
    more = f"  and {len(classes) - _MOST_LISTED:,} more" if len(classes) > _MOST_LISTED else ""
    say(f"classes    {listed}{more}")


def _undo(to: Path, *, as_json: bool, quiet: bool) -> None:
    from skscan.report.applying.carry_out import undo

    interrupt.keep(lambda: "The same command goes on undoing.")
    with only_results_on_stdout():
        undone = undo(to, verbose=int(not quiet))
    for name, reason in undone.kept[:_MOST_LISTED]:
        complain(f"kept: {escaped(name)}: {reason}")
    if as_json:
        kept = [{"file": name, "reason": reason} for name, reason in undone.kept]
        say_json({"n_undone": undone.n_undone, "kept": kept})
    elif not quiet:
        say(f"undone     {undone.n_undone:,} files")
    if undone.kept:
        raise CommandFailed(
            f"{len(undone.kept):,} files could not be undone; the journal in {to} is kept"
        )
