"""Where results are kept between runs."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["cache_folder"]


def cache_folder() -> Path:
    """Return the folder: SKSCAN_CACHE, or ``skscan`` in the user's cache folder."""
    if os.environ.get("SKSCAN_CACHE"):
        return Path(os.environ["SKSCAN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "skscan"
