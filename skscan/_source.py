"""Which code a result comes from."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from skscan import __version__

__all__ = ["code_version"]

# What is shown, and how, changes no result.
_NO_PART_OF_RESULTS = frozenset({"cli", "plotting", "report"})


@cache
def code_version() -> str:
    """Return the version of skscan and a hash of the sources that results depend on.

    Checkpoints hold it: between two releases, too, a run is not continued by other code.
    """
    root = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root)
        if name.parts[0] not in _NO_PART_OF_RESULTS:
            digest.update(name.as_posix().encode() + path.read_bytes())
    return f"{__version__}, sources {digest.hexdigest()}"
