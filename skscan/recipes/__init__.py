"""The rows of the paper's tables as data, and what reads their data sets and runs them.

>>> from skscan.recipes import Machine, reproduce
>>> result = reproduce("cifar10", "data", "cifar10-reproduced", scale=0.01)  # doctest: +SKIP
"""

from skscan.recipes.comparison import comparison_rows, comparison_table
from skscan.recipes.data import RecipeData, Split
from skscan.recipes.layouts import LAYOUTS, read_data
from skscan.recipes.plan import Plan, make_plan
from skscan.recipes.recipe import STAGES, VARIANTS, Recipe, load_recipe, recipe_names
from skscan.recipes.reproduction import reproduce
from skscan.recipes.store import OutputMismatchError
from skscan.recipes.trainers import Machine

__all__ = [
    "LAYOUTS",
    "STAGES",
    "VARIANTS",
    "Machine",
    "OutputMismatchError",
    "Plan",
    "Recipe",
    "RecipeData",
    "Split",
    "comparison_rows",
    "comparison_table",
    "load_recipe",
    "make_plan",
    "read_data",
    "recipe_names",
    "reproduce",
]
