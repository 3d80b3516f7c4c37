"""The rows of the paper's tables as data, and what reads their data sets and runs them."""

from skscan.recipes.data import RecipeData, Split
from skscan.recipes.layouts import LAYOUTS, read_data
from skscan.recipes.recipe import STAGES, VARIANTS, Recipe, load_recipe, recipe_names

__all__ = [
    "LAYOUTS",
    "STAGES",
    "VARIANTS",
    "Recipe",
    "RecipeData",
    "Split",
    "load_recipe",
    "read_data",
    "recipe_names",
]
