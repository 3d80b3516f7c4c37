"""What a finished run says of its images, read from its results folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from skscan.report.files import (
    CLUSTERS,
    MODEL,
    SKIPPED,
    read_numbers,
    read_rows,
    read_summary,
    run_id,
)

__all__ = ["Run", "find_images_of_run", "read_run", "run_of_model"]


@dataclass(frozen=True)
class Run:
    """The images of a run that could be read, and what was found out about them.

    Parameters
    ----------
    run_id : str
        Tells this run from others.
    summary : dict
        Numbers of the run, as in ``summary.json``.
    paths : list of str
        Path of each image, as in ``clusters.csv``.
    numbers : int ndarray of shape (n_images,)
        What decisions know each image by, also when others have come or gone.
    clusters : int ndarray of shape (n_images,)
    confidence : ndarray of shape (n_images,)
        Probability of each image's own cluster.
    second : int ndarray of shape (n_images,)
        Second most probable cluster; -1 where there is one cluster only.
    neighbors : csr_matrix of shape (n_images, n_images)
        Distances to the mined neighbours.
    n_clusters : int
    skipped : list of (str, str)
        Path and reason of each file that could not be read.
    model : object
        The fitted clusterer.
    read : int ndarray of shape (n_images,)
        Row of each image in the arrays of the model.
    """

    run_id: str
    summary: dict[str, Any]
    paths: list[str]
    numbers: NDArray[np.integer]
    clusters: NDArray[np.integer]
    confidence: NDArray[np.floating]
    second: NDArray[np.integer]
    neighbors: csr_matrix
    n_clusters: int
    skipped: list[tuple[str, str]]
    model: Any
    read: NDArray[np.integer]

    @property
    def folder_classes(self) -> list[str] | None:
        """The folder that each image lies in, where the run was told that this is its class."""
        if "accuracy" not in self.summary:
            return None
        return [PurePath(path).parent.name for path in self.paths]


def read_run(folder: Path) -> Run:
    """Read the results that ``skscan cluster`` wrote to `folder`.

    Raises
    ------
    ValueError
        If there are none, or if tables and model do not belong together.
    ModelFileError
        If the model is damaged.
    """
    from skscan.persistence import load

    summary = read_summary(folder)
    columns = ["path", "cluster", "confidence", "second_cluster"]
    rows = read_rows(folder / CLUSTERS, columns)
    skipped = read_rows(folder / SKIPPED, ["path", "reason"])
    if not (folder / MODEL).is_dir():
        raise ValueError(f"{folder} holds no model; run `skscan cluster` again")
    model = load(folder / MODEL)
    try:
        run = run_of_model(
            model,
            summary,
            [tuple(row[name] for name in columns) for row in rows],
            [(row["path"], row["reason"]) for row in skipped],
            run_id(folder),
            read_numbers(folder, [row["path"] for row in rows]),
        )
    except ValueError as error:
        raise ValueError(f"{folder} holds tables that are damaged: {error}") from error
    if not np.array_equal(run.clusters, model.labels_[run.read]):
        raise ValueError(f"{folder / CLUSTERS} was changed since the model beside it was saved")
    return run


def run_of_model(
    model: Any,
    summary: dict[str, Any],
    rows: Sequence[tuple[Any, ...]],
    skipped: Sequence[tuple[str, str]],
    identity: str,
    numbers: Sequence[int] | None = None,
) -> Run:
    """Put together what is said of a run by its model and by the rows of its tables.

    Parameters
    ----------
    model : SCANClusterer
        Fitted.
    summary : dict
        Numbers of the run.
    rows : sequence of (path, cluster, confidence, second_cluster)
        Of the images that could be read, as ``clusters.csv`` has them.
    skipped : sequence of (path, reason)
        Of the others.
    identity : str
        Tells the run from others, see `skscan.report.files.run_id`.
    numbers : sequence of int or None, default=None
        What decisions know each image by; None is its place in `rows`.

    Raises
    ------
    ValueError
        If what ought to be a number is none.
    """
    read = np.flatnonzero(model.labels_ >= 0)
    paths, clusters, confidence, second = zip(*rows, strict=True) if rows else ((), (), (), ())
    graph = model.neighbors_
    return Run(
        run_id=identity,
        summary=summary,
        paths=list(paths),
        numbers=np.arange(len(paths)) if numbers is None else np.asarray(numbers, dtype=np.int64),
        clusters=np.array(list(map(int, clusters)), dtype=np.int64),
        confidence=np.array(list(map(float, confidence))),
        second=np.array([-1 if each == "" else int(each) for each in second], dtype=np.int64),
        neighbors=graph if len(read) == graph.shape[0] else graph[read][:, read].tocsr(),
        n_clusters=int(model.n_clusters_),
        skipped=list(skipped),
        model=model,
        read=read,
    )


def find_images_of_run(
    summary: dict[str, Any], paths: list[str], folder: Path | None = None
) -> list[str]:
    """Return where the images of a run lie now.

    Paths are as they were given to the run. Relative ones count from the folder that it was started
    in, unless the image is found from the current one.

    Parameters
    ----------
    summary : dict
        Numbers of the run.
    paths : list of str
    folder : Path or None
        The folder or zip that the images lie in today, where that has another place or name.

    Returns
    -------
    list of str
    """
    if folder is not None:
        old = os.path.join(str(summary["folder"]), "")
        return [
            os.path.join(folder, path[len(old) :]) if path.startswith(old) else path
            for path in paths
        ]
    start = summary.get("working_folder")
    images = str(summary["folder"])
    if start is None or os.path.isabs(images) or os.path.lexists(images):
        return paths
    return [os.path.join(start, path) for path in paths]
