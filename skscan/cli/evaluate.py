"""``skscan evaluate``: compare the clusters of an earlier run with known classes."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import options
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.inputs import classes_from_folders
from skscan.cli.reporting import reports_errors
from skscan.cli.results import CLUSTERS, is_results_folder
from skscan.cli.tables import read_table
from skscan.cli.terminal import say, say_json

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = """Examples:

\b
  skscan evaluate photos-clusters                      # folder names are the classes
  skscan evaluate photos-clusters --labels truth.csv   # columns path and label
"""


@reports_errors
def evaluate(
    out: options.ResultsArgument,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            metavar="CSV",
            help="The class of each image, columns path and label; a path as in "
            "clusters.csv, or only the file name where that is unique. Without it, folder names "
            "are the classes.",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.OnlyResult = False,
) -> None:
    """Compare the clusters of an earlier run with known classes.

    Accuracy is that of the best one-to-one assignment of clusters to classes; many-to-one
    accuracy lets each cluster stand for its most frequent class.
    """
    if not is_results_folder(out) or not (out / CLUSTERS).is_file():
        raise WrongUse(f"{out} holds no results of `skscan cluster`")
    rows = read_table(out / CLUSTERS, ["path", "cluster"])
    if not rows:
        raise CommandFailed(f"{out / CLUSTERS} has no row")
    paths = [row["path"] for row in rows]
    if labels is None:
        classes: list[str | None] = [*classes_from_folders(paths)]
    else:
        classes = _classes_from_table(labels, paths)
    known = [i for i, name in enumerate(classes) if name is not None]
    if not known:
        raise CommandFailed(f"none of the images in {out / CLUSTERS} has a label in {labels}")
    try:
        clusters = [int(rows[i]["cluster"]) for i in known]
    except ValueError as error:
        raise CommandFailed(f"{out / CLUSTERS}: a cluster is not a number: {error}") from None
    result = {
        "n_images": len(known),
        "n_without_label": len(rows) - len(known),
        "n_classes": len({classes[i] for i in known}),
        "n_clusters": len(set(clusters)),
        **scores([str(classes[i]) for i in known], clusters),
    }
    if as_json:
        say_json(result)
    else:
        _print(result)


def scores(classes: Sequence[str], clusters: "Sequence[int] | np.ndarray") -> dict[str, float]:
    """Return every measure of agreement between clusters and classes, by name."""
    from skscan.metrics import clustering_report

    return clustering_report(classes, clusters)


def _classes_from_table(table: Path, paths: list[str]) -> list[str | None]:
    """Return the label of each path, None where the table has none or a blank one.

    A path of the table that is nothing but a file name stands for the image of that name.
    """
    if not table.is_file():
        raise WrongUse(f"no such file: --labels {table}")
    label_of: dict[str, str] = {}
    for row in read_table(table, ["path", "label"]):
        path, label = row["path"], row["label"]
        if not label.strip():
            continue
        if label_of.setdefault(path, label) != label:
            raise CommandFailed(
                f"{table}: {path!r} has two labels, {label_of[path]!r} and {label!r}; an image is "
                "of one class"
            )
    names = [PurePath(path).name for path in paths]
    count = Counter(names)
    ambiguous = next((name for name in label_of if count[name] > 1 and name not in paths), None)
    if ambiguous is not None:
        raise CommandFailed(
            f"{table}: {ambiguous!r} is the name of {count[ambiguous]} images; give their paths "
            "as in clusters.csv"
        )
    return [label_of.get(path, label_of.get(name)) for path, name in zip(paths, names, strict=True)]


def _print(result: dict[str, Any]) -> None:
    without = result["n_without_label"]
    rest = f" ({without:,} more have no label)" if without else ""
    say(f"images                {result['n_images']:,}{rest}")
    say(f"classes, clusters     {result['n_classes']}, {result['n_clusters']}")
    for name, title in _TITLES.items():
        say(f"{title:<21} {result[name]:.4f}")


_TITLES = {
    "accuracy": "accuracy",
    "many_to_one_accuracy": "many-to-one accuracy",
    "nmi": "NMI",
    "ari": "ARI",
    "ami": "AMI",
}
