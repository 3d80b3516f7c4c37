"""Pictures of a clustering: contact sheets, the report, and what a person decides in it."""

from typing import Any

__all__ = ["Decisions", "Report", "write_report"]

_MODULES = {"Decisions": "decisions", "Report": "page", "write_report": "page"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
