"""The report as a live page on this machine: `skscan serve`.

It needs the packages of the extra ``serve``: ``pip install 'skscan[serve]'``.
"""

from typing import Any

__all__ = ["ReportServer"]


def __getattr__(name: str) -> Any:
    if name != "ReportServer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from skscan.serving.server import ReportServer

    return ReportServer


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
