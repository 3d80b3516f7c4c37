"""Options that several commands share, each described once."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EMBEDDED_BACKBONE = "efficientnet_lite0"
PIXELS = "pixels"
DEFAULT = "default"
AUTO = "auto"
DEFAULT_IMAGE_SIZE = 128
MAX_VIEWS = 8


class Effort(StrEnum):
    """How much time to spend on a better clustering."""

    FAST = "fast"
    DEFAULT = "default"
    BEST = "best"


class Engine(StrEnum):
    """What runs the backbone."""

    AUTO = "auto"
    TORCH = "torch"
    COMPILE = "compile"
    ONNX = "onnx"
    OPENVINO = "openvino"


class Precision(StrEnum):
    """Numbers that the backbone computes with."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class OnUnreadable(StrEnum):
    """What to do about an image that cannot be read."""

    SKIP = "skip"
    RAISE = "raise"


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """Return a parser of whole numbers whose error says what was got and what is taken."""
    wanted = f"a whole number of at least {minimum}"
    if maximum is not None:
        wanted = f"a whole number from {minimum} to {maximum}"

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise typer.BadParameter(f"got {text!r}, takes {wanted}") from None
        if number < minimum or (maximum is not None and number > maximum):
            raise typer.BadParameter(f"got {number}, takes {wanted}")
        return number

    return parse


def n_clusters(text: str) -> int | str:
    """Parse a number of clusters, or "auto"."""
    return AUTO if text.strip() == AUTO else _at_least_one(text, f"'{AUTO}'")


def jobs(text: str) -> int:
    """Parse a number of workers: -1, or at least 1."""
    return -1 if text.strip() == "-1" else _at_least_one(text, "-1 for each core")


def _at_least_one(text: str, other: str) -> int:
    """Parse a number of at least 1; an error says what other value is taken."""
    try:
        return whole_number(1)(text)
    except typer.BadParameter as error:
        raise typer.BadParameter(f"{error.message}, or {other}") from None


def place(text: str) -> Path:
    """Parse a path; an empty one, say of a variable that is not set, would mean this folder."""
    if not text:
        raise typer.BadParameter("got an empty name, takes a path; '.' is the current folder")
    return Path(text)


ImagesArgument = Annotated[
    Path,
    typer.Argument(
        metavar="FOLDER", parser=place, help="A folder of images, with sub-folders, or a zip."
    ),
]
ResultsArgument = Annotated[
    Path,
    typer.Argument(metavar="OUT", parser=place, help="The results folder of `skscan cluster`."),
]
Backbone = Annotated[
    str,
    typer.Option(
        "--backbone",
        metavar="NAME",
        help=f"What turns images into features: '{EMBEDDED_BACKBONE}' (comes with skscan; trained "
        f"with ImageNet labels), '{PIXELS}' (for small grey images), or any timm model. "
        f"'{DEFAULT}' takes the first for colour images, and for grey ones either of the first two "
        "or both, as suits them.",
    ),
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="PATH",
        help="Weights of the backbone, a local file (safetensors or torch).",
    ),
]
ImageSize = Annotated[
    int,
    typer.Option(
        "--image-size",
        metavar="N",
        parser=whole_number(16, 1024),
        help="Side in pixels at which the backbone sees the images.",
    ),
]
ImageSizeOfEffort = Annotated[
    int | None,
    typer.Option(
        "--image-size",
        metavar="N",
        parser=whole_number(16, 1024),
        help="Side in pixels at which the backbone sees the images.  [default: 128; 128 and 176 "
        "side by side with --effort best and the default backbone]",
    ),
]
Views = Annotated[
    int | None,
    typer.Option(
        "--views",
        metavar="N",
        parser=whole_number(1, MAX_VIEWS),
        help="Average the features of so many views of each image, at so many times the cost: as "
        "it is, mirrored, and closer up.  [default: 4 with --effort best, or 2 at each of two "
        "sizes; else 1]",
    ),
]
Errors = Annotated[
    OnUnreadable,
    typer.Option("--errors", help="An image that cannot be read: skip and list it, or stop."),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        parser=jobs,
        help="Processes that decode images; -1 is one for each core.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.")
]
EngineOption = Annotated[
    Engine,
    typer.Option(
        "--engine",
        help="What runs the backbone. 'auto' is torch on a GPU, on a CPU the one that "
        "`skscan bench --tune` has kept for this machine, else ONNX Runtime.",
    ),
]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="Numbers of the backbone. bfloat16 is faster on CPUs that have it, with openvino "
        "above all, and changes the features a little.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout instead.")]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No progress bars, no warnings and no summary, only errors."
    ),
]
OnlyResult = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="No remarks and no warnings; the result is printed all the same."
    ),
]
"""For commands whose result is what they print; `reports_errors` sees to it."""
