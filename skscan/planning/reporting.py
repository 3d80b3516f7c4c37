"""How long the report and the contact sheets of a run on images take."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from skscan._laws import Line
from skscan.benchmarking import generated_images
from skscan.planning.trial import Trial, line, seconds_of
from skscan.report.contact_sheets import N_TYPICAL, N_UNCERTAIN, write_contact_sheets
from skscan.report.map_layout import MAX_ON_MAP
from skscan.report.page import write_page
from skscan.report.page_data import build_page_data
from skscan.report.remembering import RememberingImages
from skscan.report.run import run_of_model
from skscan.report.thumbnail_files import thumbnails_of
from skscan.report.thumbnail_store import ThumbnailStore

__all__ = ["Reporting", "try_reporting"]

N_IMAGES = 64
N_SHEETS = 4
FEW_SHOWN = 1000


@dataclass(frozen=True)
class Reporting:
    """Seconds of a contact sheet, of the page by the images on it, and of an image that is not."""

    sheet: float
    page: Line
    other_image: float

    def __call__(self, n_images: int, n_clusters: int) -> float:
        """Return the seconds of all sheets and of the page."""
        shown = min(n_images, MAX_ON_MAP)
        others = n_images - shown
        return n_clusters * self.sheet + self.page(shown) + self.other_image * others


def try_reporting(trial: Trial, clock: Callable[[], float]) -> Reporting:
    """Write contact sheets and pages on generated images, whose thumbnails are there already.

    Parameters
    ----------
    trial : Trial
        Of the job.
    clock : callable
        Gives seconds.
    """
    models = {n: trial.fitted(n) for n in trial.graph}
    with generated_images(N_IMAGES) as files, tempfile.TemporaryDirectory() as folder:
        store = ThumbnailStore(Path(folder, "thumbnails"))

        def images_of(n: int) -> RememberingImages:
            return RememberingImages([files[i % N_IMAGES] for i in range(n)], store)

        first = images_of(N_IMAGES)
        for i in range(N_IMAGES):
            first.read(i)
        first.flush()

        def write(n: int) -> None:
            images = images_of(n)
            data = build_page_data(_run(models[n], images.names))
            write_page(Path(folder), data, thumbnails_of(images.take(data.shown), None))

        def gather(n: int) -> None:
            images = images_of(n)
            build_page_data(_run(models[n], images.names), FEW_SHOWN)

        page = line(write, clock, repeats=1)
        rest = line(gather, clock, repeats=1)
        n = min(models)
        n_sheets = min(N_SHEETS, n // (N_TYPICAL + N_UNCERTAIN))  # so that they are full
        sheets = partial(_write_sheets, Path(folder), images_of(n), models[n].neighbors_, n_sheets)
        return Reporting(seconds_of(sheets, clock, repeats=1) / n_sheets, page, rest.slope)


def _run(model: Any, paths: list[str]) -> Any:
    labels, confidences = model.labels_, model.probabilities_.max(axis=1)
    rows = list(zip(paths, labels.tolist(), confidences.tolist(), labels.tolist(), strict=True))
    return run_of_model(model, {}, rows, [], "trial")


def _write_sheets(folder: Path, images: RememberingImages, neighbors: Any, n_sheets: int) -> None:
    labels = np.arange(len(images)) % n_sheets
    even = np.full((len(images), n_sheets), 1 / n_sheets, dtype=np.float32)
    write_contact_sheets(folder, images.small(), labels, even, neighbors)
