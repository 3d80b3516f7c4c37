"""The record of what a fitted extractor was run by."""

from __future__ import annotations

from typing import Any

__all__ = ["forget_engine", "recorded_engine"]


def forget_engine(extractor: Any) -> None:
    """Take away the record of an earlier fit, which the next choice would keep to."""
    for name in ("engine_", "precision_"):
        if hasattr(extractor, name):
            delattr(extractor, name)


def recorded_engine(extractor: Any) -> tuple[str, str] | None:
    """Return engine and precision that an extractor was fitted with; None before that."""
    engine = getattr(extractor, "engine_", None)
    return None if engine is None else (engine, extractor.precision_)
