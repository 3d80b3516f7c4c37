"""``skscan serve``: the report as a live page on this machine."""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from skscan.report.files import DECISIONS, is_results_folder

if TYPE_CHECKING:
    from skscan.serving import ReportServer

EXAMPLES = """Examples:

\b
  skscan serve photos-clusters                        # says which address to open; Ctrl-C ends it
  skscan serve photos-clusters --images /mnt/photos   # the images have been moved there
  skscan apply photos-clusters photos-clusters/decisions.json --to sorted --mode copy
"""
_NEEDED = ("starlette", "uvicorn", "filelock")


@reports_errors
def serve(
    out: options.ResultsArgument,
    images: ImagesNow = None,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            metavar="N",
            parser=options.whole_number(0, 65535),
            help="Where to listen; 0 is any free port.",
        ),
    ] = 0,
    max_shown: Annotated[
        int,
        typer.Option(
            "--max-images",
            metavar="N",
            parser=options.whole_number(1),
            help="Of more images, a sample of so many is on the page.",
        ),
    ] = 50_000,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Show the report as a live page, for this computer only.

    Unlike OUT/report.html, the page makes thumbnails as they are looked at, saves decisions at once
    to OUT/decisions.json, and sorts new images that are dropped into it. It can be open in several
    tabs. It listens on 127.0.0.1 alone, and its address holds a secret: share it with nobody.
    """
    if not is_results_folder(out):
        raise WrongUse(f"{escaped(str(out))} holds no results of `skscan cluster`")
    if images is not None and not images.exists():
        raise WrongUse(f"no such folder or zip: --images {escaped(str(images))}")
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise CommandFailed(
            f"`skscan serve` needs {' and '.join(missing)}: pip install 'skscan[serve]'"
        )
    interrupt.keep(lambda: _what_is_kept(out))
    _log_to_stderr()
    from skscan.serving import ReportServer

    note("reading the results …")
    with only_results_on_stdout():
        server = ReportServer(out, images=images, port=port, max_shown=max_shown)
    with server:
        _announce(server, out, as_json=as_json, quiet=quiet)
        with only_results_on_stdout():
            server.run()


def _what_is_kept(out: Path) -> str:
    if not (out / DECISIONS).exists():
        return "The page has ended; nothing was decided in it."
    return f"The page has ended; decisions are in {escaped(str(out / DECISIONS))}."


def _announce(server: "ReportServer", out: Path, *, as_json: bool, quiet: bool) -> None:
    if server.decisions.set_aside is not None:
        note(
            "note: decisions on an earlier run lay in OUT; they are now in "
            f"{escaped(str(server.decisions.set_aside))}"
        )
    if not server.finds_images:
        note(
            "warning: the images are not where they were, and are blank on the page; "
            "--images FOLDER tells where they lie now"
        )
    if as_json:
        say_json({"address": server.address, "n_images": server.n_images})
        return
    say(f"open       {server.address}")
    if not quiet:
        say(f"saved to   {escaped(str(server.decisions.path))}")
        say(
            f"next       skscan apply {escaped(str(out))} {escaped(str(server.decisions.path))} "
            "--to NEWFOLDER --mode copy"
        )
        say("stop       Ctrl-C")


class _Notes(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        complain("\n".join(escaped(line) for line in self.format(record).splitlines()))


def _log_to_stderr() -> None:
    """Show what was refused, and what the server itself complains of."""
    for name in ("skscan.serving", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [_Notes(logging.WARNING)]
        logger.propagate = False
