"""``skscan export``: the model of a run as one file for other programs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import options
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.inputs import find_images
from skscan.cli.predict import is_model, load_model, load_sorter, use_settings
from skscan.cli.reporting import reports_errors
from skscan.cli.tables import check_output_file
from skscan.cli.terminal import escaped, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    from skscan.interop import OnnxExport

EXAMPLES = """Examples:

\b
  skscan export photos-clusters -o sorter.onnx
  skscan export photos-clusters -o sorter.onnx --check photos
"""


class Format(StrEnum):
    """Which form of file to write."""

    ONNX = "onnx"


@reports_errors
def export(
    model: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL",
            parser=options.place,
            help="The results folder of `skscan cluster`, or a model that `skscan convert` or "
            "skscan.save wrote.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", parser=options.place, help="Where to write."
        ),
    ],
    file_format: Annotated[
        Format, typer.Option("--format", help="The form of the file.")
    ] = Format.ONNX,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check",
            metavar="FOLDER",
            parser=options.place,
            help="A folder or zip of images to check the file on (64 of them).  [default: images "
            "that are made up]",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a model as one file from images to probabilities, for use without skscan.

    The file takes images as arrays: uint8, (batch, height, width, 3), RGB, of any size. It gives
    (batch, clusters): the probability of each cluster. Resizing and normalisation are inside, so
    that a runtime of ONNX is all that is needed. Before it is written, it is run beside the model
    on the same images; what came of that is shown, and how fast it is on this machine.
    """
    check_output_file(out)
    if out.suffix != f".{file_format.value}":
        raise WrongUse(f"-o {out}: the name must end in .{file_format.value}")
    images = None if check is None else find_images(check)
    estimator = load_sorter(model) if is_model(model) else load_model(model)
    use_settings(estimator, verbose=int(not quiet))
    from skscan.exceptions import ExportError
    from skscan.interop import export_onnx

    try:
        with only_results_on_stdout():
            written = export_onnx(estimator, out, images)
    except (ExportError, ImportError) as error:
        raise CommandFailed(str(error)) from error
    if as_json:
        say_json(_described(written))
    elif not quiet:
        _print(written)


def _described(written: "OnnxExport") -> dict[str, Any]:
    return {
        "file": written.path,
        "n_bytes": written.n_bytes,
        "class_names": written.class_names,
        "image_size": written.image_size,
        "n_checked": written.n_checked,
        "largest_difference": written.largest_difference,
        "tolerance": written.tolerance,
        "label_agreement": written.label_agreement,
        "milliseconds": round(written.milliseconds, 3),
        "images_per_second": round(written.images_per_second, 1),
    }


def _print(written: "OnnxExport") -> None:
    say(
        f"check      {written.n_checked} images: probabilities differ by at most "
        f"{written.largest_difference:.1g} (taken up to {written.tolerance:g}), "
        f"{written.label_agreement:.1%} of labels equal"
    )
    say(
        f"speed      {written.milliseconds:.1f} ms for one image of 128 x 128, "
        f"{written.images_per_second:.0f} images/s in batches of 32"
    )
    say(f"classes    {len(written.class_names)}: {escaped(', '.join(written.class_names))}")
    say(f"results    {escaped(written.path)} ({written.n_bytes / 1e6:.1f} MB)")
