"""What a recipe becomes for the data that is there and the scale that is wanted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, exp, log, sqrt
from typing import TypeVar

import numpy as np

from skscan.recipes.data import RecipeData
from skscan.recipes.recipe import Mining, Pretext, Recipe, Scan, SelfLabel

__all__ = ["MIN_STEPS", "Plan", "check_batches", "make_plan"]

#: Optimiser steps that every stage makes at least, at any scale below 1.
MIN_STEPS = 30

_MIN_IMAGES_PER_CLASS = 10
_MIN_IMAGES = 200
_MIN_WIDTH = 4
_SCALED_SIDE = 64
_DRAW_SEED = 0

_Stage = TypeVar("_Stage", Scan, SelfLabel)


@dataclass(frozen=True)
class Plan:
    """A recipe with the numbers that are used, and the images.

    Attributes
    ----------
    recipe : Recipe
        Scaled.
    data : RecipeData
        Subsampled.
    scale : float
    n_clusters : int
        As many as the data has classes.
    notes : tuple of str
        What differs from the paper's row, for people.
    """

    recipe: Recipe
    data: RecipeData
    scale: float
    n_clusters: int
    notes: tuple[str, ...]


def make_plan(
    recipe: Recipe, data: RecipeData, scale: float = 1.0, keep_network: bool = False
) -> Plan:
    """Fit a recipe to its data and, with a scale below 1, shrink everything together.

    With scale s the number of images becomes s times the published one (a random draw that sees no
    labels; at least 10 for each class and 200), the epochs s times as many (at least those of 30
    steps), the width of the network sqrt(s) times (at least 4; of ImageNet's ResNet-50 a narrow
    `SmallResNet` takes the place) and images over 64 px become 64 px. With them go batch sizes, the
    number of neighbors where classes get small, the queue of MoCo and the memory of moving
    averages. The rest fits few steps and was found by trial on small sets. The learning rate of
    Adam is divided by sqrt(s), for self-labelling by its root; that of SGD goes with the batch
    size (in the pretext task with its root), and for heads alone with sqrt(s) too, since the
    features of a hardly trained network are nearly parallel. The threshold of self-labelling
    moves, in log-odds, by a share of 1 - s^0.3 towards chance, since few steps make no network
    sure.

    Parameters
    ----------
    recipe : Recipe
    data : RecipeData
        As read from a folder.
    scale : float, default=1.0
        Above 0 and at most 1; 1 changes nothing.
    keep_network : bool, default=False
        Leave the network and its image size as they are, because its weights are given.

    Returns
    -------
    plan : Plan

    Raises
    ------
    ValueError
        If the scale is out of range, or the data has another number of classes than the published
        data set (all of ImageNet may be any number of its classes).
    """
    if not 0 < scale <= 1:
        raise ValueError(f"scale must be above 0 and at most 1, got {scale!r}.")
    _check_classes(recipe, data)
    notes = [*data.notes, *_size_notes(recipe, data)]
    if scale < 1:
        target = max(_MIN_IMAGES, _MIN_IMAGES_PER_CLASS * data.n_classes)
        data = data.subsample(
            lambda n_published: max(target, round(scale * n_published)),
            (recipe.n_train, recipe.n_further, recipe.n_test),
            np.random.RandomState(_DRAW_SEED),
        )
        recipe = _scaled(recipe, data, scale, keep_network)
        notes.append(
            f"scale {scale:g}: {len(data.train):,} images, {recipe.pretext.n_epochs} pretext "
            f"epochs, {_width(recipe.pretext)}; not comparable with the paper's figures"
        )
    return Plan(recipe, data, scale, data.n_classes, tuple(notes))


def check_batches(plan: Plan) -> None:
    """Refuse now what would end a stage that comes after hours of others.

    Raises
    ------
    ValueError
        If a stage has larger batches than there are training images.
    """
    recipe, data = plan.recipe, plan.data
    sizes = {"scan": recipe.scan.batch_size}
    if recipe.self_label is not None:
        sizes["self-label"] = recipe.self_label.batch_size
    for stage, batch_size in sizes.items():
        if batch_size > len(data.train):
            raise ValueError(
                f"the stage {stage} of {recipe.title} has batch_size={batch_size}, but there are "
                f"only {len(data.train)} training images; give the whole data set, or a scale "
                "below 1."
            )


def _check_classes(recipe: Recipe, data: RecipeData) -> None:
    if recipe.layout != "imagenet" and data.n_classes != recipe.n_classes:
        raise ValueError(
            f"the data has {data.n_classes} classes, {recipe.title} has {recipe.n_classes}; give "
            "the folder of that data set"
        )


def _size_notes(recipe: Recipe, data: RecipeData) -> list[str]:
    notes = []
    if data.n_classes != recipe.n_classes:
        notes.append(f"{data.n_classes} classes instead of {recipe.n_classes}")
    found = {
        "train": (len(data.train), recipe.n_train),
        "further pretext": (data.n_pretext - len(data.train), recipe.n_further),
        "test": (len(data.test), recipe.n_test),
    }
    notes += [
        f"{n:,} {split} images instead of {published:,}"
        for split, (n, published) in found.items()
        if n != published
    ]
    return notes


def _scaled(recipe: Recipe, data: RecipeData, scale: float, keep_network: bool) -> Recipe:
    self_label = recipe.self_label
    network = recipe.pretext if keep_network else _narrow(recipe.pretext, scale)
    share_of_side = network.image_size / recipe.pretext.image_size
    return replace(
        recipe,
        pretext=_scaled_pretext(network, data.n_pretext, scale),
        mining=_scaled_mining(recipe.mining, data),
        scan=_scaled_stage(recipe.scan, share_of_side, data, scale),
        self_label=None
        if self_label is None
        else _scaled_self_label(
            _scaled_stage(self_label, share_of_side, data, scale), data.n_classes, scale
        ),
    )


def _scaled_pretext(stage: Pretext, n_images: int, scale: float) -> Pretext:
    batch_size = min(stage.batch_size, max(n_images // 8, 2))
    stage = replace(
        stage,
        batch_size=batch_size,
        momentum=_scaled_decay(stage.momentum, scale),
        learning_rate=stage.learning_rate * sqrt(batch_size / stage.batch_size),
        n_epochs=_epochs(stage.n_epochs, n_images // batch_size, scale),
    )
    if stage.queue_size is not None:
        stage = replace(
            stage, queue_size=min(stage.queue_size, max(batch_size, round(n_images * 0.5)))
        )
    return stage


def _narrow(stage: Pretext, scale: float) -> Pretext:
    width = max(_MIN_WIDTH, 4 * round(64 * sqrt(scale) / 4))
    stem = stage.backbone["stem"] if isinstance(stage.backbone, dict) else "stl"
    image_size = min(stage.image_size, _SCALED_SIDE)
    return replace(
        stage,
        backbone={"stem": stem, "depth": 18, "width": width},
        image_size=image_size,
        resize=round(stage.resize * image_size / stage.image_size),
    )


def _scaled_mining(stage: Mining, data: RecipeData) -> Mining:
    per_class = len(data.train) // data.n_classes
    test_per_class = len(data.test) // data.n_classes
    return replace(
        stage,
        n_neighbors=min(stage.n_neighbors, max(per_class // 2, 2)),
        n_neighbors_test=min(stage.n_neighbors_test, max(test_per_class // 2, 1)),
    )


def _scaled_stage(stage: _Stage, share_of_side: float, data: RecipeData, scale: float) -> _Stage:
    n_images = len(data.train)
    batch_size = min(stage.batch_size, max(n_images // 4, 2 * data.n_classes), n_images)
    if stage.optimizer == "adam":
        factor = scale**-0.5 if isinstance(stage, Scan) else scale**-0.25
    else:
        factor = batch_size / stage.batch_size
        if isinstance(stage, Scan) and stage.update == "heads":
            factor *= sqrt(scale)
    return replace(
        stage,
        batch_size=batch_size,
        learning_rate=stage.learning_rate * factor,
        n_epochs=_epochs(stage.n_epochs, n_images // batch_size, scale),
        cutout=stage.cutout and max(1, round(stage.cutout * share_of_side)),
    )


def _scaled_self_label(stage: SelfLabel, n_clusters: int, scale: float) -> SelfLabel:
    sure, chance = log(stage.threshold / (1 - stage.threshold)), -log(n_clusters - 1)
    log_odds = chance + (sure - chance) * scale**0.3
    return replace(
        stage,
        threshold=1 / (1 + exp(-log_odds)),
        decay=_scaled_decay(stage.decay, scale),
    )


def _scaled_decay(decay: float | None, scale: float) -> float | None:
    """Let as many epochs as before lie within the memory of an average, not as many steps."""
    return None if decay is None else max(0.9, 1 - (1 - decay) / scale)


def _epochs(n_epochs: int, steps_per_epoch: int, scale: float) -> int:
    return max(ceil(n_epochs * scale), ceil(MIN_STEPS / max(steps_per_epoch, 1)))


def _width(pretext: Pretext) -> str:
    if isinstance(pretext.backbone, dict):
        return f"a network {pretext.backbone['width']} wide for {pretext.image_size} px"
    return f"{pretext.backbone} for {pretext.image_size} px"
