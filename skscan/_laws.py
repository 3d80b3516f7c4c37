"""How a value grows with a count."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Line", "Logarithm", "Power"]


@dataclass(frozen=True)
class Line:
    """``constant + slope * count``."""

    constant: float
    slope: float

    def __call__(self, count: float) -> float:
        """Return the value for this count."""
        return self.constant + self.slope * count


@dataclass(frozen=True)
class Power:
    """``value`` at a count, and in proportion to a power of the count elsewhere."""

    count: float
    value: float
    exponent: float

    @classmethod
    def through(cls, few: tuple[float, float], many: tuple[float, float]) -> Power:
        """Return the law that two counts follow, each given with its value; it never falls."""
        growth = math.log(many[1] / few[1]) / math.log(many[0] / few[0])
        return cls(*many, max(growth, 0.0))

    def __call__(self, count: float) -> float:
        """Return the value for this count."""
        return self.value * (count / self.count) ** self.exponent


@dataclass(frozen=True)
class Logarithm:
    """``value`` at a count, and more by ``slope`` for each time that the count grows by e."""

    count: float
    value: float
    slope: float

    @classmethod
    def through(cls, few: tuple[float, float], many: tuple[float, float]) -> Logarithm:
        """Return the law that two counts follow, each given with its value; it never falls."""
        slope = (many[1] - few[1]) / math.log(many[0] / few[0])
        return cls(*many, max(slope, 0.0))

    def __call__(self, count: float) -> float:
        """Return the value for this count."""
        return self.value + self.slope * math.log(count / self.count)
