"""``skscan predict``: sort new images with the model of an earlier run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import options
from skscan.cli.cache import cache_folder, prune_cache
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.features import check_engine
from skscan.cli.inputs import find_images
from skscan.cli.outcome import cluster_rows
from skscan.cli.reporting import reports_errors
from skscan.cli.results import CLUSTERS_HEADER, MODEL, SKIPPED_HEADER
from skscan.cli.tables import check_output_file, open_table, replaced_atomically, write_table
from skscan.cli.terminal import (
    complain,
    escaped,
    only_results_on_stdout,
    say,
    say_json,
    say_table,
)

if TYPE_CHECKING:
    from skscan.clusterer import SCANClusterer

PREDICTIONS_HEADER = (*CLUSTERS_HEADER, "outlier_score")
PredictionRow = tuple[str, int, str, int | str, str]

EXAMPLES = """Examples:

\b
  skscan predict photos-clusters new_photos -o new.csv
  skscan predict photos-clusters new_photos > new.csv
  skscan predict photos-clusters new_photos --json
"""


@reports_errors
def predict(
    out: options.ResultsArgument,
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="NEWFOLDER", parser=options.place, help="A folder of new images, or a zip."
        ),
    ],
    csv: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="CSV",
            help="Write the table to CSV, and the images that could not be read to "
            "CSV's name with .skipped.csv. Without it, the table goes to stdout.",
        ),
    ] = None,
    as_json: options.Json = False,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    engine: options.EngineOption = options.Engine.AUTO,
    quiet: options.Quiet = False,
) -> None:
    """Sort new images into the clusters of an earlier run.

    The images of NEWFOLDER are sorted with the model in OUT, which `skscan cluster` has written, or
    `skscan convert`.

    The table has the columns path, cluster, confidence, second_cluster and outlier_score: 1 is
    typical; the larger, the less an image is like those that the clusters were made of. A model
    that was converted does not know them: the column is empty.
    """
    if csv is not None:
        check_output_file(csv)
    started = time.perf_counter()
    paths = find_images(folder, results=out)
    clusterer = load_any(out)
    settings = {"n_jobs": jobs, "device": device, "engine": engine.value}
    use_settings(clusterer, **settings, verbose=int(not quiet))
    clusterer.set_params(memory=str(cache_folder()))
    loaded = time.perf_counter()
    with only_results_on_stdout():
        rows, skipped = _predict(clusterer, paths)
    prune_cache()
    finished = time.perf_counter()
    if csv is not None:
        _write_csv(csv, rows, skipped)
    sizes = [0] * clusterer.n_clusters_
    for row in rows:
        sizes[row[1]] += 1
    summary: dict[str, Any] = {
        "n_images": len(paths),
        "n_skipped": len(skipped),
        "n_clusters": clusterer.n_clusters_,
        "cluster_sizes": sizes,
        "seconds": {
            "loading": round(loaded - started, 3),
            "prediction": round(finished - loaded, 3),
            "total": round(time.perf_counter() - started, 3),
        },
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped],
    }
    if as_json:
        if csv is None:
            summary["predictions"] = [
                dict(zip(PREDICTIONS_HEADER, _typed(row), strict=True)) for row in rows
            ]
        say_json(summary)
    elif csv is None:
        say_table(PREDICTIONS_HEADER, rows)
        for path, reason in skipped:
            complain(f"skipped: {escaped(path)}: {escaped(reason)}")
    elif not quiet:
        _print_summary(summary, csv)


def load_any(out: Path) -> "SCANClusterer":
    """Return a clusterer saved by ``skscan cluster``, ``skscan convert`` or `skscan.save`."""
    return _load_clusterer(out) if is_model(out) else load_model(out)


def is_model(folder: Path) -> bool:
    """Tell whether a folder is what `skscan.save` writes."""
    return (folder / "model.json").is_file()


def load_model(out: Path) -> "SCANClusterer":
    """Return the clusterer that ``skscan cluster`` saved in `out`.

    Raises
    ------
    WrongUse
        If `out` is no results folder.
    ModelFileError
        If the model in it is damaged.
    """
    if not out.is_dir():
        raise WrongUse(f"no such folder: {out}")
    if not (out / MODEL).is_dir():
        raise WrongUse(
            f"{out} holds no model; OUT is a folder that `skscan cluster FOLDER -k K -o OUT` wrote"
        )
    return _load_clusterer(out / MODEL)


def _load_clusterer(folder: Path) -> "SCANClusterer":
    from skscan.clusterer import SCANClusterer

    model = load_sorter(folder)
    if not isinstance(model, SCANClusterer):
        raise CommandFailed(
            f"the model in {folder} is a {type(model).__name__}, which `skscan export` takes, but "
            "not this command; in Python `skscan.load` gives it back"
        )
    return model


def load_sorter(folder: Path) -> Any:
    """Return a clusterer or classifier of images that `skscan.save` wrote.

    Raises
    ------
    CommandFailed
        If it is neither.
    """
    from skscan.persistence import load

    model = load(folder)
    if getattr(model, "feature_extractor_", None) is None or not hasattr(model, "heads_"):
        raise CommandFailed(f"the model in {folder} sorts no images")
    return model


def use_settings(clusterer: "SCANClusterer", **settings: Any) -> None:
    """Hand over how to run, which is this command's choice and not that of the saved run.

    Raises
    ------
    WrongUse
        If an engine is asked for that does not compute with the precision of the model.
    """
    whole: Any = clusterer.feature_extractor_
    for extractor in getattr(whole, "extractors_", [whole]):
        known = extractor.get_params()
        extractor.set_params(**{name: value for name, value in settings.items() if name in known})
        if "engine" in settings and "engine" in known:
            check_engine(extractor.engine, extractor.precision, extractor.device)


def _predict(
    clusterer: "SCANClusterer", paths: list[str]
) -> tuple[list[PredictionRow], list[tuple[str, str]]]:
    """Return the rows of the table, and path and reason of each image that could not be read."""
    import numpy as np

    found = clusterer.assess(paths)
    unread = np.flatnonzero(found.labels < 0)
    skipped = [(paths[i], _why_unreadable(paths, int(i))) for i in unread]
    rows = cluster_rows(paths, found.labels, found.probabilities)
    scores = found.outlier_scores[found.labels >= 0]
    known = ["" if np.isnan(score) else f"{score:.4g}" for score in scores]
    return [(*row, score) for row, score in zip(rows, known, strict=True)], skipped


def _why_unreadable(paths: list[str], index: int) -> str:
    from skscan.exceptions import ImageReadError
    from skscan.images import as_collection

    try:
        as_collection([paths[index]]).read(0)
    except ImageReadError as error:
        return error.reason
    return "could not be read at first, but can be now"


def _typed(row: PredictionRow) -> tuple[str, int, float, int | None, float | None]:
    path, cluster, confidence, second, outlier = row
    second_cluster = second if isinstance(second, int) else None
    return path, cluster, float(confidence), second_cluster, float(outlier) if outlier else None


def _write_csv(csv: Path, rows: list[PredictionRow], skipped: list[tuple[str, str]]) -> None:
    with replaced_atomically(csv) as partial, open_table(partial) as file:
        write_table(file, PREDICTIONS_HEADER, rows)
    with (
        replaced_atomically(csv.with_suffix(".skipped.csv")) as partial,
        open_table(partial) as file,
    ):
        write_table(file, SKIPPED_HEADER, skipped)


def _print_summary(summary: dict[str, Any], csv: Path) -> None:
    skipped = summary["n_skipped"]
    say(f"images     {summary['n_images']:,}" + (f" ({skipped:,} skipped)" if skipped else ""))
    sizes = "  ".join(f"{c}: {size:,}" for c, size in enumerate(summary["cluster_sizes"]))
    say(f"clusters   {sizes}")
    say(f"seconds    {summary['seconds']['total']:.1f}")
    say(f"results    {escaped(str(csv))}")
