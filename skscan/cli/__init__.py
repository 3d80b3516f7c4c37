"""The ``skscan`` command.

Results go to stdout or files; progress, warnings and errors to stderr. Exit codes: 0 success, 1
failed, 2 wrong use (bad options, a missing folder, no image in it, more clusters than images),
130 interrupted.
"""

from typing import Annotated

import typer

from skscan import __version__
from skscan.cli import (
    apply,
    bench,
    cluster,
    convert,
    evaluate,
    export,
    extract,
    info,
    interrupt,
    predict,
    report,
    reproduce,
    serve,
    update,
)
from skscan.cli.errors import INTERRUPTED
from skscan.cli.terminal import show_warnings_as_lines

app = typer.Typer(
    name="skscan",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    epilog="""Examples:

\b
  skscan cluster photos -k 10            # sort a folder of images into ten clusters
  skscan apply photos-clusters decisions.json --to sorted --mode copy  # as reviewed in report.html
  skscan update photos-clusters          # sort what the folder has gained into the same clusters
  skscan predict photos-clusters more    # sort new images into the same clusters
  skscan evaluate photos-clusters        # folder names are the classes: how good is it?

`skscan COMMAND --help` tells more.""",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"skscan {__version__}")
        raise typer.Exit


@app.callback()
def _skscan(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Sort images into semantic classes without labels."""


app.command(epilog=cluster.EXAMPLES)(cluster.cluster)
app.command(epilog=update.EXAMPLES)(update.update)
app.command(epilog=predict.EXAMPLES)(predict.predict)
app.command(epilog=report.EXAMPLES)(report.report)
app.command(epilog=serve.EXAMPLES)(serve.serve)
app.command(epilog=apply.EXAMPLES)(apply.apply)
app.command(epilog=evaluate.EXAMPLES)(evaluate.evaluate)
app.command(epilog=extract.EXAMPLES)(extract.extract)
app.command(epilog=export.EXAMPLES)(export.export)
app.command(epilog=convert.EXAMPLES)(convert.convert)
app.command(epilog=reproduce.EXAMPLES)(reproduce.reproduce)
app.command(epilog=info.EXAMPLES)(info.info)
app.command(epilog=bench.EXAMPLES)(bench.bench)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; entry point of the ``skscan`` script.

    Parameters
    ----------
    arguments : list of str, optional
        By default those that the process was started with.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    show_warnings_as_lines()
    with interrupt.ends_within_a_second():
        try:
            app(arguments, prog_name="skscan")
        except SystemExit as end:
            if end.code == INTERRUPTED:
                interrupt.leave_now()
            raise
