"""How much is run: the quick tier, and everything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from quality_parts.method import Method
from quality_parts.methods import METHODS
from quality_parts.problems import PROBLEMS
from quality_parts.results import Cell

__all__ = ["TIERS", "Tier"]

_FEW = ("digits, pixels", "STL-10, long tail, class 9 largest")
_MANY = (
    *_FEW,
    "STL-10",
    "CIFAR-10 test",
    "Fashion-MNIST test",
    "STL-10, 3 classes",
    "STL-10, long tail, class 0 largest",
    "STL-10, one class a third",
    "STL-10, two classes 100, eight 500",
)
_QUICK = (
    *_MANY,
    "MNIST 5,000, pixels",
    "CIFAR-10, 2 classes",
    "CIFAR-10, 5 classes",
    "STL-10, long tail 50:1, class 0 largest",
    "STL-10, long tail 50:1, class 9 largest",
    "CIFAR-10, long tail, class 9 largest",
    "Fashion-MNIST, 6 uneven classes",
    "digits, long tail, class 0 largest",
    "STL-10, twice the clusters",
    "STL-10, half the clusters",
)
_EVERYTHING = tuple(PROBLEMS)


@dataclass(frozen=True)
class Tier:
    """A choice of cells.

    Parameters
    ----------
    problems : dict of str to tuple of str
        Problems for each cost of a method.
    seeds : dict of str to int
        Seeds for each cost of a method.
    n_samples : int or None
        Sets are cut to so many samples.
    limit : float
        Seconds for a cell.
    minutes : float or None
        After which no cell is begun, and what runs is broken off; None is no end.
    """

    problems: dict[str, tuple[str, ...]]
    seeds: dict[str, int]
    n_samples: int | None
    limit: float
    minutes: float | None

    def cells(
        self,
        methods: Iterable[str] = tuple(METHODS),
        problems: Iterable[str] = _EVERYTHING,
        registry: dict[str, Method] = METHODS,
    ) -> Iterator[Cell]:
        """Yield the cells: method by method, cheap ones first, then problem by problem."""
        wanted = set(problems)
        costs = list(self.seeds)
        for name in sorted(methods, key=lambda name: costs.index(registry[name].cost)):
            method = registry[name]
            for problem in self.problems[method.cost]:
                for seed in range(self.seeds[method.cost] if method.seeded else 1):
                    if problem in wanted:
                        yield Cell(problem, name, seed)


_COSTS = ("light", "medium", "heavy", "heaviest")

TIERS = {
    "quick": Tier(
        {"light": _QUICK, "medium": _MANY, "heavy": _MANY, "heaviest": _FEW},
        {"light": 3, "medium": 2, "heavy": 1, "heaviest": 1},
        n_samples=2500,
        limit=400.0,
        minutes=40.0,
    ),
    "full": Tier(
        dict.fromkeys(_COSTS, _EVERYTHING),
        dict.fromkeys(_COSTS, 5),
        n_samples=None,
        limit=3600.0,
        minutes=None,
    ),
}
