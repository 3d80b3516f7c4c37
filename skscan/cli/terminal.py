"""What reaches the terminal: results on stdout, everything else on stderr."""

import io
import json
import os
import sys
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

from skscan.cli.errors import OutputClosed
from skscan.cli.tables import write_table


def escaped(text: str) -> str:
    """Return `text` as one line that is safe to print: file names may hold anything."""
    from skscan.images.names import printable

    return printable(text)


def say(text: str = "") -> None:
    """Print result text on stdout."""
    _write(sys.stdout, text + "\n")


def say_json(result: dict[str, Any]) -> None:
    """Print `result` as the one JSON object on stdout."""
    say(json.dumps(result))


def say_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout: as CSV, with file names as they are unless a person reads it."""
    if sys.stdout.isatty():
        rows = [[escaped(str(value)) for value in row] for row in rows]
    table = io.StringIO(newline="")
    write_table(table, header, rows)
    data = table.getvalue().encode("utf-8", "surrogateescape")
    sys.stdout.flush()
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        silence_stdout()
        raise OutputClosed from error


class _Manner:
    """How the command at work speaks."""

    options: frozenset[str] = frozenset()
    quiet = False


@contextmanager
def speaking(options: Collection[str], *, quiet: bool) -> Iterator[None]:
    """While a command works, name its options, and give no remarks and warnings if it is quiet."""
    before = _Manner.options, _Manner.quiet
    _Manner.options, _Manner.quiet = frozenset(options), quiet
    try:
        yield
    finally:
        _Manner.options, _Manner.quiet = before


def worded(message: str) -> str:
    """Return a message of the library in the words of the command at work."""
    from skscan.cli.wording import in_options

    return in_options(message, _Manner.options)


def note(text: str) -> None:
    """Print a remark on stderr, above any progress bar that is being drawn; not with --quiet."""
    if not _Manner.quiet:
        complain(text)


def complain(text: str) -> None:
    """Print on stderr what went wrong with a part of the work, with --quiet too."""
    from tqdm import tqdm

    with suppress(OSError, ValueError):  # a closed stderr must not stop the work
        tqdm.write(text, file=sys.stderr)


def _write(stream: TextIO, text: str) -> None:
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError as error:
        silence_stdout()
        raise OutputClosed from error


def silence_stdout() -> None:
    """Send what is left of stdout nowhere, so that its flush at exit has nothing to complain of."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show_warnings_as_lines() -> None:
    """Print each distinct library warning as one clean line on stderr, once.

    Warnings meant for developers (deprecations) stay hidden, and all of them with --quiet.
    """
    already_shown: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        line = worded(escaped(" ".join(str(message).split())))
        if issubclass(category, UserWarning | RuntimeWarning) and line not in already_shown:
            already_shown.add(line)
            note(f"warning: {line}")

    warnings.showwarning = show


@contextmanager
def only_results_on_stdout() -> Iterator[None]:
    """While work is done, send to stderr what libraries print on stdout."""
    with redirect_stdout(sys.stderr):
        yield
