"""File names: which ones count, and how they are shown."""

from __future__ import annotations

__all__ = ["is_visible", "printable"]

_SYSTEM_NAMES = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})


def is_visible(name: str) -> bool:
    """Tell whether a file or folder of this name is the user's own and not hidden."""
    hidden = name.startswith(".") and name not in {".", ".."}
    return not hidden and name not in _SYSTEM_NAMES


def printable(name: str) -> str:
    r"""Show a name on one line of any terminal: control characters and raw bytes escaped.

    Examples
    --------
    >>> from skscan.images import printable
    >>> print(printable("two" + chr(10) + "lines.jpg"))
    two\nlines.jpg
    """
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in name
    )
    return escaped.encode("utf-8", "backslashreplace").decode()
