"""``skscan extract``: write the features of a folder of images to a file."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import interrupt, options, workers
from skscan.cli.cache import cache_folder, has_features_since, now, prune_cache
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.features import describe_extractor, extractor_from_options
from skscan.cli.inputs import find_images
from skscan.cli.reporting import reports_errors
from skscan.cli.shard import Shard
from skscan.cli.tables import check_output_file, open_table, replaced_atomically, write_table
from skscan.cli.terminal import escaped, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    import numpy as np

    from skscan.images import SkippedImage

EXAMPLES = """Examples:

\b
  skscan extract photos -o features.npy     # and features.paths.csv, one row for each image
  skscan extract photos -o features.npz     # arrays: features, paths
  skscan extract photos -o features.npy --backbone pixels
  skscan extract photos -o features.npy --memory /shared/store --workers tcp://10.0.0.1:8786
  skscan extract photos --memory /shared/store --shard 3/16             # a job on one machine
  skscan extract photos --memory /shared/store -o features.npy          # when all have ended
"""


@reports_errors
def extract(
    folder: options.ImagesArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to write: a name with .npy or .npz. Needed without --shard.",
        ),
    ] = None,
    backbone: options.Backbone = options.EMBEDDED_BACKBONE,
    weights: options.Weights = None,
    image_size: options.ImageSize = options.DEFAULT_IMAGE_SIZE,
    errors: options.Errors = options.OnUnreadable.SKIP,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    engine: options.EngineOption = options.Engine.AUTO,
    precision: options.PrecisionOption = options.Precision.FLOAT32,
    memory: Annotated[
        Path | None,
        typer.Option(
            "--memory",
            metavar="PATH",
            parser=options.place,
            help="A folder that keeps the features, instead of the cache of this user: one that "
            "several machines share. Nothing in it is ever dropped.",
        ),
    ] = None,
    work_on: Annotated[
        str | None,
        typer.Option(
            "--workers",
            metavar="WHERE",
            parser=workers.where,
            help="Divide the images among workers: so many processes of this machine (-1 is one "
            "for each core), those of the Dask scheduler at tcp://HOST:PORT, or of the Ray cluster "
            "at ray://HOST:PORT ('ray': the one that runs here). All see the images and --memory "
            "under the same paths.",
        ),
    ] = None,
    shard: Annotated[
        Any,
        typer.Option(
            "--shard",
            metavar="I/N",
            parser=Shard.parse,
            help="Only the I-th of N parts of the images, and only to --memory: for jobs on "
            "several machines. The command without it then writes the file.",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the features of a folder of images to a file.

    They are float32, one row for each image in FOLDER.

    The row of an image that could not be read is NaN. A .npz holds the arrays features and
    paths; beside a .npy, a table with the columns row, path and reason (why it could not be
    read) is written.

    Features are kept in the cache as they come: the same command goes on where it was cut off, and
    computes those of new or changed images only. With --workers or --shard each part is kept on its
    own; what is missing or damaged in the end is computed again.
    """
    _check_options(output, memory, work_on, shard, jobs)
    started = time.perf_counter()
    paths = find_images(folder)
    n_found = len(paths)
    if shard is not None:
        paths = shard.of_images(paths)
        if not paths:
            raise WrongUse(f"--shard {shard}: there are only {n_found} images in {folder}")
    extractor = extractor_from_options(
        backbone=backbone,
        weights=weights,
        image_size=image_size,
        errors=errors.value,
        jobs=jobs,
        device=device,
        engine=engine.value,
        precision=precision.value,
        verbose=int(not quiet),
    )
    keeping = cache_folder() if memory is None else memory
    beginning = now()
    interrupt.keep(lambda: _what_is_kept(keeping, beginning))
    with only_results_on_stdout():
        features, skipped = _extract(extractor.fit(paths), paths, keeping, work_on)
    if len(skipped) == len(paths):
        raise CommandFailed(f"none of the {len(paths)} images in {folder} could be read")
    extracted = time.perf_counter()
    if shard is not None:
        _check_kept(extractor, paths, len(skipped), keeping)
    if output is not None:
        _write(output, features, paths, {image.index: image.reason for image in skipped})
    if memory is None:
        prune_cache()
    result = {
        "n_images": len(paths),
        "n_skipped": len(skipped),
        "n_features": features.shape[1],
        "features": describe_extractor(extractor),
        "seconds": {
            "extraction": round(extracted - started, 3),
            "total": round(time.perf_counter() - started, 3),
        },
        "skipped": [{"path": paths[image.index], "reason": image.reason} for image in skipped],
    }
    if shard is not None:
        result["shard"] = str(shard)
    if as_json:
        say_json(result)
    elif not quiet:
        what = "their rows are NaN" if shard is None else "nothing is kept of them"
        rest = f" ({len(skipped):,} skipped, {what})" if skipped else ""
        part = "" if shard is None else f", part {shard.number} of {shard.of} of {n_found:,}"
        say(f"images     {len(paths):,}{part}{rest}")
        say(f"features   {features.shape[1]:,} for each image, from {result['features']}")
        say(f"seconds    {extracted - started:.1f}")
        say(f"results    {escaped(str(output if output is not None else keeping))}")


