"""The report on a run in the process that ran it, written from what is known there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skscan.report.files import run_id
from skscan.report.page import Report, write_page
from skscan.report.page_data import build_page_data
from skscan.report.remembering import RememberingImages
from skscan.report.run import run_of_model
from skscan.report.thumbnail_files import thumbnails_of
from skscan.report.thumbnail_store import ThumbnailStore

__all__ = ["ReportOfFit"]


class ReportOfFit:
    """Writes what `write_report` would write, without reading the results back.

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

    def write(
        self,
        folder: Path,
        model: Any,
        summary: dict[str, Any],
        rows: Sequence[tuple[Any, ...]],
        skipped: Sequence[tuple[str, str]],
        *,
        numbers: Sequence[int] | None = None,
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
        skipped : sequence of (path, reason)
            As ``skipped.csv`` has them.
        numbers : sequence of int or None, default=None
            What decisions know the images of the rows by; None is their places.
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
        run = run_of_model(model, summary, rows, skipped, run_id(folder), numbers)
        data = build_page_data(run)
        shown = run.read[data.shown]
        everything = len(shown) == len(images)
        images.flush()
        files = images if everything else images.take(shown)
        return write_page(folder, data, thumbnails_of(files, n_jobs), verbose=verbose)
