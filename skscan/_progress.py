"""The one progress display: bars, or lines where nobody watches, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["announce", "progress"]

SECONDS_BETWEEN_LINES = 10.0


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
        from skscan._progress_lines import ProgressLines

        return ProgressLines(iterable, bar_format=layout, **lines, **settings)
    from tqdm import tqdm

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
        from tqdm import tqdm

        tqdm.write(message, file=sys.stderr)
