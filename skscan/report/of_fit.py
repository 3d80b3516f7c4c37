"""The report on a run in the process that runs it: begun early, and written from what is known."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from skscan.report.files import run_id
from skscan.report.map_layout import MAX_ON_MAP, map_layout, sampled_affinity
from skscan.report.page import Report, write_page
from skscan.report.page_data import build_page_data
from skscan.report.remembering import RememberingImages
from skscan.report.run import run_of_model
from skscan.report.thumbnail_files import thumbnails_of
from skscan.report.thumbnail_store import ThumbnailStore

__all__ = ["ReportOfFit"]


class ReportOfFit:
    """Writes what `write_report` would write, without reading the results back.

    The map of the images depends on their neighbours alone: it is drawn in a thread while heads,
    which leave a core to it, are trained.

    Parameters
    ----------
    paths : list of str
        Of the images of the run.
    thumbnail_cache : path
        The file that keeps thumbnails.

    Attributes
    ----------
    images : RememberingImages
        What is to be clustered: thumbnails are made while the images are decoded.
    """

    def __init__(self, paths: list[str], thumbnail_cache: str | os.PathLike) -> None:
        self.images = RememberingImages(paths, ThumbnailStore(thumbnail_cache))
        self._executor = ThreadPoolExecutor(1)
        self._places: Future[NDArray[np.floating]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown(wait=False, cancel_futures=True)

    def begin(self, graph: csr_matrix) -> None:
        """Begin to draw the map.

        Parameters
        ----------
        graph : csr_matrix of shape (n_images, n_images)
            Distances to the mined neighbours of the images that could be read.
        """
        if graph.shape[0] <= MAX_ON_MAP:
            self._places = self._executor.submit(
                lambda: map_layout(sampled_affinity(graph), random_state=0)
            )

    def write(
        self,
        folder: Path,
        model: Any,
        summary: dict[str, Any],
        rows: Sequence[tuple[Any, ...]],
        *,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> Report:
        """Write the report.

        Parameters
        ----------
        folder : Path
            The results folder, with its tables in place.
        model : SCANClusterer
            Fitted.
        summary : dict
            Numbers of the run.
        rows : sequence of (path, cluster, confidence, second_cluster)
            As ``clusters.csv`` has them.
        n_jobs, verbose
            See `skscan.report.write_report`.

        Returns
        -------
        Report

        Raises
        ------
        OSError
            If writing fails.
        """
        images = self.images
        skipped = [(images.names[image.index], image.reason) for image in model.skipped_]
        run = run_of_model(model, summary, rows, skipped, run_id(folder))
        places = None if self._places is None else self._places.result()
        data = build_page_data(run, places=places)
        shown = run.read[data.shown]
        everything = len(shown) == len(images)
        images.flush()
        files = images if everything else images.take(shown)
        return write_page(folder, data, thumbnails_of(files, n_jobs), verbose=verbose)
