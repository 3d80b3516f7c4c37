"""What a scale does to a recipe."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from recipe_trees import write_cifar10, write_class_folders, write_imagenet, write_stl10

from skscan.recipes import load_recipe, make_plan, read_data, recipe_names
from skscan.recipes.data import RecipeData, Split
from skscan.recipes.plan import MIN_STEPS, check_batches


def data_of_size(recipe, n_classes=None, share=1.0) -> RecipeData:
    """Data of the published size, or a share of it, without any image."""
    n_classes = n_classes or recipe.n_classes

    def split(n):
        n = max(round(share * n), n_classes)
        return Split(["x"] * n, np.arange(n) % n_classes)

    further = ["x"] * round(share * recipe.n_further) if recipe.n_further else None
    names = tuple(map(str, range(n_classes)))
    return RecipeData("made up", split(recipe.n_train), split(recipe.n_test), names, further)


@pytest.mark.parametrize("name", recipe_names())
def test_scale_one_changes_nothing(name):
    recipe = load_recipe(name)
    plan = make_plan(recipe, data_of_size(recipe))
    assert plan.recipe == recipe
    assert plan.n_clusters == recipe.n_classes
    assert plan.notes == ()


@pytest.mark.parametrize("variant", ["sound", "faithful"])
@pytest.mark.parametrize("scale", [0.001, 0.01, 0.3])
@pytest.mark.parametrize("name", recipe_names())
def test_every_stage_of_every_row_makes_enough_steps(name, scale, variant):
    recipe = load_recipe(name, variant)
    for data in (data_of_size(recipe), data_of_size(recipe, share=0.002)):
        plan = make_plan(recipe, data, scale)
        n_pretext, n_train = plan.data.n_pretext, len(plan.data.train)
        stages = [(plan.recipe.pretext, n_pretext), (plan.recipe.scan, n_train)]
        if plan.recipe.self_label is not None:
            stages.append((plan.recipe.self_label, n_train))
        for stage, n_images in stages:
            assert 2 <= stage.batch_size <= n_images
            assert n_images // stage.batch_size * stage.n_epochs >= MIN_STEPS
            assert stage.learning_rate > 0
        assert plan.recipe.mining.n_neighbors < n_train
        assert plan.recipe.scan.batch_size >= min(2 * recipe.n_classes, n_train)


def test_data_epochs_and_width_shrink_together():
    recipe = load_recipe("cifar10")
    full = data_of_size(recipe)
    smaller = [make_plan(recipe, full, scale) for scale in (0.5, 0.1, 0.01)]
    for larger, plan in pairwise(smaller):
        assert len(plan.data.train) < len(larger.data.train)
        assert plan.recipe.pretext.n_epochs < larger.recipe.pretext.n_epochs
        n_steps = [
            p.recipe.scan.n_epochs * (len(p.data.train) // p.recipe.scan.batch_size)
            for p in (plan, larger)
        ]
        assert n_steps[0] < n_steps[1]
        widths = [p.recipe.pretext.backbone["width"] for p in (plan, larger)]
        assert widths[0] < widths[1] < 64
    assert len(smaller[-1].data.train) == 500
    assert len(smaller[-1].data.test) == 200
    assert smaller[-1].recipe.pretext.n_epochs == 5
    assert "not comparable with the paper's figures" in smaller[-1].notes[-1]


def test_what_does_not_depend_on_size_stays():
    recipe = load_recipe("cifar10")
    scaled = make_plan(recipe, data_of_size(recipe), 0.01).recipe
    assert scaled.scan.entropy_weight == 5
    assert scaled.pretext.temperature == 0.1
    assert scaled.pretext.image_size == 32
    assert scaled.scan.cutout == 16
    assert scaled.mining.n_neighbors == 20
    assert dataclasses.replace(scaled, pretext=0, mining=0, scan=0, self_label=0) == (
        dataclasses.replace(recipe, pretext=0, mining=0, scan=0, self_label=0)
    )


def test_scaled_imagenet_trains_a_narrow_network_on_small_images():
    recipe = load_recipe("imagenet50")
    scaled = make_plan(recipe, data_of_size(recipe), 0.01).recipe
    assert scaled.pretext.backbone == {"stem": "stl", "depth": 18, "width": 8}
    assert (scaled.pretext.image_size, scaled.pretext.resize) == (64, 73)
    assert scaled.self_label.cutout == 21
    assert scaled.mining.n_neighbors < 50
    kept = make_plan(recipe, data_of_size(recipe), 0.01, keep_network=True).recipe
    assert kept.pretext.backbone == "torchvision/resnet50"
    assert (kept.pretext.image_size, kept.self_label.cutout) == (224, 75)


def test_the_draw_of_images_is_always_the_same(tmp_path):
    write_stl10(tmp_path, 300, 250, 250)
    data, recipe = read_data("stl10", tmp_path), load_recipe("stl10")
    first, second = (make_plan(recipe, data, 0.001).data for _ in range(2))
    assert len(first.train) == len(first.test) == len(first.further) == 200
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.further, second.further)


def test_notes_say_what_differs_from_the_published_data(tmp_path):
    write_cifar10(tmp_path / "cifar", 50, 20)
    write_imagenet(tmp_path / "imagenet", 7, 2, 1, side=8)
    notes = make_plan(load_recipe("cifar10"), read_data("cifar10", tmp_path / "cifar")).notes
    assert notes == ("50 train images instead of 50,000", "20 test images instead of 10,000")
    data = read_data("imagenet", tmp_path / "imagenet")
    plan = make_plan(load_recipe("imagenet1000"), data)
    assert plan.n_clusters == 7
    assert "7 classes instead of 1000" in plan.notes
    write_stl10(tmp_path / "stl", 30, 20, 0)
    notes = make_plan(load_recipe("stl10"), read_data("stl10", tmp_path / "stl")).notes
    assert "unlabeled_X.bin is missing" in notes[0]
    assert "0 further pretext images instead of 100,000" in notes


def test_another_data_set_is_refused(tmp_path):
    write_class_folders(tmp_path, ["a", "b", "c"], 2, 1, 8)
    data = read_data("cifar10", tmp_path)
    with pytest.raises(ValueError, match="the data has 3 classes, CIFAR-10 has 10"):
        make_plan(load_recipe("cifar10"), data)


@pytest.mark.parametrize("scale", [0, -1, 1.5, float("nan")])
def test_scale_out_of_range(scale):
    recipe = load_recipe("cifar10")
    with pytest.raises(ValueError, match="scale must be above 0 and at most 1, got"):
        make_plan(recipe, data_of_size(recipe), scale)


def test_batches_larger_than_the_data_are_refused_before_anything_is_trained(tmp_path):
    write_cifar10(tmp_path / "cifar", 50, 20)
    plan = make_plan(load_recipe("cifar10"), read_data("cifar10", tmp_path / "cifar"))
    with pytest.raises(ValueError, match="the stage scan of CIFAR-10 has batch_size=128"):
        check_batches(plan)
