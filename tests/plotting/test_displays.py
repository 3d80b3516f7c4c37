"""Displays draw what was fitted, on the axes that they are given."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.exceptions import NotFittedError

from skscan import ClusterTrainer, SCANClassifier, SCANClusterer
from skscan.metrics import expected_calibration_error
from skscan.plotting import (
    ClusterCountDisplay,
    ClusterDisplay,
    ConfusionDisplay,
    EmbeddingDisplay,
    ReliabilityDisplay,
    TrainingDisplay,
)

matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

N = 150


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(N, n_features=6, centers=3, cluster_std=1.5, random_state=2)


@pytest.fixture(scope="module")
def images(blobs):
    """One gray each, so that a tile tells which sample it shows."""
    return np.tile(np.arange(N, dtype=np.uint8)[:, None, None], (1, 4, 4))


@pytest.fixture(scope="module")
def clusterer(blobs):
    return SCANClusterer("auto", effort="fast", random_state=0).fit(blobs[0])


@pytest.fixture(scope="module")
def classifier(blobs):
    X, y = blobs
    few = np.array(["-1"] * N, dtype=object)
    few[:20] = np.array(["a", "b & c", "d"])[y[:20]]
    return SCANClassifier(effort="fast", random_state=0).fit(X, few)


def shown(display):
    """Return which samples the tiles of a sheet show."""
    return [[int(tile[0, 0, 0]) for tile in row] for row in display.tiles]


def test_every_display_draws_on_given_axes_and_on_its_own(blobs, images, clusterer):
    X, y = blobs
    makers = [
        lambda ax: ClusterDisplay.from_estimator(clusterer, images, ax=ax),
        lambda ax: EmbeddingDisplay.from_estimator(clusterer, X, method="pca", ax=ax),
        lambda ax: TrainingDisplay.from_estimator(clusterer, ax=ax),
        lambda ax: ConfusionDisplay.from_estimator(clusterer, X, y, ax=ax),
        lambda ax: ReliabilityDisplay.from_estimator(clusterer, X, y, ax=ax),
        lambda ax: ClusterCountDisplay.from_estimator(clusterer, ax=ax),
    ]
    for make in makers:
        figure, ax = plt.subplots()
        n_figures = len(plt.get_fignums())
        display = make(ax)
        assert display.ax_ is ax
        assert display.figure_ is figure
        assert len(plt.get_fignums()) == n_figures, "no figure besides the one given"
        assert ax.has_data()
        own = make(None)
        assert own.ax_ is not ax
        assert own.plot(ax).ax_ is ax


def test_rows_show_members_of_their_cluster(images, clusterer):
    for order in ("typical", "uncertain", "outlying", "random"):
        display = ClusterDisplay.from_estimator(
            clusterer, images, n_images=5, order=order, random_state=0
        )
        for cluster, row in enumerate(shown(display)):
            assert len(set(row)) == 5
            assert (clusterer.labels_[row] == cluster).all()


def test_uncertain_images_are_the_least_certain(images, clusterer):
    (row,) = shown(
        ClusterDisplay.from_estimator(clusterer, images, order="uncertain", clusters=[1])
    )
    members = clusterer.labels_ == 1
    confidence = clusterer.probabilities_.max(axis=1)
    assert confidence[row[0]] == confidence[members].min()


def test_outlying_images_are_the_oddest_ones(images, clusterer):
    display = ClusterDisplay.from_estimator(clusterer, images, order="outlying", n_images=3)
    for cluster, row in enumerate(shown(display)):
        members = np.flatnonzero(clusterer.labels_ == cluster)
        oddest = members[np.argsort(-clusterer.outlier_scores_[members])[:3]]
        assert row == oddest.tolist()


def test_names_of_classes_and_sizes_stand_beside_the_rows(images, classifier):
    display = ClusterDisplay.from_estimator(classifier, images)
    size = (classifier.labels_ == "b & c").sum()
    assert display.names[1] == f"b & c\n({size})"


def test_new_images_are_drawn_from_their_probabilities(images):
    probabilities = np.zeros((4, 2))
    probabilities[[0, 1, 2], [0, 0, 1]] = 0.9, 1.0, 1.0
    probabilities[3] = np.nan
    display = ClusterDisplay.from_predictions(images[:4], probabilities, names=["x", "y"])
    assert shown(display) == [[1, 0], [2]]


def test_sheets_refuse_what_does_not_fit(images, clusterer):
    with pytest.raises(ValueError, match="149 images for 150 samples"):
        ClusterDisplay.from_estimator(clusterer, images[1:])
    with pytest.raises(ValueError, match="order must be one of"):
        ClusterDisplay.from_estimator(clusterer, images, order="best")
    with pytest.raises(ValueError, match="clusters takes numbers from 0"):
        ClusterDisplay.from_estimator(clusterer, images, clusters=[3])
    with pytest.raises(ValueError, match="use from_estimator"):
        ClusterDisplay.from_predictions(images[:1], [[0.5, 0.5]], order="outlying")
    with pytest.raises(ValueError, match="names has 1 entries for 2 clusters"):
        ClusterDisplay.from_predictions(images[:1], [[0.5, 0.5]], names=["x"])
    with pytest.raises(NotFittedError):
        ClusterDisplay.from_estimator(SCANClusterer(), images)


def test_a_map_of_many_samples_is_drawn_from_some(blobs, images, clusterer):
    X, _ = blobs
    display = EmbeddingDisplay.from_estimator(
        clusterer, X, images=images, method="pca", max_samples=60, random_state=0
    )
    assert display.embedding.shape == (60, 2)
    assert sorted(display.thumbnails) == list(range(clusterer.n_clusters_))
    for cluster, thumbnail in display.thumbnails.items():
        assert clusterer.labels_[int(thumbnail[0, 0, 0])] == cluster


def test_a_map_by_tsne_keeps_blobs_apart(blobs, clusterer):
    X, y = blobs
    places = EmbeddingDisplay.from_estimator(clusterer, X, random_state=0).embedding
    centers = np.array([places[y == c].mean(axis=0) for c in range(3)])
    nearest = np.linalg.norm(places[:, None] - centers, axis=2).argmin(axis=1)
    assert (nearest == y).mean() > 0.9


def test_a_map_refuses_other_shapes(blobs, clusterer):
    class ThreeColumns:
        def fit_transform(self, X):
            return X[:, :3]

    with pytest.raises(ValueError, match="ThreeColumns gave a matrix of shape"):
        EmbeddingDisplay.from_estimator(clusterer, blobs[0], method=ThreeColumns())
    with pytest.raises(ValueError, match="method must be one of"):
        EmbeddingDisplay.from_estimator(clusterer, blobs[0], method="umap")


def test_history_is_shown_head_by_head(blobs, clusterer, classifier):
    display = TrainingDisplay.from_estimator(clusterer)
    n_heads = len(clusterer.selection_report_)
    assert {len(curves) for curves in display.curves.values()} == {n_heads}
    assert clusterer.selection_report_[display.chosen]["chosen"]
    first = next(e for e in clusterer.history_ if e["head"] == 0)
    assert display.curves["entropy"][0][0] == first["entropy"]
    assert TrainingDisplay.from_estimator(classifier).chosen is None
    with pytest.raises(ValueError, match="no history of training"):
        TrainingDisplay.from_estimator(clusterer.cut(2))


def test_other_objectives_show_their_loss(blobs):
    trainer = ClusterTrainer(objective="temi", n_heads=2, n_epochs=3)
    clusterer = SCANClusterer(3, cluster_trainer=trainer, self_label_trainer="skip", random_state=0)
    display = TrainingDisplay.from_estimator(clusterer.fit(blobs[0]))
    assert list(display.curves) == ["loss"]


def test_confusion_matches_clusters_to_classes():
    display = ConfusionDisplay.from_predictions(["a", "a", "b", "b", "b", "c"], [2, 2, 0, 0, 1, -1])
    assert display.columns == ["2", "0", "1"]
    assert display.confusion.tolist() == [
        [1, 0, 0],
        [0, pytest.approx(2 / 3), pytest.approx(1 / 3)],
    ]
    assert display.accuracy == pytest.approx(4 / 5)
    majority = ConfusionDisplay.from_predictions(
        ["a", "a", "b", "b"], [0, 1, 2, 3], match="majority"
    )
    assert majority.columns == ["0, 1", "2, 3"]
    assert majority.accuracy == 1
    with pytest.raises(ValueError, match="all of it is -1"):
        ConfusionDisplay.from_predictions(["a"], [-1])
    with pytest.raises(ValueError, match="match must be one of"):
        ConfusionDisplay.from_predictions(["a"], [0], match="best")


def test_classes_of_a_classifier_are_not_matched(blobs, classifier):
    X, y = blobs
    swapped = np.array(["b & c", "a", "d"])[y]
    display = ConfusionDisplay.from_estimator(classifier, X, swapped)
    assert display.columns == ["a", "b & c", "d"]
    assert display.accuracy < 0.5


def test_calibration_error_is_that_of_its_definition():
    rng = np.random.RandomState(0)
    highest = rng.uniform(0.5, 1, 500)
    right = rng.uniform(size=500) < 0.75
    y = np.where(right, 0, 1)
    probabilities = np.column_stack([highest, 1 - highest])
    display = ReliabilityDisplay.from_predictions(y, probabilities, classes=[0, 1], n_bins=5)
    slow = 0.0
    for low in np.arange(5) / 5:
        inside = (highest >= low) & (highest < low + 0.2)
        if inside.any():
            slow += inside.mean() * abs(highest[inside].mean() - right[inside].mean())
    assert display.calibration_error == pytest.approx(slow)
    assert display.share.sum() == pytest.approx(1)
    clusters = ReliabilityDisplay.from_predictions(y, probabilities)
    assert clusters.calibration_error == pytest.approx(expected_calibration_error(y, probabilities))
    with pytest.raises(ValueError, match="n_bins"):
        ReliabilityDisplay.from_predictions(y, probabilities, n_bins=0)


def test_a_given_number_of_clusters_has_no_evidence(blobs):
    clusterer = SCANClusterer(3, effort="fast", random_state=0).fit(blobs[0])
    with pytest.raises(ValueError, match="was fitted with n_clusters=3"):
        ClusterCountDisplay.from_estimator(clusterer)


def test_without_matplotlib_the_extra_is_named():
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from skscan.plotting import ConfusionDisplay\n"
        "ConfusionDisplay.from_predictions([0, 1], [0, 1])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 1
    assert "pip install 'skscan[plot]'" in run.stderr
    assert "Error: ConfusionDisplay.from_predictions draws with matplotlib" in run.stderr
