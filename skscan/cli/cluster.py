"""``skscan cluster``: sort a folder of images into clusters."""

import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import interrupt, options
from skscan.cli.cache import cache_folder, has_features_since, now, prune_cache
from skscan.cli.errors import WrongUse
from skscan.cli.features import describe_extractor, extractor_from_options
from skscan.cli.inputs import classes_from_folders, find_images
from skscan.cli.outcome import (
    cluster_rows,
    figures,
    image_rows,
    images_of,
    print_figures,
    print_places,
    print_seconds,
    quoted,
    report_of_fit,
    rounded,
    stage_results,
    versions_of,
    write_report_of,
)
from skscan.cli.reporting import reports_errors
from skscan.cli.results import IMAGES, ResultsFolder
from skscan.cli.tables import naming
from skscan.cli.terminal import escaped, note, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    from skscan.clusterer import SCANClusterer
    from skscan.images import ImageCollection

EXAMPLES = """Examples:

\b
  skscan cluster photos -k 10
  skscan cluster photos.zip -k 10 -o sorted --seed 1 --effort best
  skscan cluster photos -k auto             # how many are there? the best guesses are printed
  skscan cluster photos -k 10 --evaluate    # sub-folder names are the true classes
  skscan cluster photos -k 10 --json > run.json
"""


@reports_errors
def cluster(
    folder: options.ImagesArgument,
    n_clusters: Annotated[
        Any,
        typer.Option(
            "-k",
            "--n-clusters",
            metavar="K",
            parser=options.n_clusters,
            help=f"How many clusters to make, or '{options.AUTO}' to look for the number.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="OUT",
            parser=options.place,
            help="The results folder. Results of an earlier run in it are replaced.  "
            "[default: the name of FOLDER, with -clusters]",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed",
            metavar="N",
            parser=options.whole_number(0, 2**32 - 1),
            help="Rules every draw.",
        ),
    ] = 0,
    evaluate: Annotated[
        bool,
        typer.Option(
            "--evaluate", help="Folder names are the true classes: compare the clusters with them."
        ),
    ] = False,
    as_json: options.Json = False,
    effort: Annotated[
        options.Effort, typer.Option("--effort", help="More effort takes longer.")
    ] = options.Effort.DEFAULT,
    backbone: options.Backbone = options.DEFAULT,
    weights: options.Weights = None,
    image_size: options.ImageSizeOfEffort = None,
    views: options.Views = None,
    errors: options.Errors = options.OnUnreadable.SKIP,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    engine: options.EngineOption = options.Engine.AUTO,
    precision: options.PrecisionOption = options.Precision.FLOAT32,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Make report.html, to look at the classes.")
    ] = True,
    quiet: options.Quiet = False,
) -> None:
    """Sort a folder of images into K clusters, without labels.

    Writes to OUT: clusters.csv (path, cluster, confidence, second_cluster), skipped.csv (images
    that could not be read, with the reason), contact_sheets/ (one picture for each cluster, most
    typical images first), report.html (the same in a browser, to name and repair classes), model/
    (for `skscan predict`), images.csv (what each file was, for `skscan update`) and summary.json.
    """
    out = out if out is not None else _default_results_folder(folder)
    started = time.perf_counter()
    paths = find_images(folder, results=out)
    if len(paths) == 1:
        raise WrongUse(f"there is one image in {folder}; at least two are needed to sort")
    if n_clusters != options.AUTO and n_clusters > len(paths):
        raise WrongUse(f"-k {n_clusters} is more than the {len(paths)} images in {folder}")
    classes = classes_from_folders(paths) if evaluate else None
    more_sizes = _more_sizes(image_size, effort.value, backbone, weights)
    n_views = _number_of_views(views, effort.value, backbone, 1 + len(more_sizes))
    with ResultsFolder(out) as results:
        if results.has_earlier_results:
            _tell_of_growth(out, paths)
        beginning = now()
        interrupt.keep(lambda: _what_is_kept(results, beginning))
        seconds = {"listing": time.perf_counter() - started}
        with only_results_on_stdout():
            page = report_of_fit(paths) if report else None
            images = images_of(paths, page)
            versions = versions_of(images)  # before any is read
            clusterer = _fit(
                images,
                n_clusters=n_clusters,
                seed=seed,
                effort=effort.value,
                extractor=extractor_from_options(
                    backbone=backbone,
                    weights=weights,
                    image_size=image_size or options.DEFAULT_IMAGE_SIZE,
                    more_sizes=more_sizes,
                    views=n_views,
                    errors=errors.value,
                    jobs=jobs,
                    device=device,
                    engine=engine.value,
                    precision=precision.value,
                    verbose=int(not quiet),
                ),
                memory=str(cache_folder()),
                jobs=jobs,
                device=device,
                verbose=int(not quiet),
            )
            seconds |= clusterer.timings_
            rows = cluster_rows(paths, clusterer.labels_, clusterer.probabilities_)
            skipped = [(paths[image.index], image.reason) for image in clusterer.skipped_]
            known = image_rows(paths, versions, clusterer.labels_, range(len(rows)))
            with naming(out):
                seconds |= stage_results(
                    results, clusterer, images, rows, skipped, known, verbose=int(not quiet)
                )
        seconds["total"] = time.perf_counter() - started
        summary = _summarise(clusterer, skipped, seconds, classes)
        summary |= {"folder": str(folder), "out": str(out), "seed": seed, "effort": effort.value}
        summary |= {"made": f"{datetime.now():%Y-%m-%d %H:%M}", "working_folder": os.getcwd()}
        results.commit(summary, keep_thumbnails=report)
        prune_cache()
        if page is not None:
            interrupt.keep(
                lambda: (
                    f"The results are complete, in {escaped(str(out))}; the report is not: "
                    f"`skscan report {quoted(out)}` makes it."
                )
            )
            with only_results_on_stdout(), naming(out):
                write_report_of(
                    page,
                    results,
                    clusterer,
                    summary,
                    rows,
                    skipped,
                    started=started,
                    jobs=jobs,
                    verbose=int(not quiet),
                )
        interrupt.keep(lambda: f"The results are complete, in {escaped(str(out))}.")
    if as_json:
        say_json(summary)
    elif not quiet:
        _print_summary(summary)


