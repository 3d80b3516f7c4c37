"""``skscan cluster``: sort a folder of images into clusters."""

import os
import time
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import interrupt, options
from skscan.cli.cache import (
    cache_folder,
    has_features_since,
    now,
    prune_cache,
    thumbnail_cache,
)
from skscan.cli.errors import WrongUse
from skscan.cli.features import describe_extractor, extractor_from_options
from skscan.cli.inputs import classes_from_folders, find_images
from skscan.cli.reporting import reports_errors
from skscan.cli.results import (
    CLUSTERS,
    CLUSTERS_HEADER,
    CONTACT_SHEETS,
    MODEL,
    SKIPPED,
    SKIPPED_HEADER,
    ResultsFolder,
)
from skscan.cli.tables import naming, open_table, write_table
from skscan.cli.terminal import escaped, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    import numpy as np

    from skscan.clusterer import SCANClusterer
    from skscan.images import ImageCollection
    from skscan.report.of_fit import ReportOfFit

ClusterRow = tuple[str, int, str, int | str]

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
    (for `skscan predict`) and summary.json.
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
        beginning = now()
        interrupt.keep(lambda: _what_is_kept(results, beginning))
        seconds = {"listing": time.perf_counter() - started}
        with only_results_on_stdout():
            page = _report_of_fit(paths) if report else None
            images = _collection(paths) if page is None else page.images
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
            with naming(out):
                seconds |= _stage_results(results, clusterer, images, rows, verbose=int(not quiet))
        seconds["total"] = time.perf_counter() - started
        summary = _summarise(clusterer, paths, seconds, classes)
        summary |= {"folder": str(folder), "out": str(out), "seed": seed, "effort": effort.value}
        summary |= {"made": f"{datetime.now():%Y-%m-%d %H:%M}", "working_folder": os.getcwd()}
        results.commit(summary, keep_thumbnails=report)
        prune_cache()
        if page is not None:
            from skscan.cli.report import warn_of_missing

            interrupt.keep(
                lambda: (
                    f"The results are complete, in {escaped(str(out))}; the report is not: "
                    f"`skscan report {quoted(str(out))}` makes it."
                )
            )
            with only_results_on_stdout(), naming(out):
                written = page.write(
                    out, clusterer, summary, rows, n_jobs=jobs, verbose=int(not quiet)
                )
            warn_of_missing(written)
            summary["report"] = str(written.path)
            stages = summary["seconds"]
            before, total = stages.pop("total"), round(time.perf_counter() - started, 3)
            stages |= {"report": round(total - before, 3), "total": total}
            results.amend(summary)
        interrupt.keep(lambda: f"The results are complete, in {escaped(str(out))}.")
    if as_json:
        say_json(summary)
    elif not quiet:
        _print_summary(summary)


def _default_results_folder(folder: Path) -> Path:
    name = folder.resolve().stem if folder.is_file() else folder.resolve().name
    return Path(f"{name or 'images'}-clusters")


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


def _collection(paths: list[str]) -> "ImageCollection":
    from skscan.images import as_collection

    return as_collection(paths)


def _report_of_fit(paths: list[str]) -> "ReportOfFit":
    from skscan.report.of_fit import ReportOfFit

    return ReportOfFit(paths, thumbnail_cache())


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


def _stage_results(
    results: ResultsFolder,
    clusterer: "SCANClusterer",
    images: "ImageCollection",
    rows: list[ClusterRow],
    *,
    verbose: int,
) -> dict[str, float]:
    """Write the tables, the contact sheets and the model aside; return the seconds of each."""
    from skscan.persistence import save
    from skscan.report.contact_sheets import write_contact_sheets
    from skscan.report.remembering import RememberingImages

    started = time.perf_counter()
    paths = images.names
    labels, probabilities = clusterer.labels_, clusterer.probabilities_
    with open_table(results.staging / CLUSTERS) as file:
        write_table(file, CLUSTERS_HEADER, rows)
    with open_table(results.staging / SKIPPED) as file:
        write_table(file, SKIPPED_HEADER, [(paths[s.index], s.reason) for s in clusterer.skipped_])
    write_contact_sheets(
        results.staging / CONTACT_SHEETS,
        images.small() if isinstance(images, RememberingImages) else images,
        labels,
        probabilities,
        clusterer.neighbors_,
        verbose=verbose,
    )
    drawn = time.perf_counter()
    save(clusterer, results.staging / MODEL)
    return {"contact_sheets": drawn - started, "saving": time.perf_counter() - drawn}


