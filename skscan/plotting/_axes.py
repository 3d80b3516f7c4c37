"""Where displays draw, and in which colors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["INK", "MUTED", "axes_of", "check_matplotlib", "colors_of_clusters"]

INK = "#0b5fa5"
"""Of what a display is about."""

MUTED = "#8a8f98"
"""Of what is there to compare with. Both are legible on white and on black."""


def check_matplotlib(caller: str) -> None:
    """Raise an error that says what to install, if matplotlib is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{caller} draws with matplotlib, which is not installed; "
            "pip install 'skscan[plot]' brings it."
        ) from error


def axes_of(ax: Any, caller: str, size: tuple[float, float]) -> tuple[Any, Any]:
    """Return the figure and axes to draw on: those of `ax`, or new ones of a size in inches."""
    check_matplotlib(caller)
    if ax is not None:
        return ax.figure, ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")


def colors_of_clusters(n_clusters: int) -> NDArray[np.floating]:
    """Return a color for each cluster, shape (n_clusters, 4): told apart up to 20."""
    import matplotlib as mpl

    if n_clusters <= 20:
        return mpl.colormaps["tab10" if n_clusters <= 10 else "tab20"](np.arange(n_clusters))
    return mpl.colormaps["turbo"](np.linspace(0.03, 0.97, n_clusters))
