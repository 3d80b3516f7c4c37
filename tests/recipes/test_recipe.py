"""The entries of the recipes: every constant of the paper, and every figure with its source."""

import dataclasses

import pytest

from skscan.recipes import LAYOUTS, STAGES, load_recipe, recipe_names
from skscan.recipes.recipe import make_recipe

SMALL = ["cifar10", "cifar100-20", "stl10"]
SUBSETS = ["imagenet50", "imagenet100", "imagenet200"]


def test_there_is_one_for_each_row_of_the_tables():
    expected = [*SMALL, *SUBSETS, "imagenet1000", "imagenet1000-few-labels"]
    assert recipe_names() == sorted(expected)


# name: clusters, pixels, K, heads, SCAN epochs, SCAN batch, self-label epochs, batch, cutout
TABLE = {
    "cifar10": (10, 32, 20, 1, 50, 128, 200, 1000, 16),
    "cifar100-20": (20, 32, 20, 1, 100, 512, 200, 1000, 16),
    "stl10": (10, 96, 20, 1, 100, 128, 100, 1000, 32),
    "imagenet50": (50, 224, 50, 10, 100, 512, 25, 512, 75),
    "imagenet100": (100, 224, 50, 10, 100, 1024, 25, 512, 75),
    "imagenet200": (200, 224, 50, 10, 100, 1024, 25, 512, 75),
}


@pytest.mark.parametrize("variant", ["sound", "faithful"])
@pytest.mark.parametrize("name", TABLE)
def test_constants_of_the_configurations(name, variant):
    recipe = load_recipe(name, variant)
    assert (
        recipe.n_classes,
        recipe.pretext.image_size,
        recipe.mining.n_neighbors,
        recipe.scan.n_heads,
        recipe.scan.n_epochs,
        recipe.scan.batch_size,
        recipe.self_label.n_epochs,
        recipe.self_label.batch_size,
        recipe.self_label.cutout,
    ) == TABLE[name]
    assert recipe.mining.n_neighbors_test == 5
    assert recipe.scan.entropy_weight == 5
    assert recipe.self_label.threshold == 0.99


@pytest.mark.parametrize("name", SMALL)
def test_constants_of_the_small_sets(name):
    recipe = load_recipe(name)
    pretext, scan, self_label = recipe.pretext, recipe.scan, recipe.self_label
    assert (pretext.method, pretext.n_epochs, pretext.batch_size) == ("simclr", 500, 512)
    assert (pretext.learning_rate, pretext.weight_decay, pretext.temperature) == (0.4, 1e-4, 0.1)
    assert pretext.output == "projection"
    assert pretext.backbone == {
        "stem": "stl" if name == "stl10" else "cifar",
        "depth": 18,
        "width": 64,
    }
    for stage in (scan, self_label):
        assert (stage.optimizer, stage.learning_rate, stage.weight_decay) == ("adam", 1e-4, 1e-4)
    assert (scan.update, scan.augmentation) == ("all", "strong")
    assert self_label.class_balancing
    assert self_label.averaging == "none"
    assert recipe.overcluster.factor == 2
    assert recipe.stages == ("pretext", "mining", "scan", "self-label", "overcluster")


@pytest.mark.parametrize("name", [*SUBSETS, "imagenet1000"])
def test_constants_of_imagenet(name):
    recipe = load_recipe(name, "faithful")
    pretext, scan = recipe.pretext, recipe.scan
    assert pretext.backbone == "torchvision/resnet50"
    assert (pretext.method, pretext.n_epochs, pretext.batch_size) == ("moco", 800, 256)
    assert (pretext.learning_rate, pretext.temperature) == (0.03, 0.2)
    assert (pretext.queue_size, pretext.momentum, pretext.resize) == (65_536, 0.999, 256)
    assert pretext.output == "backbone"
    assert (scan.optimizer, scan.learning_rate, scan.weight_decay) == ("sgd", 5, 0)
    assert (scan.update, scan.augmentation, scan.n_heads) == ("heads", "simclr", 10)
    if name == "imagenet1000":
        assert recipe.self_label is None
        assert recipe.stages == ("pretext", "mining", "scan")
        assert scan.batch_size == 4096
    else:
        self_label = recipe.self_label
        assert self_label.optimizer == "sgd"
        assert not self_label.class_balancing
        assert (self_label.learning_rate, self_label.weight_decay) == (0.03, 0)
        assert (self_label.averaging, self_label.decay) == ("scaled-steps", 0.999)
        assert recipe.n_train + recipe.n_further == 1_281_167


