"""Means over seeds, and how one method does beside the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from quality_parts.method import Method
from quality_parts.methods import OURS
from quality_parts.problems import PROBLEMS
from quality_parts.results import Cell, Record

__all__ = ["Comparison", "Entry", "compare", "entries_of"]


@dataclass(frozen=True)
class Entry:
    """The records of one method on one problem, finished ones apart from the others."""

    method: str
    finished: Sequence[Record]
    others: Sequence[Record]

    def values(self, figure: str) -> np.ndarray:
        """Return a figure for each seed; without those that do not have it."""
        values = [record.get(figure) for record in self.finished]
        return np.array([value for value in values if value is not None], dtype=float)

    def mean(self, figure: str) -> float:
        """Return the mean of a figure over seeds, NaN where there is none."""
        values = self.values(figure)
        return float(values.mean()) if len(values) else float("nan")

    @property
    def gap(self) -> float:
        """Mean accuracy lost to the best candidate of the method's own pool."""
        return self.mean("best_of_pool") - self.mean("accuracy")


@dataclass(frozen=True)
class Comparison:
    """Ours and the best of the others on one problem, in the problem's measure."""

    problem: str
    measure: str
    ours: Entry
    best: Entry

    @property
    def difference(self) -> float:
        """Ours less the best other."""
        return self.ours.mean(self.measure) - self.best.mean(self.measure)


def entries_of(records: dict[Cell, Record]) -> dict[str, dict[str, Entry]]:
    """Group records by problem, in the order of `PROBLEMS`, then by method."""
    grouped: dict[str, dict[str, Entry]] = {}
    for cell, record in sorted(records.items()):
        entries = grouped.setdefault(cell.problem, {})
        entry = entries.get(cell.method, Entry(cell.method, (), ()))
        finished, others = entry.finished, entry.others
        if record["status"] == "ok":
            finished = (*finished, record)
        else:
            others = (*others, record)
        entries[cell.method] = Entry(cell.method, finished, others)
    order = [*PROBLEMS, *sorted(set(grouped) - set(PROBLEMS))]
    return {problem: grouped[problem] for problem in order if problem in grouped}


def compare(
    entries: dict[str, dict[str, Entry]], methods: dict[str, Method]
) -> dict[str, Comparison]:
    """Compare ours with the best other method on each problem where both are finished.

    Where another number of clusters than that of the classes is asked for, methods that find their
    own number are left out: they do not do what is asked.
    """
    comparisons = {}
    for problem, of_problem in entries.items():
        measure = PROBLEMS[problem].measure if problem in PROBLEMS else "accuracy"
        others = [
            entry
            for name, entry in of_problem.items()
            if name != OURS
            and entry.finished
            and not (measure == "nmi" and name in methods and methods[name].own_number)
        ]
        ours = of_problem.get(OURS)
        if ours is not None and ours.finished and others:
            best = max(others, key=lambda entry: entry.mean(measure))
            comparisons[problem] = Comparison(problem, measure, ours, best)
    return comparisons
