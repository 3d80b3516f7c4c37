"""One of several parts of the images, as a job on one of several machines does it."""

from typing import NamedTuple

import typer


class Shard(NamedTuple):
    """One of several runs of consecutive images."""

    number: int
    """From 1 on."""
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Parse ``3/16``."""
        try:
            number, of = (int(part) for part in text.split("/"))
        except ValueError:
            number, of = 0, 0
        if not 1 <= number <= of:
            raise typer.BadParameter(f"got {text!r}, takes I/N with I from 1 to N, as 3/16")
        return cls(number, of)

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def of_images(self, paths: list[str]) -> list[str]:
        """Return those of the shard; they hang on the list alone, so that machines agree."""
        from skscan.sharding.mapping import divide

        bounds = divide(len(paths), self.of, None)
        if self.number > len(bounds):
            return []
        rows = bounds[self.number - 1]
        return paths[rows.start : rows.stop]
