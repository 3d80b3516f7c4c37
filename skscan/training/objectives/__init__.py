"""What heads on frozen features can be trained for: a registry of small objects."""

from __future__ import annotations

from collections.abc import Callable

from skscan.training.objectives.base import Objective
from skscan.training.objectives.scan import ScanObjective
from skscan.training.objectives.temi import TemiObjective
from skscan.training.objectives.turtle import TurtleObjective

__all__ = [
    "OBJECTIVES",
    "Objective",
    "ScanObjective",
    "TemiObjective",
    "TurtleObjective",
    "find_objective",
]

OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "scan": ScanObjective,
    "temi": TemiObjective,
    "turtle": TurtleObjective,
}
"""The objective, with its defaults, of each name."""


def find_objective(objective: str | Objective) -> Objective:
    """Return the objective of a name, or the one that is given, with its parameters checked.

    Parameters
    ----------
    objective : str or Objective

    Returns
    -------
    objective : Objective

    Raises
    ------
    ValueError
        If a parameter of it is wrong.
    """
    found = OBJECTIVES[objective]() if isinstance(objective, str) else objective
    found._validate_params()
    return found
