"""Tables of image paths as CSV, and files that are written whole or not at all.

Tables are UTF-8. A file name may hold bytes that are no UTF-8: they are written as they are, and
``open(..., encoding="utf-8", errors="surrogateescape", newline="")`` gives back a path that opens
the file.
"""

import csv
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from skscan.cli.errors import CommandFailed, WrongUse


def write_table(file: TextIO, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write `rows` under `header` as CSV."""
    plain = csv.writer(file, lineterminator="\n")
    quoted = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    plain.writerow(header)
    for row in rows:
        # Before Python 3.13 a lone carriage return is not quoted, and breaks the row.
        has_return = any("\r" in value for value in row if isinstance(value, str))
        (quoted if has_return else plain).writerow(row)


def open_table(path: Path) -> TextIO:
    """Open `path` to write a table to, in the encoding of all tables."""
    return path.open("w", encoding="utf-8", errors="surrogateescape", newline="")


def check_output_file(path: Path) -> None:
    """Refuse a place where no file can be, before any work is done for it.

    Raises
    ------
    WrongUse
        If `path` is a folder, or would lie in one that does not exist.
    CommandFailed
        If nothing can be written there.
    """
    if path.is_dir():
        raise WrongUse(f"-o {path} is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise WrongUse(f"-o {path}: there is no folder {path.parent}")
    try:
        tempfile.TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise CommandFailed(
            f"-o {path}: {path.parent} cannot be written to ({error.strerror})"
        ) from error


@contextmanager
def naming(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Let an error of writing name `path`; by itself a failed write does not say where.

    Parameters
    ----------
    path : Path
        What the user knows of.
    partial : Path, optional
        What is written in its place at first.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # NumPy's, of a write that was cut short
            raise CommandFailed(
                f"{path} could not be written ({error}); the disk may be full"
            ) from error
        if error.filename is None or error.filename == os.fspath(partial or path):
            error.filename = os.fspath(path)
        raise


@contextmanager
def replaced_atomically(path: Path) -> Iterator[Path]:
    """Give a path to write to that takes the place of `path` when all went well.

    Raises
    ------
    WrongUse
        If the folder of `path` does not exist, or `path` is a folder.
    """
    if not path.parent.is_dir():
        raise WrongUse(f"no such folder: {path.parent}")
    if path.is_dir():
        raise WrongUse(f"{path} is a folder; a file name is needed")
    if path.exists() and not path.is_file():  # a pipe or device, as in -o /dev/stdout
        with naming(path):
            yield path
        return
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with naming(path, partial):
            yield partial
            os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def read_table(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """Read the rows of a CSV that has at least `columns`.

    Raises
    ------
    CommandFailed
        If a column is missing, or the file is no CSV.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            header = list(reader.fieldnames or ())
    except csv.Error as error:
        raise CommandFailed(f"{path} is not a CSV file: {error}") from error
    missing = [name for name in columns if name not in header]
    if missing:
        raise CommandFailed(f"{path} has no column {missing[0]!r}; its columns are {header}")
    if any(row[name] is None for row in rows for name in columns):
        raise CommandFailed(f"{path} is cut off: a row has fewer columns than its header")
    return rows
