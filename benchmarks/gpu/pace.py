"""How far a reproduction is, and how long the rest may take."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["Pace"]


class Pace:
    """Work done and the seconds it took, by stage.

    Work is counted in passes of an image through the network; its pace is measured for each stage
    over all slices. Stages that were not measured yet are taken to be as fast as the others.

    Parameters
    ----------
    facts : dict
        parts: for each stage lists of (name, steps, work of a step).
    seeds : int
    earlier : dict of str to (float, float)
        Seconds and work of earlier slices, by stage.
    """

    def __init__(self, facts: dict[str, Any], seeds: int, earlier: dict[str, Any]) -> None:
        self._parts = facts["parts"]
        self._seeds = seeds
        self._earlier = earlier
        self._seconds: dict[str, float] = {}
        self._at_start: dict[str, float] | None = None
        self._now: dict[str, float] = {}
        self._done: dict[str, dict[str, int]] = {}

    def spend(self, stage: str, seconds: float) -> None:
        """Count time that went into a stage."""
        self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds

    def stand(self, cells: dict[str, Any], steps: dict[str, dict[str, int]]) -> None:
        """Say what is done: finished cells, and steps of those that are being trained.

        The first call says where the slice began.
        """
        self._done = {}
        for cell in (*cells, *steps):
            parts = self._parts.get(cell.partition("-seed-")[0], [])
            self._done[cell] = {
                name: n if cell in cells else min(steps[cell].get(name, 0), n)
                for name, n, _ in parts
            }
        self._now = {stage: 0.0 for stage in self._parts}
        for cell, done in self._done.items():
            stage = cell.partition("-seed-")[0]
            for name, _, work in self._parts.get(stage, []):
                self._now[stage] += done[name] * work
        if self._at_start is None:
            self._at_start = dict(self._now)

    def measured(self) -> dict[str, tuple[float, float]]:
        """Return seconds and work of each stage, over all slices."""
        result = {}
        for stage in self._parts:
            seconds, work = self._earlier.get(stage, (0.0, 0.0))
            seconds += self._seconds.get(stage, 0.0)
            work += self._now.get(stage, 0.0) - (self._at_start or {}).get(stage, 0.0)
            if work > 0:
                result[stage] = (seconds, work)
        return result

    def lines(self) -> list[str]:
        """Return for each stage how many steps are done, and how long one takes."""
        measured, text = self.measured(), []
        for stage, parts in self._parts.items():
            cells = [cell for cell in self._done if cell.partition("-seed-")[0] == stage]
            total = sum(n for _, n, _ in parts) * self._runs(stage)
            done = sum(sum(self._done[cell].values()) for cell in cells)
            line = f"{stage}: {done:,} of {total:,} steps"
            if stage in measured and len(parts) == 1:
                seconds, work = measured[stage]
                line += f", {seconds / work * parts[0][2]:.3g} s a step, all in"
            text.append(line)
        return text

    def left(self, usable_seconds: float) -> str:
        """Return how much is left, in words."""
        total = sum(
            n * work * self._runs(stage)
            for stage, parts in self._parts.items()
            for _, n, work in parts
        )
        done = sum(self._now.values())
        share = f"{100 * done / total:.3g} % of the work is done"
        measured = self.measured()
        if not measured:
            return f"{share}; no step was measured yet, so nobody knows how many slices are left"
        mean = sum(s for s, _ in measured.values()) / sum(w for _, w in measured.values())
        seconds = 0.0
        for stage, parts in self._parts.items():
            all_of_it = sum(n * work for _, n, work in parts) * self._runs(stage)
            spent, work = measured.get(stage, (mean, 1.0))
            seconds += (all_of_it - self._now.get(stage, 0.0)) * spent / work
        slices = max(1, math.ceil(seconds / usable_seconds))  # packing is work too
        return (
            f"{share}; probably about {slices} more slice{'' if slices == 1 else 's'} "
            f"({seconds / 60:.1f} min of training at the pace so far)"
        )

    def _runs(self, stage: str) -> int:
        return 1 if stage == "pretext" else self._seeds
