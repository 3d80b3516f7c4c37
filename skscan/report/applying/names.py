"""Names of folders and files that every file system takes, made of names that people give."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable

__all__ = ["NameGiver", "safe_name"]

_MAX_BYTES = 200  # file systems take 255, of which a number and a suffix want a part
_NOT_ALLOWED = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def safe_name(name: str, otherwise: str) -> str:
    """Return `name` as one step of a path, on any system; `otherwise` if nothing is left of it.

    Bytes that are no UTF-8 (as surrogates) stay, so that a file keeps its name.
    """
    safe = _NOT_ALLOWED.sub("_", name).strip().rstrip(". ")
    if safe.startswith("."):  # hidden, or a step upwards
        safe = "_" + safe.lstrip(".")
    if _DEVICES.fullmatch(safe):
        safe = f"_{safe}"
    while len(_encoded(safe)) > _MAX_BYTES:
        stem, suffix = os.path.splitext(safe)
        safe = stem[:-1] + suffix if stem and len(suffix) < 20 else safe[:-1]
    return safe.strip() or otherwise


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


class NameGiver:
    """Gives names within one folder, none twice, not even in other letter case.

    Parameters
    ----------
    taken : iterable of str
        Names that are not to be given.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {_key(name) for name in taken}
        self._last: dict[str, int] = {}

    def give(self, name: str, otherwise: str) -> str:
        """Return a safe form of `name`, with a number where it is taken."""
        safe = safe_name(name, otherwise)
        stem, suffix = os.path.splitext(safe)
        given, number = safe, self._last.get(_key(safe), 1)
        while _key(given) in self._taken:
            number += 1
            given = f"{stem} ({number}){suffix}"
        self._last[_key(safe)] = number
        self._taken.add(_key(given))
        return given


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
