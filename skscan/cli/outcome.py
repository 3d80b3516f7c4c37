"""What a run comes to: the tables, pictures, model and numbers that it leaves in its folder."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skscan.cli.cache import thumbnail_cache
from skscan.cli.results import (
    CLUSTERS,
    CLUSTERS_HEADER,
    CONTACT_SHEETS,
    IMAGES,
    IMAGES_HEADER,
    MODEL,
    SKIPPED,
    SKIPPED_HEADER,
    ResultsFolder,
)
from skscan.cli.tables import open_table, write_table
from skscan.cli.terminal import escaped, say

if TYPE_CHECKING:
    import numpy as np

    from skscan.clusterer import SCANClusterer
    from skscan.images import ImageCollection
    from skscan.report.of_fit import ReportOfFit

ClusterRow = tuple[str, int, str, int | str]
ImageRow = tuple[str, str, int | str]


def report_of_fit(paths: list[str]) -> "ReportOfFit":
    """Return what makes the report, and thumbnails while the images are decoded."""
    from skscan.report.of_fit import ReportOfFit

    return ReportOfFit(paths, thumbnail_cache())


def images_of(paths: list[str], page: "ReportOfFit | None") -> "ImageCollection":
    """Return the images to work on: those that leave thumbnails for a report, where one is made."""
    from skscan.images import as_collection

    return as_collection(paths) if page is None else page.images


def versions_of(images: "ImageCollection") -> list[str]:
    """Return what tells the versions of each file apart, asking the disk once at most."""
    from skscan.feature_store.identities import file_states, version_of
    from skscan.report.remembering import RememberingImages

    if isinstance(images, RememberingImages):
        return images.versions
    return list(map(version_of, file_states(images.names)))


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


def image_rows(
    paths: list[str], versions: list[str], labels: "np.ndarray", numbers: Sequence[int]
) -> list[ImageRow]:
    """Return the rows of images.csv.

    Parameters
    ----------
    paths, versions : list of str
        Of all images, see `versions_of`.
    labels : ndarray of shape (n_images,)
        -1 for an image that could not be read.
    numbers : sequence of int
        What decisions know the images that could be read by.
    """
    number = iter(numbers)
    return [
        (path, version, next(number) if label >= 0 else "")
        for path, version, label in zip(paths, versions, labels.tolist(), strict=True)
    ]


def stage_results(
    results: ResultsFolder,
    clusterer: "SCANClusterer",
    images: "ImageCollection",
    rows: list[ClusterRow],
    skipped: list[tuple[str, str]],
    known: list[ImageRow],
    *,
    verbose: int,
) -> dict[str, float]:
    """Write the tables, the contact sheets and the model aside; return the seconds of each."""
    from skscan.persistence import save
    from skscan.report.contact_sheets import write_contact_sheets
    from skscan.report.remembering import RememberingImages

    started = time.perf_counter()
    for name, header, content in (
        (CLUSTERS, CLUSTERS_HEADER, rows),
        (SKIPPED, SKIPPED_HEADER, skipped),
        (IMAGES, IMAGES_HEADER, known),
    ):
        with open_table(results.staging / name) as file:
            write_table(file, header, content)
    write_contact_sheets(
        results.staging / CONTACT_SHEETS,
        images.small() if isinstance(images, RememberingImages) else images,
        clusterer.labels_,
        clusterer.probabilities_,
        clusterer.neighbors_,
        verbose=verbose,
    )
    drawn = time.perf_counter()
    save(clusterer, results.staging / MODEL)
    return {"contact_sheets": drawn - started, "saving": time.perf_counter() - drawn}


def figures(clusterer: "SCANClusterer", classes: list[str] | None) -> dict[str, Any]:
    """Return sizes of the clusters, how far they can be trusted, and how good they are.

    Near-duplicates are counted without one image of each group, as what could be left out.

    Parameters
    ----------
    clusterer : SCANClusterer
        Fitted.
    classes : list of str or None
        Class of each image, where that is known.
    """
    import numpy as np

    from skscan.duplicates import duplicate_groups

    labels = clusterer.labels_
    groups = duplicate_groups(clusterer.near_duplicates_)
    found: dict[str, Any] = {
        "n_images": len(labels),
        "n_skipped": len(clusterer.skipped_),
        "n_clusters": clusterer.n_clusters_,
        "cluster_sizes": np.bincount(labels[labels >= 0], minlength=clusterer.n_clusters_).tolist(),
        "mean_confidence": round(float(np.nanmean(clusterer.probabilities_.max(axis=1))), 4),
        "n_ambiguous": len(clusterer.ambiguous_indices_),
        "n_outliers": len(clusterer.outlier_indices_),
        "n_near_duplicates": sum(len(group) - 1 for group in groups),
    }
    if classes is not None:
        from skscan.cli.evaluate import scores
        from skscan.metrics import neighbor_purity

        read = np.flatnonzero(labels >= 0)
        found |= scores([classes[i] for i in read], labels[read])
        found["neighbor_purity"] = neighbor_purity(clusterer.neighbors_, classes)
    return found


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    """Return the seconds of stages as they are told."""
    return {stage: round(value, 3) for stage, value in seconds.items()}


def print_figures(summary: dict[str, Any]) -> None:
    """Print what `figures` gives."""
    sizes = "  ".join(f"{c}: {size:,}" for c, size in enumerate(summary["cluster_sizes"]))
    say(f"clusters   {sizes}")
    share = summary["n_ambiguous"] / max(summary["n_images"] - summary["n_skipped"], 1)
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


def print_seconds(summary: dict[str, Any]) -> None:
    """Print the seconds of each stage."""
    stages = ", ".join(f"{name} {value:.1f}" for name, value in summary["seconds"].items())
    say(f"seconds    {stages.replace('_', ' ')}")


def print_places(summary: dict[str, Any]) -> None:
    """Print where the results lie."""
    say(f"results    {escaped(summary['out'])}")
    pictures = summary.get("report", f"{summary['out']}/{CONTACT_SHEETS}/")
    say(f"look at    {escaped(pictures)}")


def write_report_of(
    page: "ReportOfFit",
    results: ResultsFolder,
    clusterer: "SCANClusterer",
    summary: dict[str, Any],
    rows: list[ClusterRow],
    skipped: list[tuple[str, str]],
    *,
    started: float,
    numbers: Sequence[int] | None = None,
    jobs: int | None,
    verbose: int,
) -> None:
    """Write the report on results that are in place, and what it took into their summary."""
    from skscan.cli.report import warn_of_missing

    written = page.write(
        results.folder,
        clusterer,
        summary,
        rows,
        skipped,
        numbers=numbers,
        n_jobs=jobs,
        verbose=verbose,
    )
    warn_of_missing(written)
    summary["report"] = str(written.path)
    stages = summary["seconds"]
    before, total = stages.pop("total"), round(time.perf_counter() - started, 3)
    stages |= {"report": round(total - before, 3), "total": total}
    results.amend(summary)


def quoted(path: str | Path) -> str:
    """Return `path` as it is typed in a shell."""
    import shlex

    return escaped(shlex.quote(str(path)))