@pytest.mark.parametrize("name", recipe_names())
def test_variants_differ_only_where_the_original_has_defects(name):
    sound, faithful = load_recipe(name), load_recipe(name, "faithful")
    assert (sound.scan.select_on, faithful.scan.select_on) == ("train", "test")
    assert (sound.scan.selection, faithful.scan.selection) == ("evidence", "scan_loss")
    assert (sound.mining.self_included, faithful.mining.self_included) == (False, True)
    replaced = dataclasses.replace(
        faithful,
        variant="sound",
        mining=dataclasses.replace(faithful.mining, self_included=False),
        scan=dataclasses.replace(faithful.scan, select_on="train", selection="evidence"),
        self_label=sound.self_label,
    )
    assert replaced == sound
    if sound.self_label is not None:
        assert (sound.self_label.keep, faithful.self_label.keep) == ("guarded", "last")
        statistics = [recipe.self_label.label_statistics for recipe in (sound, faithful)]
        assert statistics == ["running", "batch"]


@pytest.mark.parametrize("name", recipe_names())
def test_every_figure_is_plausible_and_has_a_source(name):
    recipe = load_recipe(name)
    assert recipe.layout in LAYOUTS
    for row in recipe.published:
        assert row.stage in (*STAGES, "supervised")
        assert row.source
        for figure in row.figures.values():
            assert 0 < figure.value < 1
            assert figure.std is None or 0 < figure.std < 0.1
            assert isinstance(figure.verified, bool)


def figures(name, stage, row):
    [published] = [p for p in load_recipe(name).published_for(stage) if p.row == row]
    return {score: (f.value, f.std, f.verified) for score, f in published.figures.items()}


def test_figures_of_cifar10():
    assert figures("cifar10", "self-label", "average") == {
        "accuracy": (0.876, 0.004, True),
        "nmi": (0.787, 0.005, False),
        "ari": (0.758, 0.007, False),
    }
    assert figures("cifar10", "self-label", "best") == {
        "accuracy": (0.883, None, True),
        "nmi": (0.797, None, True),
        "ari": (0.772, None, True),
    }
    assert figures("cifar10", "pretext", "average")["accuracy"] == (0.659, 0.057, True)
    assert figures("stl10", "scan", "average")["accuracy"] == (0.755, 0.020, True)
    assert figures("imagenet1000", "scan", "best")["ami"] == (0.512, None, True)


@pytest.mark.parametrize("name", SMALL)
def test_small_sets_have_average_and_best_rows(name):
    recipe = load_recipe(name)
    for stage in ("scan", "self-label"):
        assert {row.row for row in recipe.published_for(stage)} == {"average", "best"}
    [overcluster] = recipe.published_for("overcluster")
    assert "many_to_one_accuracy" in overcluster.figures


def test_the_claim_about_few_labels_says_what_is_not_confirmed():
    recipe = load_recipe("imagenet1000-few-labels")
    assert recipe.few_labels.share == 0.01
    assert recipe.stages[-1] == "few-labels"
    [scan] = recipe.published_for("scan")
    rows = recipe.published_for("few-labels")
    top_5 = [row.figures["top_k_accuracy"].value for row in rows if "top_k_accuracy" in row.figures]
    below = [value for value in top_5 if value < scan.figures["top_k_accuracy"].value]
    assert len(below) == 6  # the claim: these methods see labels and are below
    for row in rows:
        for figure in row.figures.values():
            assert figure.verified == (not row.source.startswith("paper"))
    assert any("unconfirmed" in note for note in recipe.notes)


def test_unknown_names():
    with pytest.raises(ValueError, match=r"no recipe 'cifar-10'; .* Did you mean 'cifar10'"):
        load_recipe("cifar-10")
    with pytest.raises(ValueError, match=r"variant must be one of \['sound', 'faithful'\]"):
        load_recipe("cifar10", "loud")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": 1}, "'colour' is none of"),
        ({"overcluster": {"factors": 2}}, r"x\.overcluster: 'factors' is none of \['factor'\]"),
        ({"overcluster": {}}, "missing 1 required positional argument: 'factor'"),
    ],
)
def test_mistakes_in_an_entry_are_named(change, message):
    entry = {"variants": {"sound": {}}, "published": [], **change}
    with pytest.raises(ValueError, match=message):
        make_recipe("x", entry, "sound")
