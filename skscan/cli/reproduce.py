"""``skscan reproduce``: run a row of the paper's tables and compare."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from skscan.cli import interrupt, options
from skscan.cli.errors import WrongUse
from skscan.cli.reporting import reports_errors
from skscan.cli.terminal import escaped, note, only_results_on_stdout, say, say_json

EXAMPLES = """Examples:

\b
  skscan reproduce cifar10 --data data                      # data/cifar-10-batches-py
  skscan reproduce cifar10 --data data --scale 0.01         # the whole pipeline in minutes
  skscan reproduce stl10 --data data --stage scan --seeds 3
  skscan reproduce imagenet50 --data imagenet --weights moco_v2_800ep_pretrain.pth.tar

Names: cifar10, cifar100-20, stl10, imagenet50, imagenet100, imagenet200, imagenet1000,
imagenet1000-few-labels (against a classifier that is given 1 % of the labels).
"""


class Stage(StrEnum):
    """A stage of the paper."""

    PRETEXT = "pretext"
    MINING = "mining"
    SCAN = "scan"
    SELF_LABEL = "self-label"
    OVERCLUSTER = "overcluster"
    FEW_LABELS = "few-labels"


class Variant(StrEnum):
    """How to treat the defects of the original."""

    SOUND = "sound"
    FAITHFUL = "faithful"


class Precision(StrEnum):
    """Numbers that a network is trained with."""

    NO = "no"
    BF16 = "bf16"
    FP16 = "fp16"


@reports_errors
def reproduce(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The row: a data set of the paper; see below.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            metavar="DIR",
            parser=options.place,
            help="Folder of the data set: CIFAR's Python or binary files, STL-10's binary files, "
            "ImageNet's train/<wnid>/ and val/<wnid>/, or train/<class>/ and test/<class>/ (also "
            "a zip). Labels serve the evaluation only.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            parser=options.place,
            help="Folder for results; [default: NAME-reproduced]. The same command goes on where "
            "an earlier one ended or was killed.",
        ),
    ] = None,
    stage: Annotated[
        Stage | None,
        typer.Option("--stage", help="Run only this stage and those that it needs."),
    ] = None,
    scale: Annotated[
        float,
        typer.Option(
            "--scale",
            metavar="S",
            help="Above 0, at most 1: shrink data, epochs and width together; 0.01 runs every "
            "stage in minutes. Figures are then not comparable.",
        ),
    ] = 1.0,
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds",
            metavar="N",
            parser=options.whole_number(1),
            help="Runs of the stages after the pretext task, as in the paper.",
        ),
    ] = 10,
    variant: Annotated[
        Variant,
        typer.Option(
            "--variant",
            help="Mend the defects of the original (such as choosing by test images), or keep "
            "them.",
        ),
    ] = Variant.SOUND,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="PATH",
            help="A file of a pretext network, of the authors or of MoCo-v2, instead of training "
            "one.",
        ),
    ] = None,
    precision: Annotated[
        Precision, typer.Option("--precision", help="Precision of networks in training.")
    ] = Precision.NO,
    compile_networks: Annotated[
        bool, typer.Option("--compile", help="Let torch compile networks first; pays on a GPU.")
    ] = False,
    device: options.Device = "auto",
    jobs: options.Jobs = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run a row of the paper's tables and print ours beside the paper's.

    The pretext task runs once, the later stages for each seed. Results go to OUT/results.json,
    after every stage and seed.
    """
    from skscan.recipes import Machine, OutputMismatchError, comparison_table, load_recipe
    from skscan.recipes import reproduce as run

    if not data.exists():
        raise WrongUse(f"no such folder or zip: --data {escaped(str(data))}")
    if weights is not None and not weights.is_file():
        raise WrongUse(f"no such file: --weights {escaped(str(weights))}")
    if not 0 < scale <= 1:
        raise WrongUse(f"--scale takes a number above 0 and at most 1, got {scale:g}")
    try:
        recipe = load_recipe(name, variant)
    except ValueError as error:
        raise WrongUse(str(error)) from None
    if stage is not None and stage not in recipe.stages:
        raise WrongUse(f"{name} has no stage {stage.value}; it has {', '.join(recipe.stages)}")
    if recipe.pretext.weights_url is not None and weights is None:
        note(
            f"note: the authors began with a network that is given: {recipe.pretext.weights_url} "
            "(--weights); without it one is trained here"
        )
    out = out or Path(f"{name}-reproduced")
    interrupt.keep(
        lambda: f"What is finished is in {escaped(str(out))}; the same command goes on from there."
    )
    try:
        with only_results_on_stdout():
            result = run(
                name,
                data,
                out,
                variant=variant.value,
                stage=None if stage is None else stage.value,
                scale=scale,
                n_seeds=seeds,
                weights=weights,
                machine=Machine(device, precision.value, compile_networks, jobs, int(not quiet)),
                report=note,
            )
    except OutputMismatchError as error:
        raise WrongUse(str(error)) from error
    if as_json:
        say_json(result)
    elif not quiet:
        _print(result, comparison_table(result["rows"]))


def _print(result: dict[str, Any], table: str) -> None:
    say(f"{result['title']} ({result['variant']}), test split, per cent")
    say()
    say(table)
    if result["notes"]:
        say()
        for remark in result["notes"]:
            say(f"note: {escaped(remark)}")
    say()
    say(f"results: {escaped(result['out'])}")
