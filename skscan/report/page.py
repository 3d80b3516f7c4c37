"""The report: one HTML file that is opened from disk and needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from skscan._files import TEMPORARY_PREFIX
from skscan._progress import progress
from skscan.images.collection import FileImages
from skscan.report.files import REPORT, REPORT_FILES
from skscan.report.page_data import PageData, build_page_data
from skscan.report.remembering import RememberingImages
from skscan.report.run import find_images_of_run, read_run
from skscan.report.thumbnail_files import ThumbnailFolder, ThumbnailSource, thumbnails_of
from skscan.report.thumbnail_store import ThumbnailStore
from skscan.report.thumbnails import IMAGE_TYPE

__all__ = ["MAX_EMBEDDED", "Additions", "Report", "served_page", "write_page", "write_report"]

MAX_EMBEDDED = 5_000
"""Thumbnails of more images than this lie in a folder beside the page."""

_ASSETS = Path(__file__).parent / "assets"
_SCRIPTS = (
    "base.js",
    "store.js",
    "review.js",
    "charts.js",
    "gallery.js",
    "dialogs.js",
    "cards.js",
    "map.js",
    "overview.js",
)
_LAST_SCRIPT = "main.js"  # puts together what the others define
_PROMISE = "This page holds everything that it shows, and asks no network for anything."
_END = "</body>\n</html>\n"
_PER_CHUNK = 100
_THUMBNAILS = {"per_folder": 1_000, "per_chunk": _PER_CHUNK}


@dataclass(frozen=True)
class Report:
    """A report that was written.

    Parameters
    ----------
    path : Path
        The page.
    n_images : int
        Images on it.
    n_missing : int
        Of these, images that cannot be read any more, so that a blank stands in their place.
    """

    path: Path
    n_images: int
    n_missing: int


@dataclass(frozen=True)
class Additions:
    """What a server adds to the page.

    Parameters
    ----------
    scripts : sequence of str
        JavaScript that runs before the page is put together.
    style : str
        CSS.
    promise : str
        What the page says of where its data are.
    """

    scripts: Sequence[str]
    style: str
    promise: str


def write_report(
    folder: str | os.PathLike,
    *,
    images: str | os.PathLike | None = None,
    thumbnail_cache: str | os.PathLike | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Report:
    """Write ``report.html`` into the results folder of ``skscan cluster``.

    The page opens from disk, asks no network for anything, and holds thumbnails of up to 5,000
    images; for more, these lie beside it in ``report_files/``. Of more than 50,000 images it
    shows a sample, and says so. An earlier report is replaced in the end.

    Parameters
    ----------
    folder : str or path-like
        What ``skscan cluster`` has written.
    images : str or path-like or None, default=None
        The folder or zip of the images, where it is no longer where it was.
    thumbnail_cache : str or path-like or None, default=None
        A file that keeps thumbnails from one call to the next, made where there is none.
    n_jobs : int or None, default=None
        Threads that make thumbnails; None is one for each core.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    Report

    Raises
    ------
    ValueError
        If `folder` holds no results, or damaged ones.
    OSError
        If writing fails; an earlier report is left as it was.
    """
    folder = Path(folder)
    run = read_run(folder)
    data = build_page_data(run)
    wanted = [run.paths[row] for row in data.shown]
    paths = find_images_of_run(run.summary, wanted, None if images is None else Path(images))
    files: FileImages = FileImages(paths)
    if thumbnail_cache is not None:
        files = RememberingImages(paths, ThumbnailStore(thumbnail_cache))
    return write_page(folder, data, thumbnails_of(files, n_jobs), verbose=verbose)


def write_page(
    folder: Path, data: PageData, thumbnails: ThumbnailSource, *, verbose: int = 0
) -> Report:
    """Write a page and its thumbnails; what was there before is replaced in the end.

    Parameters
    ----------
    folder : Path
        Exists.
    data : PageData
    thumbnails : ThumbnailSource
        Of the images on the page.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    Report

    Raises
    ------
    OSError
        If writing fails; an earlier page is left as it was.
    """
    page = folder / f"{TEMPORARY_PREFIX}{REPORT}.tmp"
    files = ThumbnailFolder(os.path.join(folder, REPORT_FILES, "thumbnails"))
    order = data.first.tolist()
    bar = progress(total=len(order), desc="report", unit="img", verbose=verbose)
    shown = _counted(thumbnails, bar)
    embedded = len(data.shown) <= MAX_EMBEDDED
    try:
        with bar:
            if embedded:
                n_missing = _write_html(page, data, shown.get(order))
            else:
                missing = files.complete(shown, order)
                n_missing = len(missing)
                _write_html(page, data, None, missing, thumbnails.names)
        os.replace(page, folder / REPORT)
    finally:
        page.unlink(missing_ok=True)
    if embedded:
        shutil.rmtree(folder / REPORT_FILES, ignore_errors=True)
    else:
        files.remove_others(thumbnails)
    return Report(folder / REPORT, len(order), n_missing)


def _counted(thumbnails: ThumbnailSource, bar: Any) -> ThumbnailSource:
    """Return the same thumbnails, which move a bar as they are made."""

    def get(numbers: list[int]) -> Iterator[bytes | None]:
        bar.update(len(thumbnails.names) - len(numbers))  # those that need not be made
        for thumbnail in thumbnails.get(numbers):
            yield thumbnail
            bar.update()

    return replace(thumbnails, get=get)


def _write_html(
    page: Path,
    data: PageData,
    thumbnails: Iterator[bytes | None] | None,
    missing: Sequence[int] = (),
    names: Sequence[bytes] = (),
) -> int:
    """Write the page, with thumbnails in it or their names; return how many are missing in it."""
    embedded = thumbnails is not None
    place = {
        "folder": None if embedded else f"{REPORT_FILES}/thumbnails",
        "order": data.first.tolist() if embedded else None,
        "names": None if embedded else base64.b64encode(b"".join(names)).decode("ascii"),
        "missing": list(missing),
    }
    content = data.content | {"thumbnails": _THUMBNAILS | {"type": IMAGE_TYPE} | place}
    n_missing = 0
    with page.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_head(content))
        if thumbnails is not None:
            n_missing = _write_chunks(file, thumbnails)
        file.write(_END)
    return n_missing


def _write_chunks(file: IO[str], thumbnails: Iterator[bytes | None]) -> int:
    """Write thumbnails as lines of base64 in blocks that the browser does not run or show."""
    n_missing, n_written = 0, 0
    for thumbnail in thumbnails:
        if n_written % _PER_CHUNK == 0:
            file.write("</script>\n" if n_written else "")
            file.write('<script type="text/plain" class="thumbnails">\n')
        n_missing += thumbnail is None
        file.write(base64.b64encode(thumbnail or b"").decode("ascii") + "\n")
        n_written += 1
    file.write("</script>\n" if n_written else "")
    return n_missing


def served_page(data: PageData, additions: Additions, **more: Any) -> str:
    """Return the page for a server, which it asks for thumbnails one by one.

    Parameters
    ----------
    data : PageData
    additions : Additions
    **more : object
        What is to stand beside `data.content` in the page's data.

    Returns
    -------
    html : str
        Asks for ``thumbnails/{thousand}/{number}.{type}`` beside its own address.
    """
    place: dict[str, Any] = {
        "folder": "thumbnails",
        "order": None,
        "names": None,
        "missing": [],
    }
    content = data.content | {"thumbnails": _THUMBNAILS | {"type": IMAGE_TYPE} | place} | more
    return _head(content, additions) + _END


def _head(content: dict[str, Any], additions: Additions | None = None) -> str:
    """Everything of the page but its thumbnails.

    The policy in it lets nothing run but the scripts of this package, whatever a file name holds,
    and no request leave the page, except to the server that it came from.
    """
    style = _asset("style.css") + (additions.style if additions else "")
    own = [_asset(f"js/{name}") for name in _SCRIPTS]
    own += [*(additions.scripts if additions else ()), _asset(f"js/{_LAST_SCRIPT}")]
    scripts = [_asset("vendor/vendor.min.js"), "\n".join(own)]
    slots = {
        "licences": html.escape(_asset("vendor/LICENSES.txt")),
        "policy": "; ".join(
            [
                "default-src 'none'",
                "img-src data: blob: file: 'self'",
                f"style-src {_hash(style)}",
                f"script-src {' '.join(_hash(script) for script in scripts)}",
                "base-uri 'none'",
                "form-action 'none'",
                *(["connect-src 'self'"] if additions else []),
            ]
        ),
        "promise": html.escape(additions.promise if additions else _PROMISE),
        "title": html.escape(_visible(content["run"]["title"])),
        "style": style,
        "data": _json(content),
        "vendor": scripts[0],
        "script": scripts[1],
    }
    parts = _asset("page.html").split("[[")
    return parts[0] + "".join(
        slots[name] + rest for name, rest in (part.split("]]", 1) for part in parts[1:])
    )


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


def _json(content: dict[str, Any]) -> str:
    """JSON that ends no script element; names that are no UTF-8 stay what they are."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _visible(name: str) -> str:
    from skscan.images.names import printable

    return printable(name)
