"""The results folder of ``skscan cluster``: what lies in it, and how it is written.

::

    OUT/
      clusters.csv       path, cluster, confidence, second_cluster: one row for each image sorted
      skipped.csv        path, reason: one row for each image that could not be read
      images.csv         path, version, number: what each file was when it was looked at, and what
                         decisions know it by; `skscan update` finds new images by it
      contact_sheets/    cluster_00.jpg, ...: one picture for each cluster
      report.html        the classes, to be looked at and repaired in a browser
      report_files/      thumbnails, if the report has more than 5,000 images
      decisions.json     what was decided in the page of `skscan serve`
      model/             what `skscan predict` and `skscan.load` read
      summary.json       numbers of the run
"""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from skscan.cli.errors import WrongUse
from skscan.cli.tables import naming
from skscan.report.files import (
    CLUSTERS,
    CONTACT_SHEETS,
    FORMAT,
    FORMAT_VERSION,
    IMAGES,
    MODEL,
    REPORT,
    REPORT_FILES,
    SKIPPED,
    SUMMARY,
    is_results_folder,
)

__all__ = [
    "CLUSTERS",
    "CLUSTERS_HEADER",
    "CONTACT_SHEETS",
    "IMAGES",
    "IMAGES_HEADER",
    "MODEL",
    "SKIPPED",
    "SKIPPED_HEADER",
    "ResultsFolder",
    "is_results_folder",
]

CLUSTERS_HEADER = ("path", "cluster", "confidence", "second_cluster")
SKIPPED_HEADER = ("path", "reason")
IMAGES_HEADER = ("path", "version", "number")
_STAGING = ".skscan-partial"
_WRITER = "process"
_PLACED_SHEETS = "contact_sheets_in_place"


class ResultsFolder:
    """Collects the results of one run aside, and puts them in place together.

    Until `commit`, an earlier run's results in the folder stay as they are; afterwards they
    are replaced. Files that skscan did not write are never touched.

    Parameters
    ----------
    folder : Path
        Made, with its parents, when it is entered.

    Raises
    ------
    WrongUse
        On entering, if the folder holds something else than results of skscan.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.staging = folder / _STAGING
        self.has_earlier_results = False

    def __enter__(self) -> Self:
        if self.folder.exists() and not self.folder.is_dir():
            raise WrongUse(f"{self.folder} is a file; -o takes a folder")
        existed = self.folder.exists()
        if existed:
            self._refuse_foreign_content()
        self._created = [] if existed else _missing_folders(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._refuse_running_writer()
        self._finish_commit()  # of a run that was killed in the middle of it
        shutil.rmtree(self.staging, ignore_errors=True)  # left by one that was killed before
        self.staging.mkdir()
        (self.staging / _WRITER).write_text(str(os.getpid()))
        return self

    def _refuse_running_writer(self) -> None:
        """Refuse a folder that another process is writing results for at this moment."""
        try:
            writer = int((self.staging / _WRITER).read_text())
        except (OSError, ValueError):
            return
        if writer != os.getpid() and _is_running(writer):
            raise WrongUse(
                f"another run of skscan (process {writer}) is writing to {self.folder}; "
                "wait for it, or choose another folder with -o"
            )

    def _refuse_foreign_content(self) -> None:
        self.has_earlier_results = is_results_folder(self.folder)
        content = os.listdir(self.folder)
        foreign = [name for name in content if name != _STAGING]
        # where what was staged still lies, a run was killed while it put its results in place
        if foreign and not self.has_earlier_results and _STAGING not in content:
            raise WrongUse(
                f"{self.folder} is not empty and holds no results of skscan ({foreign[0]!r} is in "
                "it); choose another folder with -o"
            )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._finish_commit()
        shutil.rmtree(self.staging, ignore_errors=True)
        for folder in self._created:  # only those still empty: nothing was committed
            with suppress(OSError):
                folder.rmdir()

    def commit(self, summary: dict[str, Any], *, keep_thumbnails: bool = False) -> None:
        """Put what was staged in place, with `summary` beside it.

        Each file, and the model as a whole, is replaced in one step; the summary comes last, so
        that it never speaks of results that are not there. Once the model is in place there is no
        way back: what an interruption or a kill leaves staged is put in place by this process on
        its way out, or by the next one that writes to the folder. The report on an earlier run
        goes, since it would speak of other clusters; its thumbnails may be kept for the next one.
        """
        with naming(self.folder):
            self._stage_summary(summary)
            (self.folder / REPORT).unlink(missing_ok=True)
            if not keep_thumbnails:
                shutil.rmtree(self.folder / REPORT_FILES, ignore_errors=True)
            try:
                self._replace_model()
            finally:
                self._finish_commit()

    def _finish_commit(self) -> None:
        """Put in place what is staged beside a model that is in place already."""
        if not (self.staging / SUMMARY).exists():
            return
        from skscan.persistence import MODEL_FILE  # which takes long to load, and is seldom needed

        if (self.staging / MODEL / MODEL_FILE).exists():
            return
        self._replace_contact_sheets()
        for name in (CLUSTERS, SKIPPED, IMAGES, SUMMARY):  # the summary last
            if (self.staging / name).exists():
                self._replace(name)

    def amend(self, summary: dict[str, Any]) -> None:
        """Replace the summary of results that are in place."""
        with naming(self.folder):
            self._stage_summary(summary)
            self._replace(SUMMARY)

    def _stage_summary(self, summary: dict[str, Any]) -> None:
        from skscan._files import write_atomically

        content = {"format": FORMAT, "format_version": FORMAT_VERSION, **summary}
        write_atomically(self.staging / SUMMARY, json.dumps(content, indent=2).encode())

    def _replace(self, name: str) -> None:
        os.replace(self.staging / name, self.folder / name)

    def _replace_model(self) -> None:
        from skscan.persistence import replace_model

        replace_model(self.staging / MODEL, self.folder / MODEL)

    def _replace_contact_sheets(self) -> None:
        staged, placing = self.staging / CONTACT_SHEETS, self.staging / _PLACED_SHEETS
        target = self.folder / CONTACT_SHEETS
        target.mkdir(exist_ok=True)
        if staged.exists():
            new = set(os.listdir(staged))
            for old in target.glob("cluster_*.jpg"):
                if old.name not in new:
                    old.unlink()
            staged.rename(placing)  # from here on some may be in place, and must stay
        if placing.exists():
            for name in sorted(os.listdir(placing)):
                os.replace(placing / name, target / name)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere, signal 0 is no harmless question
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _missing_folders(folder: Path) -> list[Path]:
    """Return `folder` and those of its parents that do not exist, innermost first."""
    return [path for path in (folder, *folder.parents) if not path.exists()]
