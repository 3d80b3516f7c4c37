"""``skscan update``: sort what a folder has gained into the classes that were found in it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import interrupt, options
from skscan.cli.cache import cache_folder, prune_cache
from skscan.cli.earlier import (
    Changes,
    EarlierRun,
    check_images,
    check_results,
    compare,
    numbers_now,
    place_of_images,
    read_earlier,
)
from skscan.cli.errors import CommandFailed
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
from skscan.cli.predict import load_model, use_settings
from skscan.cli.report import ImagesNow
from skscan.cli.reporting import reports_errors
from skscan.cli.results import IMAGES, ResultsFolder
from skscan.cli.tables import naming
from skscan.cli.terminal import escaped, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    from skscan._growing import Growth
    from skscan.clusterer import SCANClusterer

EXAMPLES = """Examples:

\b
  skscan update photos-clusters                        # what is new in the folder that was sorted
  skscan update photos-clusters --images /mnt/photos   # the images have been moved there
"""

_MOST_LISTED = 20


@reports_errors
def update(
    out: options.ResultsArgument,
    images: ImagesNow = None,
    as_json: options.Json = False,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    engine: options.EngineOption = options.Engine.AUTO,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Make report.html anew.")
    ] = True,
    quiet: options.Quiet = False,
) -> None:
    """Sort what a folder has gained into the classes that were found in it.

    Only images that are new, or were changed (by size or time), are looked at, and sorted with the
    model in OUT, which is not trained again. All others keep their class, its number and its name;
    those that are gone from the folder leave the results. Tables, contact sheets, model and report
    in OUT are brought up to date, and what was decided in the report holds on.

    New images that are unlike those that the classes were found on are named. Where there are many
    of them, `skscan cluster` may find better classes, with other numbers.
    """
    started = time.perf_counter()
    interrupt.keep(lambda: f"The results in {escaped(str(out))} are as they were.")
    check_results(out)
    verbose = int(not quiet)
    with ResultsFolder(out) as results:
        earlier = read_earlier(out)
        source = images or place_of_images(earlier)
        paths = find_images(source, results=out)
        with only_results_on_stdout():
            page = report_of_fit(paths) if report else None
            collection: Any = images_of(paths, page)
            changes = compare(earlier, source, paths, versions_of(collection))
        check_images(earlier, changes, source)
        if changes.none:
            _say_nothing_new(earlier.summary, source, as_json=as_json, quiet=quiet)
            return
        with only_results_on_stdout():
            seconds = {"listing": time.perf_counter() - started}
            model = load_model(out)
            _check_model(model, earlier)
            loaded = time.perf_counter()
            settings = {"n_jobs": jobs, "device": device, "engine": engine.value}
            with _settings_of_this_run(model, **settings, verbose=verbose):
                from skscan._growing import grow

                growth = grow(model, collection, changes.earlier, str(cache_folder()))
            grown = time.perf_counter()
            seconds |= {"loading": loaded - started - seconds["listing"], "sorting": grown - loaded}
            clusterer = growth.model
            rows = cluster_rows(changes.names, clusterer.labels_, clusterer.probabilities_)
            skipped = [(changes.names[each.index], each.reason) for each in clusterer.skipped_]
            numbers, n_numbered = numbers_now(earlier, changes, clusterer.labels_)
            known = image_rows(changes.names, changes.versions, clusterer.labels_, numbers)
            with naming(out):
                seconds |= stage_results(
                    results, clusterer, collection, rows, skipped, known, verbose=verbose
                )
        seconds["total"] = time.perf_counter() - started
        summary = _summarise(earlier, source, changes, growth, skipped, seconds)
        summary |= {"out": str(out), "n_numbered": n_numbered}
        results.commit(summary, keep_thumbnails=report)
        prune_cache()
        if page is not None:
            interrupt.keep(
                lambda: (
                    f"The results are up to date, in {escaped(str(out))}; the report is not there: "
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
                    numbers=numbers,
                    jobs=jobs,
                    verbose=verbose,
                )
        interrupt.keep(lambda: f"The results are up to date, in {escaped(str(out))}.")
    if as_json:
        say_json(summary)
    elif not quiet:
        _print_summary(summary)


def _check_model(model: "SCANClusterer", earlier: EarlierRun) -> None:
    """Refuse a model that was not saved with the tables beside it."""
    numbered = [number != "" for _, _, number in earlier.rows]
    if (model.labels_ >= 0).tolist() != numbered:
        raise CommandFailed(
            f"{earlier.out / IMAGES} was changed since the model beside it was saved; sort the "
            "folder once more with `skscan cluster`"
        )


@contextmanager
def _settings_of_this_run(model: "SCANClusterer", **settings: Any) -> Iterator[None]:
    """Let a model work as this command was told to; it is saved with its own settings."""
    whole: Any = model.feature_extractor_
    parts = getattr(whole, "extractors_", [whole])
    own = [part.get_params(deep=False) for part in parts]
    use_settings(model, **settings)
    try:
        yield
    finally:
        for part, params in zip(parts, own, strict=True):
            part.set_params(**params)


def _summarise(
    earlier: EarlierRun,
    source: Path,
    changes: Changes,
    growth: "Growth",
    skipped: list[tuple[str, str]],
    seconds: dict[str, float],
) -> dict[str, Any]:
    from skscan import __version__
    from skscan.report.files import run_id

    before = {name: value for name, value in earlier.summary.items() if name != "report"}
    model = growth.model
    classes = classes_from_folders(changes.names) if "accuracy" in before else None
    unlike = [
        {
            "path": changes.names[row],
            "cluster": int(model.labels_[row]),
            "outlier_score": round(float(model.outlier_scores_[row]), 4),
        }
        for row in growth.unlike
    ]
    return before | {
        "skscan_version": __version__,
        **figures(model, classes),
        "seconds": rounded(seconds),
        "skipped": [{"path": path, "reason": reason} for path, reason in skipped],
        "made": f"{datetime.now():%Y-%m-%d %H:%M}",
        "run": run_id(earlier.out),
        "update": {
            "folder": str(source),
            "n_new": changes.n_new,
            "n_changed": changes.n_changed,
            "n_removed": changes.n_removed,
            "n_unlike": len(unlike),
            "unlike": unlike,
            "n_added_since": growth.n_added,
            "n_far": growth.n_far,
            "fits": growth.fits,
        },
    }


def _say_nothing_new(summary: dict[str, Any], source: Path, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        nothing = {"n_new": 0, "n_changed": 0, "n_removed": 0, "n_unlike": 0, "unlike": []}
        say_json(summary | {"update": summary.get("update", {}) | nothing})
    elif not quiet:
        say(
            f"images     {summary['n_images']:,} in {escaped(str(source))}, of which none is new, "
            "changed or gone"
        )


def _print_summary(summary: dict[str, Any]) -> None:
    skipped, changes = summary["n_skipped"], summary["update"]
    tail = f" ({skipped:,} skipped)" if skipped else ""
    say(f"images     {summary['n_images']:,} in {escaped(changes['folder'])}{tail}")
    say(
        f"new        {changes['n_new']:,}; {changes['n_changed']:,} were changed, "
        f"{changes['n_removed']:,} are gone"
    )
    print_seconds(summary)
    print_figures(summary)
    if changes["n_unlike"]:
        say(
            f"unlike     of the new images {changes['n_unlike']:,} unlike those that the classes "
            "were found on:"
        )
        for each in changes["unlike"][:_MOST_LISTED]:
            say(
                f"           {escaped(each['path'])} (cluster {each['cluster']}, "
                f"{each['outlier_score']:.2f} times as far as usual)"
            )
        if changes["n_unlike"] > _MOST_LISTED:
            say(f"           and {changes['n_unlike'] - _MOST_LISTED:,} more, see summary.json")
    if changes["n_added_since"]:
        share = 100 * changes["n_far"] / changes["n_added_since"]
        say(
            f"fit        {share:.0f} % of what was added so far lies farther off than 95 % of the "
            "images that the classes were found on"
        )
    if not changes["fits"]:
        say(
            "advice     these classes do not suit what was added: `skscan cluster` may find "
            "others, best into another folder (-o), for their numbers and names begin anew"
        )
    say()
    print_places(summary)
