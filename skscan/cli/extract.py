"""``skscan extract``: write the features of a folder of images to a file."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skscan.cli import interrupt, options
from skscan.cli.cache import cache_folder, has_features_since, now, prune_cache
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.features import describe_extractor, extractor_from_options
from skscan.cli.inputs import find_images
from skscan.cli.reporting import reports_errors
from skscan.cli.tables import check_output_file, open_table, replaced_atomically, write_table
from skscan.cli.terminal import escaped, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """Examples:

\b
  skscan extract photos -o features.npy     # and features.paths.csv, one row for each image
  skscan extract photos -o features.npz     # arrays: features, paths
  skscan extract photos -o features.npy --backbone pixels
"""


@reports_errors
def extract(
    folder: options.ImagesArgument,
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Where to write: a name with .npy or .npz."
        ),
    ],
    backbone: options.Backbone = options.EMBEDDED_BACKBONE,
    weights: options.Weights = None,
    image_size: options.ImageSize = options.DEFAULT_IMAGE_SIZE,
    errors: options.Errors = options.OnUnreadable.SKIP,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    engine: options.EngineOption = options.Engine.AUTO,
    precision: options.PrecisionOption = options.Precision.FLOAT32,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write the features of a folder of images to a file.

    They are float32, one row for each image in FOLDER.

    The row of an image that could not be read is NaN. A .npz holds the arrays features and
    paths; beside a .npy, a table with the columns row, path and reason (why it could not be
    read) is written.

    Features are kept in the cache as they come: the same command goes on where it was cut off, and
    computes those of new or changed images only.
    """
    if output.suffix not in (".npy", ".npz"):
        raise WrongUse(f"-o {output}: the name must end in .npy or .npz")
    check_output_file(output)
    started = time.perf_counter()
    paths = find_images(folder)
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
    from skscan.images import as_collection

    beginning = now()
    interrupt.keep(lambda: _what_is_kept(beginning))
    with only_results_on_stdout():
        features, skipped = extractor.fit(paths).extract(
            as_collection(paths), memory=cache_folder()
        )
    if len(skipped) == len(paths):
        raise CommandFailed(f"none of the {len(paths)} images in {folder} could be read")
    extracted = time.perf_counter()
    _write(output, features, paths, {image.index: image.reason for image in skipped})
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
    if as_json:
        say_json(result)
    elif not quiet:
        rest = f" ({len(skipped):,} skipped, their rows are NaN)" if skipped else ""
        say(f"images     {len(paths):,}{rest}")
        say(f"features   {features.shape[1]:,} for each image, from {result['features']}")
        say(f"seconds    {extracted - started:.1f}")
        say(f"results    {escaped(str(output))}")


def _what_is_kept(beginning: float) -> str:
    kept = "No file was written."
    if has_features_since(beginning):
        kept += (
            f" The features so far are kept in {escaped(str(cache_folder()))}: "
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
