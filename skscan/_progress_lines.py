"""Progress where nobody watches a terminal."""

from __future__ import annotations

from typing import Any

from tqdm import tqdm

__all__ = ["ProgressLines"]


class ProgressLines(tqdm):
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
