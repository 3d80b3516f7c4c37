"""Tables beside, or instead of, sorted images: CSV, parquet, COCO and Hugging Face."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from PIL import Image

from skscan.exceptions import ImageReadError
from skscan.images.archives import ImageArchive, split_archive_path
from skscan.report.applying.plan import Placement

__all__ = ["TABLES", "check_table", "read_source", "table_bytes"]

_COLUMNS = ("path", "class", "cluster", "confidence", "file", "moved", "rejected")


def _rows(plan: list[Placement]) -> list[tuple]:
    return [
        (
            placed.path,
            "" if placed.rejected else placed.class_name,
            placed.cluster,
            placed.confidence,
            placed.target or "",
            placed.moved,
            placed.rejected,
        )
        for placed in plan
    ]


def _csv(header: tuple[str, ...], rows: list[tuple]) -> bytes:
    file = io.StringIO(newline="")
    # a lone carriage return is not quoted before Python 3.13, and breaks the row
    odd = any("\r" in value for row in rows for value in row if isinstance(value, str))
    writer = csv.writer(
        file, lineterminator="\n", quoting=csv.QUOTE_ALL if odd else csv.QUOTE_MINIMAL
    )
    writer.writerow(header)
    writer.writerows(
        ["true" if v is True else "false" if v is False else v for v in row] for row in rows
    )
    return file.getvalue().encode("utf-8", "surrogateescape")


def _labels_csv(plan: list[Placement], folder: Path) -> bytes:
    return _csv(_COLUMNS, _rows(plan))


def _labels_parquet(plan: list[Placement], folder: Path) -> bytes:
    """Columns as in ``labels.csv``; bytes of a path that are no UTF-8 are escaped."""
    import pyarrow
    import pyarrow.parquet

    def text(value: object) -> object:
        if isinstance(value, str):
            return value.encode("utf-8", "backslashreplace").decode()
        return value

    columns = zip(*_rows(plan), strict=True) if plan else [[] for _ in _COLUMNS]
    table = pyarrow.table(
        {
            name: [text(value) for value in column]
            for name, column in zip(_COLUMNS, columns, strict=True)
        }
    )
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _coco(plan: list[Placement], folder: Path) -> bytes:
    """Write one box around each whole image, of the category that is its class."""
    kept = [placed for placed in plan if not placed.rejected]
    names = sorted({placed.class_name for placed in kept})
    number = {name: i + 1 for i, name in enumerate(names)}
    images, annotations = [], []
    for i, placed in enumerate(kept, start=1):
        width, height = _size(placed, folder)
        name = placed.target or placed.path
        images.append({"id": i, "file_name": name, "width": width, "height": height})
        annotations.append(
            {
                "id": i,
                "image_id": i,
                "category_id": number[placed.class_name],
                "bbox": [0, 0, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
        )
    document = {
        "info": {"description": "Classes of skscan, after review"},
        "images": images,
        "annotations": annotations,
        "categories": [{"id": i, "name": name, "supercategory": ""} for name, i in number.items()],
    }
    return json.dumps(document).encode()


def _size(placed: Placement, folder: Path) -> tuple[int, int]:
    if placed.target is None:
        file: io.BytesIO | Path = io.BytesIO(read_source(placed.source))
    else:
        file = folder / placed.target
    with Image.open(file) as image:
        return image.size


def _huggingface(plan: list[Placement], folder: Path) -> bytes:
    rows: list[tuple] = [(p.target, p.class_name) for p in plan if p.target is not None]
    return _csv(("file_name", "label"), rows)


TABLES: dict[str, tuple[str, Callable[[list[Placement], Path], bytes]]] = {
    "csv": ("labels.csv", _labels_csv),
    "parquet": ("labels.parquet", _labels_parquet),
    "coco": ("annotations.json", _coco),
    "huggingface": ("metadata.csv", _huggingface),
}


def check_table(kind: str, mode: str) -> None:
    """Refuse a table that cannot be written, before anything is done.

    Raises
    ------
    ValueError
        If `kind` is none, needs images beside it, or a package that is not installed.
    """
    if kind not in TABLES:
        raise ValueError(f"table {kind!r} is none of {', '.join(TABLES)}")
    if kind == "huggingface" and mode == "csv":
        raise ValueError(
            "Hugging Face's metadata.csv names files beside it; use --mode copy, move or link"
        )
    if kind == "parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ValueError(
                "a parquet table needs the package pyarrow: pip install pyarrow"
            ) from None


def table_bytes(kind: str, plan: list[Placement], folder: Path) -> bytes:
    """Return the content of a table on `plan`, whose images are in `folder` already."""
    return TABLES[kind][1](plan, folder)


def read_source(source: str) -> bytes:
    """Return the bytes of an image, also of one in a zip.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    inside = split_archive_path(source)
    if inside is None:
        return Path(source).read_bytes()
    try:
        return _archive(inside[0], os.stat(inside[0]).st_mtime_ns).read_bytes(inside[1])
    except (ImageReadError, ValueError) as error:
        raise OSError(f"cannot read {source!r}: {error}") from error


@lru_cache(maxsize=2)
def _archive(path: str, mtime_ns: int) -> ImageArchive:
    """Open an archive once: its list of entries takes long to read."""
    return ImageArchive(path)