def _check_options(
    output: Path | None,
    memory: Path | None,
    work_on: str | None,
    shard: Shard | None,
    jobs: int | None,
) -> None:
    if shard is None and output is None:
        raise WrongUse("missing -o: the file to write, a name with .npy or .npz")
    if shard is not None and memory is None:
        raise WrongUse(f"--shard {shard} needs --memory, the folder that all parts are kept in")
    if shard is not None and output is not None:
        raise WrongUse(
            f"--shard {shard} takes no -o: its features are kept in --memory, from where the "
            "command without --shard writes the file"
        )
    if work_on is not None and jobs is not None:
        raise WrongUse("--workers takes no --jobs: each worker decodes its own images")
    if memory is not None and memory.exists() and not memory.is_dir():
        raise WrongUse(f"--memory {memory} is no folder")
    if output is None:
        return
    if output.suffix not in (".npy", ".npz"):
        raise WrongUse(f"-o {output}: the name must end in .npy or .npz")
    check_output_file(output)


def _extract(
    extractor: Any, paths: list[str], memory: Path, work_on: str | None
) -> "tuple[np.ndarray, list[SkippedImage]]":
    from skscan.images import as_collection

    if work_on is None:
        return extractor.extract(as_collection(paths), memory=memory)
    from skscan.sharding import extract_shards

    with workers.working(work_on):
        return extract_shards(extractor, paths, memory)


def _check_kept(extractor: Any, paths: list[str], n_skipped: int, memory: Path) -> None:
    """Fail where the features of a shard, which go nowhere else, are not in the memory."""
    from skscan.extractors.passes import known_images
    from skscan.feature_store import image_identities
    from skscan.images import as_collection

    known = known_images(extractor._parts(), memory, image_identities(as_collection(paths)))
    if missing := len(paths) - n_skipped - int(known.sum()):
        raise CommandFailed(
            f"the features of {missing} of {len(paths)} images could not be kept in {memory}"
        )


def _what_is_kept(memory: Path, beginning: float) -> str:
    kept = "No file was written."
    if has_features_since(beginning, memory):
        kept += (
            f" The features so far are kept in {escaped(str(memory))}: "
            "the same command goes on from there."
        )
    return kept


def _write(output: Path, features: "np.ndarray", paths: list[str], reasons: dict[int, str]) -> None:
    import numpy as np

    with replaced_atomically(output) as partial, partial.open("wb") as file:
        if output.suffix == ".npz":
            np.savez(file, features=features, paths=np.array(paths))
            return
        np.save(file, features)
    with (
        replaced_atomically(output.with_suffix(".paths.csv")) as partial,
        open_table(partial) as table,
    ):
        rows = [(row, path, reasons.get(row, "")) for row, path in enumerate(paths)]
        write_table(table, ("row", "path", "reason"), rows)
