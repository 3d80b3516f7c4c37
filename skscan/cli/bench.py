"""``skscan bench``: how fast this machine is at each stage, and what to change."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import options
from skscan.cli.errors import WrongUse
from skscan.cli.inputs import find_images
from skscan.cli.reporting import reports_errors
from skscan.cli.terminal import escaped, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    from skscan.benchmarking import BenchmarkResult
    from skscan.engines.tuning import TuningResult

EXAMPLES = """Examples:

\b
  skscan bench photos          # a sample of these images
  skscan bench                 # without images of your own: generated ones
  skscan bench --tune          # measures the engines longer, and keeps the fastest for this machine
  skscan bench --forget        # removes what --tune has kept: the usual engine is taken again
  skscan bench photos --json > speed.json
"""

_PLANNED_WITHOUT_FOLDER = 10_000


@reports_errors
def bench(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]",
            parser=options.place,
            help="A folder or zip of images; without one, images are generated.",
        ),
    ] = None,
    n: Annotated[
        int,
        typer.Option(
            "-n",
            "--sample",
            metavar="N",
            parser=options.whole_number(32, 100_000),
            help="How many of the images are looked at.",
        ),
    ] = 512,
    image_size: options.ImageSize = options.DEFAULT_IMAGE_SIZE,
    jobs: options.Jobs = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune",
            help="Measure all engines for about a minute, and keep the fastest for this machine.",
        ),
    ] = False,
    forget: Annotated[
        bool,
        typer.Option(
            "--forget", help="Remove the engine that --tune has kept for this machine, and end."
        ),
    ] = False,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure each stage on this machine with your images, and say what to change.

    A sample is decoded and put through the network, and 4,000 generated features are sorted: a
    quarter of a minute. Times are scaled to the images of FOLDER, but to 500,000 at most, beyond
    which neighbors are searched in another way; without FOLDER to 10,000. Stages of many small
    steps are held against no limit. The network is exported once and kept in the cache folder, as
    by any other command; besides, only --tune writes anything.
    """
    if forget:
        if folder is not None or tune:
            raise WrongUse("--forget takes neither FOLDER nor --tune: it measures nothing.")
        _forget(as_json)
        return
    verbose = int(not quiet)
    if folder is not None and not folder.exists():
        raise WrongUse(f"no such folder or zip: {escaped(str(folder))}")
    found = None if folder is None else find_images(folder)
    tuned = None
    with only_results_on_stdout():
        if tune:
            from skscan.engines.tuning import tune as tune_engines

            tuned = tune_engines(image_size=image_size, verbose=verbose)
        result = _measure(found, n, image_size, jobs, verbose)
    if as_json:
        from dataclasses import asdict

        described: dict[str, Any] = {"folder": None if folder is None else str(folder)}
        described |= result.to_dict()
        if tuned is not None:
            described["tuned"] = asdict(tuned) | {"path": str(tuned.path)}
        say_json(described)
    else:
        _print(result, folder, tuned)


def _forget(as_json: bool) -> None:
    from skscan.engines.tuning import forget_choice

    forgotten = forget_choice()
    if as_json:
        say_json({"forgotten": forgotten})
    else:
        say("forgotten: the usual engine is taken" if forgotten else "nothing was kept")


def _measure(
    found: list[str] | None, n: int, image_size: int, jobs: int | None, verbose: int
) -> "BenchmarkResult":
    from skscan.benchmarking import generated_images, measure, sampled

    settings: dict[str, Any] = {"image_size": image_size, "n_jobs": jobs, "verbose": verbose}
    if found is not None:
        return measure(sampled(found, n), len(found), **settings)
    with generated_images(n) as paths:
        return measure(paths, _PLANNED_WITHOUT_FOLDER, **settings)


def _print(result: "BenchmarkResult", folder: Path | None, tuned: "TuningResult | None") -> None:
    source = "generated" if folder is None else f"from {escaped(str(folder))}"
    say(f"machine    {result.n_cores} cores, {result.gflops:.0f} GFLOP/s in float32")
    say(f"sample     {result.n_sampled:,} images, {source}")
    if tuned is not None:
        say(f"tuned      {tuned.chosen} is kept as the engine, in {escaped(str(tuned.path))}")
    rates = sorted(result.engines.items(), key=lambda item: -item[1])
    engines = ", ".join(f"{name} {rate:.0f}" for name, rate in rates)
    say(f"engines    {engines} images/s; used: {result.engine}")
    say(f"waiting    {result.share_waiting:.0%} of extraction is waiting for images")
    say()
    say(
        f"{'stage':21} {'rate':>18}  {'limit':>9}  {f'{result.n_images:,} images':>16} {'share':>6}"
    )
    for stage in result.stages:
        limit = "none" if stage.limit is None else f"{stage.limit:,.0f}"
        rate = f"{stage.rate:,.0f} {stage.unit}"
        if stage.seconds is None:
            time, share = "in extraction", ""
        else:
            time, share = f"{stage.seconds:,.1f} s", f"{result.shares[stage.name]:.0%}"
        line = f"{stage.name:21} {rate:>18}  {limit:>9}  {time:>16} {share:>6}"
        say(f"{line}  {stage.limit_is}".rstrip())
    say()
    for line in result.advice or ["nothing stands out"]:
        say(f"change     {line}")
