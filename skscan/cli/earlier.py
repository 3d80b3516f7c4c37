"""What a run knew of its images, and how those that lie there now differ from them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.outcome import ImageRow
from skscan.cli.results import IMAGES, IMAGES_HEADER, SUMMARY, is_results_folder
from skscan.cli.tables import read_table
from skscan.cli.terminal import escaped

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "Changes",
    "EarlierRun",
    "check_images",
    "check_results",
    "compare",
    "numbers_now",
    "place_of_images",
    "read_earlier",
]


@dataclass(frozen=True)
class EarlierRun:
    """What is known of the images of a run.

    Parameters
    ----------
    out : Path
    summary : dict
    rows : list of (path, version, number)
        In the order of the model's samples.
    """

    out: Path
    summary: dict[str, Any]
    rows: list[ImageRow]

    @property
    def n_numbered(self) -> int:
        """How many images were ever numbered: numbers are not given twice."""
        n_read = sum(number != "" for _, _, number in self.rows)
        return int(self.summary.get("n_numbered", n_read))


@dataclass(frozen=True)
class Changes:
    """How the images of now differ from those of a run.

    Parameters
    ----------
    names : list of str
        Paths of the images of now, as the run would have written them.
    versions : list of str
    rows : int ndarray of shape (n_images,)
        Row of each image in the run; -1 for one that is new.
    earlier : int ndarray of shape (n_images,)
        The same, and -1 for one that was changed.
    n_removed : int
    """

    names: list[str]
    versions: list[str]
    rows: "np.ndarray"
    earlier: "np.ndarray"
    n_removed: int

    @property
    def n_known(self) -> int:
        """How many were there before."""
        return int((self.rows >= 0).sum())

    @property
    def n_changed(self) -> int:
        """How many of these were changed."""
        return self.n_known - int((self.earlier >= 0).sum())

    @property
    def n_new(self) -> int:
        """How many were not there before."""
        return len(self.names) - self.n_known

    @property
    def none(self) -> bool:
        """Whether all is as it was."""
        return not (self.n_new or self.n_changed or self.n_removed)


def check_results(out: Path) -> None:
    """Refuse a folder that holds no results, damaged ones, or those of a later release."""
    from skscan.report.files import read_summary

    if not is_results_folder(out):
        if (out / SUMMARY).is_file():
            raise WrongUse(f"{escaped(str(out / SUMMARY))} is damaged, or none of `skscan cluster`")
        raise WrongUse(f"{escaped(str(out))} holds no results of `skscan cluster`")
    read_summary(out)


def read_earlier(out: Path) -> EarlierRun:
    """Read what is known of a run.

    Raises
    ------
    WrongUse
        If it is one of a release that did not note how files were.
    CommandFailed
        If it is damaged.
    """
    from skscan.report.files import read_summary

    if not (out / IMAGES).is_file():
        raise WrongUse(
            f"{escaped(str(out))} holds no {IMAGES}, as of an earlier release: what is new cannot "
            "be told. Sort the folder once more with `skscan cluster`"
        )
    summary = read_summary(out)
    if not isinstance(summary.get("folder"), str):
        raise CommandFailed(f'{escaped(str(out / SUMMARY))} is damaged: its "folder" is no text')
    try:
        rows: list[ImageRow] = [
            (row["path"], row["version"], int(row["number"]) if row["number"] else "")
            for row in read_table(out / IMAGES, IMAGES_HEADER)
        ]
    except ValueError as error:
        raise CommandFailed(f"{escaped(str(out / IMAGES))} is damaged: {error}") from error
    return EarlierRun(out, summary, rows)


def place_of_images(earlier: EarlierRun) -> Path:
    """Return where the images of a run lie.

    A relative place counts from where the run was started, also where the current folder has one of
    that name: other images would take the place of those that were sorted.
    """
    folder, start = earlier.summary["folder"], earlier.summary.get("working_folder", "")
    usual = os.path.join(start, folder)
    for place in (usual, folder):
        if os.path.exists(place):
            return Path(folder if start == os.getcwd() else place)
    raise WrongUse(
        f"the images lie no longer in {escaped(usual)}; --images FOLDER tells where they lie now"
    )


def check_images(earlier: EarlierRun, changes: Changes, source: Path) -> None:
    """Refuse images of which none was sorted before: these would leave the results."""
    if earlier.rows and not changes.n_known:
        raise WrongUse(
            f"none of the {len(earlier.rows):,} images that were sorted lies in "
            f"{escaped(str(source))}: is it another folder? `skscan predict` sorts the images of "
            "other folders into these classes"
        )


def compare(earlier: EarlierRun, source: Path, paths: list[str], versions: list[str]) -> Changes:
    """Find out which images are new, were changed, or are gone.

    Parameters
    ----------
    earlier : EarlierRun
    source : Path
        Where the images lie now; that they may have lain elsewhere makes them no others.
    paths, versions : list of str
        Of all images in `source`; see `skscan.cli.outcome.versions_of`.
    """
    import numpy as np

    folder, length = earlier.summary["folder"], len(os.fsdecode(source))
    names = [folder + path[length:] for path in paths]
    known = {path: (row, version) for row, (path, version, _) in enumerate(earlier.rows)}
    unknown = (-1, "")
    found = [known.get(name, unknown) for name in names]
    rows = np.array([row for row, _ in found], dtype=np.int64)
    differs = [old != new for (_, old), new in zip(found, versions, strict=True)]
    changed = (rows >= 0) & np.array(differs, dtype=bool)
    n_removed = len(known) - int((rows >= 0).sum())
    return Changes(names, versions, rows, np.where(changed, -1, rows), n_removed)


def numbers_now(
    earlier: EarlierRun, changes: Changes, labels: "np.ndarray"
) -> tuple[list[int], int]:
    """Return the numbers of the images that could be read, and how many were given by now.

    A file that was changed keeps its number: decisions on it hold on.
    """
    n_numbered = earlier.n_numbered
    numbers = []
    for row, label in zip(changes.rows.tolist(), labels.tolist(), strict=True):
        if label < 0:
            continue
        known = earlier.rows[row][2] if row >= 0 else ""
        if known == "":
            known, n_numbered = n_numbered, n_numbered + 1
        numbers.append(int(known))
    return numbers, n_numbered
