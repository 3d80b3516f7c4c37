"""The rows of the paper's tables as data, and what reads their data sets."""

from skscan.recipes.data import RecipeData, Split
from skscan.recipes.layouts import LAYOUTS, read_data

__all__ = ["LAYOUTS", "RecipeData", "Split", "read_data"]
