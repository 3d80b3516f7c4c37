"""``skscan report``: make the page on which classes are looked at and repaired."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skscan.cli import options
from skscan.cli.cache import thumbnail_cache
from skscan.cli.errors import WrongUse
from skscan.cli.reporting import reports_errors
from skscan.cli.terminal import complain, escaped, only_results_on_stdout, say, say_json
from skscan.report.files import is_results_folder

if TYPE_CHECKING:
    from skscan.report.page import Report

EXAMPLES = """Examples:

\b
  skscan report photos-clusters                        # writes photos-clusters/report.html
  skscan report photos-clusters --images /mnt/photos   # the images have been moved there
"""

ImagesNow = Annotated[
    Path | None,
    typer.Option(
        "--images",
        metavar="FOLDER",
        parser=options.place,
        help="The folder or zip of the images, where it is no longer where it was.",
    ),
]


@reports_errors
def report(
    out: options.ResultsArgument,
    images: ImagesNow = None,
    as_json: options.Json = False,
    jobs: options.Jobs = None,
    quiet: options.Quiet = False,
) -> None:
    """Make the page on which classes are looked at, named and repaired: OUT/report.html.

    It is one file that opens in a browser from disk and asks no network for anything; past 5,000
    images, thumbnails lie beside it in report_files/. What is decided in it is exported as
    decisions.json, and carried out by `skscan apply`.
    """
    if not is_results_folder(out):
        raise WrongUse(f"{escaped(str(out))} holds no results of `skscan cluster`")
    if images is not None and not images.exists():
        raise WrongUse(f"no such folder or zip: --images {escaped(str(images))}")
    from skscan.report.page import write_report

    with only_results_on_stdout():
        written = write_report(
            out,
            images=images,
            thumbnail_cache=thumbnail_cache(),
            n_jobs=jobs,
            verbose=int(not quiet),
        )
    warn_of_missing(written)
    if as_json:
        result = {"report": str(written.path), "n_images": written.n_images}
        say_json(result | {"n_missing": written.n_missing})
    elif not quiet:
        say(f"open       {escaped(str(written.path))}")
        say(
            f"next       skscan apply {escaped(str(out))} decisions.json --to NEWFOLDER --mode copy"
        )


def warn_of_missing(written: "Report") -> None:
    """Say that images were not found any more."""
    if written.n_missing:
        complain(
            f"warning: {written.n_missing:,} of {written.n_images:,} images can no longer be read, "
            "and are blank in the report; --images FOLDER tells where they lie now"
        )
