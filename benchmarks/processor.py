"""What the figures of a benchmark were measured on."""

from __future__ import annotations

import platform
from functools import cache

__all__ = ["processor"]


@cache
def processor() -> str:
    """Name the processor of this machine."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
        return names[0]
    except (OSError, IndexError):
        return platform.processor() or platform.machine()