def _default_results_folder(folder: Path) -> Path:
    name = folder.resolve().stem if folder.is_file() else folder.resolve().name
    return Path(f"{name or 'images'}-clusters")


def _tell_of_growth(out: Path, paths: list[str]) -> None:
    """Say that a folder which was sorted before can keep its classes, before they are lost."""
    from skscan.report.files import read_rows

    try:
        before = {row["path"] for row in read_rows(out / IMAGES, ["path"])}
    except ValueError:  # of a release that wrote no such table
        return
    n_new = len(set(paths) - before)
    if 0 < n_new < len(paths):
        note(
            f"note: {n_new:,} of {len(paths):,} images are new since the results in "
            f"{escaped(str(out))}. All are sorted anew: classes get other numbers, and what was "
            f"decided in the report holds no more. `skscan update {quoted(out)}` keeps the classes "
            "and sorts only new images into them"
        )


def _more_sizes(
    image_size: int | None, effort: str, backbone: str, weights: Path | None
) -> tuple[int, ...]:
    if image_size is not None or backbone != options.DEFAULT or weights is not None:
        return ()
    from skscan.parts import SIZES_OF_EFFORT

    sizes = SIZES_OF_EFFORT.get(effort, ())
    return tuple(size for size in sizes if size != options.DEFAULT_IMAGE_SIZE)


def _number_of_views(views: int | None, effort: str, backbone: str, n_sizes: int = 1) -> int:
    if views is not None:
        return views
    from skscan.parts import VIEWS_OF_EFFORT

    wanted = 1 if backbone == options.PIXELS else VIEWS_OF_EFFORT.get(effort, 1)
    return max(wanted // n_sizes, 1)


def _what_is_kept(results: ResultsFolder, beginning: float) -> str:
    kept = "No results were written."
    if results.has_earlier_results:
        kept = f"The earlier results in {escaped(str(results.folder))} are as they were."
    if has_features_since(beginning):
        kept += (
            f" The features are kept in {escaped(str(cache_folder()))}: "
            "the same command goes on from there."
        )
    return kept


def _fit(
    images: "ImageCollection",
    *,
    n_clusters: int | str,
    seed: int,
    effort: str,
    extractor: Any,
    memory: str,
    jobs: int | None,
    device: str,
    verbose: int,
) -> "SCANClusterer":
    from skscan.clusterer import SCANClusterer

    clusterer = SCANClusterer(
        n_clusters,
        feature_extractor=extractor,
        effort=effort,
        memory=memory,
        device=device,
        n_jobs=jobs,
        random_state=seed,
        verbose=verbose,
    )
    # the place of this run's cache is no part of the model that is saved
    return clusterer.fit(images).set_params(memory=None)


def _summarise(
    clusterer: "SCANClusterer",
    skipped: list[tuple[str, str]],
    seconds: dict[str, float],
    classes: list[str] | None,
) -> dict[str, Any]:
    from skscan import __version__

    summary: dict[str, Any] = {
        "skscan_version": __version__,
        **figures(clusterer, classes),
        "features": describe_extractor(clusterer.feature_extractor_),
        "n_features": int(clusterer.feature_scaler_.n_features_in_),
        "seconds": rounded(seconds),
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped],
    }
    if hasattr(clusterer, "cluster_count_"):
        summary["cluster_count"] = clusterer.cluster_count_.to_dict()
    return summary


def _print_summary(summary: dict[str, Any]) -> None:
    skipped = summary["n_skipped"]
    say(f"images     {summary['n_images']:,}" + (f" ({skipped:,} skipped)" if skipped else ""))
    say(f"features   {summary['n_features']:,} for each image, from {summary['features']}")
    print_seconds(summary)
    if "cluster_count" in summary:
        first, *others = summary["cluster_count"]["proposals"][:3]
        tail = f"; also likely: {', '.join(map(str, others))}" if others else ""
        say(f"number     {first} clusters were found{tail} (-k makes any other number)")
    print_figures(summary)
    say()
    print_places(summary)
    say(f"next       skscan predict {quoted(summary['out'])} NEWFOLDER")
    say(f"later      skscan update {quoted(summary['out'])}, when images have come to the folder")
