"""What a recipe is: a row of the paper's tables, with its constants and the figures to expect."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

__all__ = [
    "STAGES",
    "VARIANTS",
    "FewLabels",
    "Figure",
    "Mining",
    "Overcluster",
    "Pretext",
    "Published",
    "Recipe",
    "Scan",
    "SelfLabel",
    "load_recipe",
    "recipe_names",
]

#: In the order in which they run.
STAGES = ("pretext", "mining", "scan", "self-label", "overcluster", "few-labels")

#: ``"sound"`` mends what is wrong in the original, ``"faithful"`` does as it did.
VARIANTS = ("sound", "faithful")


@dataclass(frozen=True)
class Pretext:
    """Representation learning on all images without labels; k-means is run on its features.

    Attributes
    ----------
    method : {"simclr", "moco"}
    backbone : dict or str
        See `skscan.networks.architecture.build_backbone`.
    image_size : int
        Side in pixels of what the network sees, here and in all later stages.
    resize : int
        To what the shorter side is resized before a square of `image_size` is cut out.
    n_epochs, batch_size, learning_rate, weight_decay, temperature
        Of SGD with momentum 0.9 and a cosine.
    augmentation, normalization, output : str
        See `skscan.SimCLRFeatureExtractor`.
    queue_size : int or None
        Keys that MoCo compares with.
    momentum : float or None
        Of the average that makes MoCo's keys.
    weights_url : str or None
        Where the authors' starting point can be had, when they trained none themselves.
    """

    method: str
    backbone: dict[str, Any] | str
    image_size: int
    resize: int
    n_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    temperature: float
    augmentation: str
    normalization: str
    output: str
    queue_size: int | None = None
    momentum: float | None = None
    weights_url: str | None = None


@dataclass(frozen=True)
class Mining:
    """Nearest neighbors by cosine among the features of the training split.

    Attributes
    ----------
    n_neighbors : int
        Of each training image.
    n_neighbors_test : int
        Within the test split, for the purity there.
    self_included : bool
        Whether an image is among its own neighbors, so that now and then it is paired with another
        view of itself.
    """

    n_neighbors: int
    n_neighbors_test: int
    self_included: bool


@dataclass(frozen=True)
class Scan:
    """Clustering by the SCAN loss.

    Attributes
    ----------
    n_heads, n_epochs, batch_size : int
    entropy_weight, learning_rate, weight_decay : float
    optimizer : {"adam", "sgd"}
        SGD with momentum 0.9; the learning rate is constant.
    update : {"all", "heads"}
        What is trained.
    augmentation : {"strong", "simclr"}
    select_on : {"train", "test"}
        On whose images (never labels) epoch and head are chosen.
    selection : {"evidence", "scan_loss"}
        See `skscan.ClusterTrainer`.
    cutout : int or None
        Largest side of the hole of the strong augmentation; None for another one.
    """

    n_heads: int
    entropy_weight: float
    n_epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    update: str
    augmentation: str
    select_on: str
    selection: str
    cutout: int | None = None


@dataclass(frozen=True)
class SelfLabel:
    """Learning from confident predictions.

    Attributes
    ----------
    threshold : float
    class_balancing : bool
    n_epochs, batch_size : int
    optimizer : {"adam", "sgd"}
    learning_rate, weight_decay : float
    cutout : int
    label_statistics, averaging, keep : str
        See `skscan.SelfLabelTrainer`.
    decay : float or None
        Of the average, where there is one.
    """

    threshold: float
    class_balancing: bool
    n_epochs: int
    batch_size: int
    optimizer: str
    learning_rate: float
    weight_decay: float
    cutout: int
    label_statistics: str
    averaging: str
    keep: str
    decay: float | None = None


@dataclass(frozen=True)
class Overcluster:
    """Clustering and self-labelling once more, with more clusters than classes.

    Attributes
    ----------
    factor : int
        Clusters for each class.
    """

    factor: int


@dataclass(frozen=True)
class FewLabels:
    """A linear classifier on the pretext features that is given a share of the labels.

    It is what clustering without labels is compared with, and the one place where labels reach a
    fit.

    Attributes
    ----------
    share : float
        Share of the training images whose label it is given, at least one for each class.
    """

    share: float


@dataclass(frozen=True)
class Figure:
    """One published number.

    Attributes
    ----------
    value : float
        As a share, not in per cent; or whatever the figure is.
    std : float or None
        Standard deviation over runs.
    verified : bool
        Whether `value` was confirmed at the source that the row names.
    """

    value: float
    std: float | None = None
    verified: bool = False


@dataclass(frozen=True)
class Published:
    """One row of published figures.

    Attributes
    ----------
    stage : str
        One of `STAGES`, or ``"supervised"``.
    row : str
        ``"average"`` over runs, ``"best"`` run, or the name of a method.
    figures : dict of str to Figure
        By the name of the score: accuracy, nmi, ari, ami, top_k_accuracy, many_to_one_accuracy,
        purity_train, purity_test.
    source : str
        Where the figures stand.
    """

    stage: str
    row: str
    figures: dict[str, Figure]
    source: str


@dataclass(frozen=True)
class Recipe:
    """One row of the paper's tables.

    Attributes
    ----------
    name, title : str
        What it is called, by the command and by people.
    layout : str
        What `skscan.recipes.read_data` reads.
    n_classes : int
        Classes of the published data set; as many clusters are made.
    n_train, n_further, n_test : int
        Images of the published data set; `n_further` are those that only the pretext task sees.
    variant : {"sound", "faithful"}
    pretext : Pretext
    mining : Mining
    scan : Scan
    self_label : SelfLabel or None
    overcluster : Overcluster or None
    few_labels : FewLabels or None
        None where the paper has no such stage.
    published : tuple of Published
    notes : tuple of str
        What to know when ours is compared with the paper's.
    """

    name: str
    title: str
    layout: str
    n_classes: int
    n_train: int
    n_further: int
    n_test: int
    variant: str
    pretext: Pretext
    mining: Mining
    scan: Scan
    self_label: SelfLabel | None
    overcluster: Overcluster | None
    few_labels: FewLabels | None
    published: tuple[Published, ...]
    notes: tuple[str, ...]

    @property
    def stages(self) -> tuple[str, ...]:
        """Names of the stages that this row has, in order."""
        optional = {
            "self-label": self.self_label,
            "overcluster": self.overcluster,
            "few-labels": self.few_labels,
        }
        return tuple(stage for stage in STAGES if optional.get(stage, True) is not None)

    def published_for(self, stage: str) -> list[Published]:
        """Return the published rows of a stage."""
        return [row for row in self.published if row.stage == stage]


_STAGE_TYPES: dict[str, type] = {
    "pretext": Pretext,
    "mining": Mining,
    "scan": Scan,
    "self_label": SelfLabel,
    "overcluster": Overcluster,
    "few_labels": FewLabels,
}


def recipe_names() -> list[str]:
    """Return the names of all recipes, sorted.

    Examples
    --------
    >>> from skscan.recipes import recipe_names
    >>> "stl10" in recipe_names()
    True
    """
    entries = resources.files("skscan.recipes").joinpath("entries").iterdir()
    return sorted(entry.name.removesuffix(".toml") for entry in entries if _is_entry(entry.name))


def load_recipe(name: str, variant: str = "sound") -> Recipe:
    """Load a recipe.

    Parameters
    ----------
    name : str
        One of `recipe_names`.

    variant : {"sound", "faithful"}, default="sound"
        Where the original has defects, ``"sound"`` mends them and ``"faithful"`` keeps them.

    Returns
    -------
    recipe : Recipe

    Raises
    ------
    ValueError
        If there is no such recipe or variant.

    Examples
    --------
    >>> from skscan.recipes import load_recipe
    >>> load_recipe("cifar10").scan.entropy_weight
    5.0
    """
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {list(VARIANTS)}, got {variant!r}.")
    known = recipe_names()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(known)}.{hint}")
    return make_recipe(name, _read_entry(name), variant)


def make_recipe(name: str, entry: Mapping[str, Any], variant: str) -> Recipe:
    """Make a recipe of an entry; every key must be one that the classes here know."""
    entry = dict(entry)
    variants = entry.pop("variants")
    entry = _merge(entry, variants[variant])
    stages = {
        stage: _make(kind, entry.pop(stage), f"{name}.{stage}") if stage in entry else None
        for stage, kind in _STAGE_TYPES.items()
    }
    published = tuple(_published(row, name) for row in entry.pop("published"))
    notes = tuple(entry.pop("notes", ()))
    values = {"name": name, "variant": variant, "published": published, "notes": notes}
    return _make(Recipe, {**entry, **stages, **values}, name)


def _published(row: Mapping[str, Any], name: str) -> Published:
    row = dict(row)
    stage, title, source = row.pop("stage"), row.pop("row"), row.pop("source")
    figures = {
        score: _make(Figure, figure, f"{name}.published.{stage}.{score}")
        for score, figure in row.items()
    }
    return Published(stage, title, figures, source)


def _make(kind: type, values: Mapping[str, Any], where: str) -> Any:
    known = {field.name for field in fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise ValueError(f"{where}: {unknown[0]!r} is none of {sorted(known)}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(f"{where}: {error}") from None


def _read_entry(name: str) -> dict[str, Any]:
    text = resources.files("skscan.recipes").joinpath("entries", f"{name}.toml").read_text("utf-8")
    entry = tomllib.loads(text)
    base = entry.pop("extends", None)
    if base is None:
        return entry
    text = resources.files("skscan.recipes").joinpath("entries", f"_{base}.toml").read_text("utf-8")
    return _merge(tomllib.loads(text), entry)


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with values replaced, table by table."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) else value
    return merged


def _is_entry(name: str) -> bool:
    return name.endswith(".toml") and not name.startswith("_")
