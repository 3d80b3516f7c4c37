"""The one progress display: bars, or lines where nobody watches, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

__all__ = ["announce", "progress"]

SECONDS_BETWEEN_LINES = 10.0


class _ProgressLines(tqdm):
    """Progress as lines of its own, for a log: a bar that redraws itself would fill one line."""

    disable: bool
    written_at = 0

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if self.n > self.written_at:
            self.written_at = self.n
            self.fp.write(f"{msg or self}\n")
            self.fp.flush()

    def clear(self, *_: Any, **__: Any) -> None:
        """Leave lines as they are."""

    def close(self) -> None:
        """Write the last line, without the blank one that ends a bar."""
        if not self.disable:
            self.display()
            self.disable = True


def progress(
    iterable: Iterable[Any] | None = None,
    *,
    total: int | None = None,
    desc: str | None = None,
    unit: str = "it",
    verbose: int | bool = 1,
) -> tqdm:
    """Wrap an iterable in a progress bar on stderr, or in lines where that is no terminal.

    Parameters
    ----------
    iterable : iterable or None, default=None
        What to loop over. With None the caller moves the bar with ``update``.

    total : int or None, default=None
        The number of steps, when the iterable does not know it.

    desc : str or None, default=None
        The words before the bar.

    unit : str, default="it"
        What one step is, as shown in the rate (``"img"``).

    verbose : int, default=1
        0 shows nothing.

    Returns
    -------
    tqdm
        An iterable and a context manager.
    """
    settings: dict[str, Any] = {
        "total": total,
        "desc": desc,
        "unit": unit,
        "file": sys.stderr,
        "disable": not verbose,
    }
    if sys.stderr is not None and not sys.stderr.isatty():
        layout = "{desc}: {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
        lines = {"mininterval": SECONDS_BETWEEN_LINES, "ascii": True}
        return _ProgressLines(iterable, bar_format=layout, **lines, **settings)
    return tqdm(iterable, dynamic_ncols=True, **settings)


def announce(message: str, verbose: int | bool) -> None:
    """Write a line to stderr without breaking a bar; nothing when `verbose` is 0.

    Parameters
    ----------
    message : str
        The line.

    verbose : int
        0 shows nothing.
    """
    if verbose:
        tqdm.write(message, file=sys.stderr)