def cluster_rows(
    paths: list[str],
    labels: "np.ndarray",
    probabilities: "np.ndarray",
) -> list[ClusterRow]:
    """Return the rows of clusters.csv; an image that could not be read (-1) has none.

    With a single cluster, the column of the second one is empty.
    """
    import numpy as np

    from skscan._blocks import row_blocks

    confidence = np.take_along_axis(probabilities, np.maximum(labels, 0)[:, None], axis=1)[:, 0]
    if probabilities.shape[1] > 1:
        second: list[Any] = []
        for rows in row_blocks(*probabilities.shape):
            others = np.array(probabilities[rows])
            np.put_along_axis(others, np.maximum(labels[rows], 0)[:, None], -np.inf, axis=1)
            second += others.argmax(axis=1).tolist()
    else:
        second = [""] * len(paths)
    return [
        (paths[i], int(labels[i]), f"{confidence[i]:.6g}", second[i])
        for i in np.flatnonzero(labels >= 0)
    ]


def _summarise(
    clusterer: "SCANClusterer",
    paths: list[str],
    seconds: dict[str, float],
    classes: list[str] | None,
) -> dict[str, Any]:
    import numpy as np

    from skscan import __version__

    labels = clusterer.labels_
    sizes = np.bincount(labels[labels >= 0], minlength=clusterer.n_clusters_)
    summary: dict[str, Any] = {
        "skscan_version": __version__,
        "n_images": len(paths),
        "n_skipped": len(clusterer.skipped_),
        "n_clusters": clusterer.n_clusters_,
        "cluster_sizes": sizes.tolist(),
        **trust_figures(clusterer),
        "features": describe_extractor(clusterer.feature_extractor_),
        "n_features": int(clusterer.feature_scaler_.n_features_in_),
        "seconds": {stage: round(value, 3) for stage, value in seconds.items()},
        "skipped": [{"path": paths[s.index], "reason": s.reason} for s in clusterer.skipped_],
    }
    if hasattr(clusterer, "cluster_count_"):
        summary["cluster_count"] = clusterer.cluster_count_.to_dict()
    if classes is not None:
        from skscan.cli.evaluate import scores
        from skscan.metrics import neighbor_purity

        read = np.flatnonzero(labels >= 0)
        summary |= scores([classes[i] for i in read], labels[read])
        summary["neighbor_purity"] = neighbor_purity(clusterer.neighbors_, classes)
    return summary


def trust_figures(clusterer: "SCANClusterer") -> dict[str, Any]:
    """Return how far the clusters can be trusted, in numbers of images.

    Near-duplicates are counted without one image of each group, as what could be left out.
    """
    import numpy as np

    from skscan.duplicates import duplicate_groups

    groups = duplicate_groups(clusterer.near_duplicates_)
    return {
        "mean_confidence": round(float(np.nanmean(clusterer.probabilities_.max(axis=1))), 4),
        "n_ambiguous": len(clusterer.ambiguous_indices_),
        "n_outliers": len(clusterer.outlier_indices_),
        "n_near_duplicates": sum(len(group) - 1 for group in groups),
    }


def _print_summary(summary: dict[str, Any]) -> None:
    skipped = summary["n_skipped"]
    out = escaped(summary["out"])
    say(f"images     {summary['n_images']:,}" + (f" ({skipped:,} skipped)" if skipped else ""))
    say(f"features   {summary['n_features']:,} for each image, from {summary['features']}")
    stages = ", ".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items())
    say(f"seconds    {stages.replace('_', ' ')}")
    if "cluster_count" in summary:
        first, *others = summary["cluster_count"]["proposals"][:3]
        tail = f"; also likely: {', '.join(map(str, others))}" if others else ""
        say(f"number     {first} clusters were found{tail} (-k makes any other number)")
    sizes = "  ".join(f"{c}: {size:,}" for c, size in enumerate(summary["cluster_sizes"]))
    say(f"clusters   {sizes}")
    share = summary["n_ambiguous"] / max(summary["n_images"] - skipped, 1)
    say(
        f"uncertain  about {100 * share:.0f} % ({summary['n_ambiguous']:,} images lie between two "
        f"clusters); mean confidence {summary['mean_confidence']:.2f}"
    )
    say(
        f"unusual    {summary['n_outliers']:,} images are unlike all others; "
        f"{summary['n_near_duplicates']:,} are near-duplicates of another"
    )
    if "accuracy" in summary:
        say(
            f"accuracy   {summary['accuracy']:.4f}   NMI {summary['nmi']:.4f}   "
            f"ARI {summary['ari']:.4f}   (clusters against folder names)"
        )
        say(f"purity     {summary['neighbor_purity']:.4f} of the mined neighbours share a folder")
    say()
    say(f"results    {out}")
    pictures = summary.get("report", f"{summary['out']}/{CONTACT_SHEETS}/")
    say(f"look at    {escaped(pictures)}")
    say(f"next       skscan predict {quoted(summary['out'])} NEWFOLDER")


def quoted(path: str) -> str:
    """Return `path` as it is typed in a shell."""
    import shlex

    return escaped(shlex.quote(path))
