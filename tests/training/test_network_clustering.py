"""Whole networks trained with the SCAN loss, on small networks and images."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import skscan
from skscan import (
    ClusterTrainer,
    NeighborMiner,
    NetworkFeatureExtractor,
    NetworkTraining,
    PixelFeatureExtractor,
    SCANClusterer,
    SelfLabelTrainer,
    SimCLRFeatureExtractor,
)
from skscan.exceptions import CheckpointMismatchError
from skscan.graph import neighbor_table
from skscan.metrics import clustering_accuracy
from skscan.networks.architecture import build_backbone
from skscan.networks.heads import LinearHeads
from skscan.networks.modules import ClusteringNetwork
from skscan.networks.trained import TrainedNetwork
from skscan.training.losses import scan_loss, scan_losses
from skscan.training.network_selection import _judge
from skscan.training.network_self_labeling import SelfLabelingNetwork

SMALL = {"stem": "cifar", "depth": 10, "width": 4}
GRAY = (0.5, 0.5, 0.5)


def stripes(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images of three classes: stripes across, stripes down, a bright disc."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    rows, columns = np.mgrid[:16, :16]
    disc = (rows - 7.5) ** 2 + (columns - 7.5) ** 2 < 25
    patterns = np.stack([rows // 2 % 2, columns // 2 % 2, disc]).astype(float)
    images = 200 * patterns[y] + rng.normal(20, 20, (n, 16, 16))
    return np.repeat(images.clip(0, 255).astype(np.uint8)[..., None], 3, axis=3), y


@pytest.fixture(scope="module")
def setting():
    """Images, their classes, a network with random weights, its features and their neighbors."""
    images, y = stripes(192)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = build_backbone(SMALL)
    with torch.no_grad():  # as after a training, evaluation normalises by the statistics of images
        for _ in range(40):
            backbone(torch.from_numpy(images / 127.5 - 1).permute(0, 3, 1, 2).float())
    network = TrainedNetwork.from_modules(SMALL, 16, GRAY, GRAY, backbone)
    extractor = NetworkFeatureExtractor(network, device="cpu")
    features = extractor.transform(images)
    return images, y, extractor, features, NeighborMiner(5).fit_transform(features)


def train(setting, n_clusters=3, seed=0, **parameters):
    images, _, extractor, features, graph = setting
    parameters = {"n_epochs": 2, "batch_size": 64, **parameters}
    return ClusterTrainer(scope="network", **parameters).train(
        features,
        graph,
        n_clusters,
        random_state=np.random.RandomState(seed),
        images=images,
        extractor=extractor,
    )


def random_heads(**parameters):
    return {"starts": ("random",), "class_prior": "uniform", **parameters}


def test_losses_of_heads_are_those_of_each_alone():
    generator = torch.Generator().manual_seed(0)
    anchors, neighbors = torch.randn(2, 20, 3, 4, generator=generator)
    weights, even = torch.tensor([5.0, 1.0, 0.5]), torch.full((3, 4), 0.25)
    totals, _, _ = scan_losses(anchors, neighbors, weights, even)
    for head, weight in enumerate(weights):
        alone, _, _ = scan_loss(anchors[:, head], neighbors[:, head], float(weight))
        torch.testing.assert_close(totals[head], alone)


def test_expected_sizes_pull_the_mean_prediction():
    logits = torch.zeros(1, 1, 2, requires_grad=True)
    sizes = torch.tensor([[0.9, 0.1]])
    total, _, _ = scan_losses(logits, logits, torch.tensor([5.0]), sizes)
    total.sum().backward()
    assert logits.grad[0, 0, 0] < 0 < logits.grad[0, 0, 1]  # descent makes the first larger


@pytest.mark.parametrize("max_entries", [2**26, 2**12])
@pytest.mark.parametrize("case", ["ten", "fifty"])
def test_selection_gives_the_reference_values(case, max_entries, monkeypatch):
    golden = np.load(Path(__file__).parents[1] / "golden" / "evaluation.npz")
    logits = torch.from_numpy(golden[f"{case}_probabilities"]).float().log().transpose(0, 1)
    n_heads, n_clusters = logits.shape[1:]
    even = torch.full((n_heads, n_clusters), 1 / n_clusters)
    table = golden[f"{case}_neighbors"]
    # heads that give these logits for features that are the logits of all heads
    identity = np.eye(n_heads * n_clusters, dtype=np.float32)
    heads = LinearHeads(
        identity.reshape(n_heads, n_clusters, -1), np.zeros((n_heads, n_clusters), np.float32)
    )
    network = ClusteringNetwork(torch.nn.Identity(), heads, "heads")
    monkeypatch.setattr("skscan.training.network_selection._MAX_ENTRIES", max_entries)
    losses, used = _judge(network, logits.flatten(1).numpy(), table, even)
    expected = golden[f"{case}_selection_entropy_consistency_total"][:, 2]
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)
    assert int(np.argmin(losses)) == golden[f"{case}_selected_head"]
    assert used == [len(np.unique(logits[:, head].argmax(1))) for head in range(n_heads)]


def test_training_finds_the_classes(setting):
    images, y, *_ = setting
    result = train(setting, n_epochs=15, learning_rate=3e-3, **random_heads(n_heads=5))
    assert [entry["steps"] for entry in result.history] == [3] * 15
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    labels = result.heads.predict(result.extractor.transform(images), result.best_head)
    assert clustering_accuracy(y, labels) > 0.8


def test_heads_from_frozen_features_go_on_with_the_network(setting):
    images, y, _, features, graph = setting
    result = train(setting, n_heads=6, n_epochs=3)
    assert len(result.heads) == 1
    assert {"start", "prior"} <= result.history[0].keys()
    assert "validation_loss" in result.history[-1]
    labels = result.heads.predict(result.extractor.transform(images))
    frozen = ClusterTrainer(n_heads=6).train(
        features, graph, 3, random_state=np.random.RandomState(0)
    )
    before = clustering_accuracy(y, frozen.heads.predict(features, frozen.best_head))
    assert clustering_accuracy(y, labels) > before - 0.05


def test_the_same_seed_gives_the_same_network(setting):
    first, again, other = (train(setting, seed=s, **random_heads(n_heads=1)) for s in (0, 0, 1))
    np.testing.assert_array_equal(first.heads.weights, again.heads.weights)
    assert not np.array_equal(first.heads.weights, other.heads.weights)


def test_only_heads_are_trained_on_request(setting):
    extractor = setting[2]
    result = train(setting, network=NetworkTraining(update="heads"), **random_heads(n_heads=2))
    for name, array in extractor.network.arrays.items():
        np.testing.assert_array_equal(result.extractor.network.arrays[name], array)
    tuned = train(setting, **random_heads(n_heads=2)).extractor.network.arrays
    assert not np.array_equal(
        tuned["backbone.conv1.weight"], extractor.network.arrays["backbone.conv1.weight"]
    )


def test_a_finished_training_is_not_repeated_and_another_is_refused(setting, tmp_path):
    network = NetworkTraining(checkpoint_dir=tmp_path)
    first = train(setting, network=network, **random_heads(n_heads=1))
    again = train(setting, network=network, **random_heads(n_heads=1))
    np.testing.assert_array_equal(first.heads.weights, again.heads.weights)
    with pytest.raises(CheckpointMismatchError, match=r"entropy_weight: 5\.0 there, 2\.0 now"):
        train(setting, network=network, entropy_weight=2.0, **random_heads(n_heads=1))
    with pytest.raises(CheckpointMismatchError, match="seed"):
        train(setting, network=network, seed=1, **random_heads(n_heads=1))


def test_validation_images_choose_the_epoch(setting):
    images, _, extractor, features, graph = setting
    others, _ = stripes(60, seed=9)
    trainer = ClusterTrainer(scope="network", n_epochs=2, batch_size=64, **random_heads(n_heads=1))
    losses = {}
    for validation_images in (None, others):
        result = trainer.train(
            features,
            graph,
            3,
            random_state=np.random.RandomState(0),
            images=images,
            extractor=extractor,
            validation_images=validation_images,
        )
        for name in ("loss", "validation_loss"):
            losses.setdefault(name, []).append([entry[name] for entry in result.history])
    assert losses["loss"][0] == losses["loss"][1]
    assert losses["validation_loss"][0] != losses["validation_loss"][1]


def test_other_validation_images_are_another_run(setting, tmp_path):
    images, _, extractor, features, graph = setting
    network = NetworkTraining(checkpoint_dir=tmp_path)
    train(setting, network=network, **random_heads(n_heads=1))
    trainer = ClusterTrainer(
        scope="network", network=network, n_epochs=2, batch_size=64, **random_heads(n_heads=1)
    )
    with pytest.raises(CheckpointMismatchError, match="judging pixels"):
        trainer.train(
            features,
            graph,
            3,
            random_state=np.random.RandomState(0),
            images=images,
            extractor=extractor,
            validation_images=images[:50],
        )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"network": NetworkTraining(augmentation="simclr", cutout=3)}, "cutout=3 is for"),
        ({"batch_size": 500}, "batch_size=500 must not be more than the number of samples"),
        ({"network": NetworkTraining(optimizer="sgd")}, "give a number with 'sgd'"),
        ({"network": NetworkTraining(augmentation="weak")}, "augmentation"),
        ({"network": NetworkTraining(precision="fp16")}, "fp16"),
    ],
)
def test_wrong_parameters_are_named(setting, parameters, message):
    with pytest.raises(ValueError, match=message):
        train(setting, **random_heads(n_heads=1), **parameters)


def test_an_extractor_without_network_is_refused(setting):
    images = setting[0]
    clusterer = SCANClusterer(
        3,
        feature_extractor=PixelFeatureExtractor(image_size=8),
        cluster_trainer=ClusterTrainer(scope="network", n_epochs=1),
    )
    with pytest.raises(ValueError, match="feature_extractor=PixelFeatureExtractor has none"):
        clusterer.fit(images)


def test_other_images_than_those_of_the_features_are_refused(setting):
    images, _, extractor, features, graph = setting
    with pytest.raises(ValueError, match="191 can be read, but there are features of 192"):
        ClusterTrainer(scope="network", n_epochs=1).train(
            features,
            graph,
            3,
            random_state=np.random.RandomState(0),
            images=images[1:],
            extractor=extractor,
        )


def self_label(setting, clustered, **parameters):
    images, graph = setting[0], setting[4]
    parameters = {"n_epochs": 2, "batch_size": 64, "threshold": 0.4, **parameters}
    return SelfLabelTrainer(scope="network", **parameters).train(
        clustered.extractor.transform(images),
        graph,
        clustered.heads,
        clustered.best_head,
        random_state=np.random.RandomState(0),
        images=images,
        extractor=clustered.extractor,
    )


@pytest.fixture(scope="module")
def clustered(setting):
    return train(setting, n_heads=6, n_epochs=4, learning_rate=1e-3)


@pytest.mark.parametrize("averaging", ["none", "mean-teacher", "scaled-steps"])
def test_self_labelling_keeps_what_was_found(setting, clustered, averaging):
    images, y, *_ = setting
    result = self_label(
        setting, clustered, averaging=averaging, **({} if averaging == "none" else {"decay": 0.9})
    )
    assert result.accepted, result.reason
    labels = result.heads.predict(result.extractor.transform(images))
    assert clustering_accuracy(y, labels) > 0.75
    assert result.history[-1]["confident"] > 0.1


def test_scaled_steps_leave_the_running_statistics(setting, clustered):
    before = clustered.extractor.network.arrays
    after = self_label(setting, clustered, averaging="scaled-steps", keep="last")
    moved = self_label(setting, clustered, keep="last")
    name = "backbone.bn1.running_mean"
    np.testing.assert_array_equal(after.extractor.network.arrays[name], before[name])
    assert not np.array_equal(moved.extractor.network.arrays[name], before[name])


def test_a_mean_teacher_lags_behind(setting, clustered):
    before = clustered.extractor.network.arrays["backbone.conv1.weight"]
    distance = {
        averaging: np.abs(
            self_label(
                setting, clustered, averaging=averaging, keep="last"
            ).extractor.network.arrays["backbone.conv1.weight"]
            - before
        ).max()
        for averaging in ("none", "mean-teacher")
    }
    assert 0 < distance["mean-teacher"] < 0.1 * distance["none"]


def test_steps_without_a_confident_sample_are_told(setting, clustered):
    surest = clustered.heads.predict_proba(clustered.extractor.transform(setting[0])).max()
    with pytest.warns(skscan.exceptions.SkscanWarning, match="so they were left out"):
        result = self_label(setting, clustered, threshold=float(surest) * 0.999, keep="last")
    assert sum(entry["steps"] for entry in result.history) < 6


def test_a_decay_without_averaging_is_refused(setting, clustered):
    with pytest.raises(ValueError, match=r"decay=0\.9 has no meaning"):
        self_label(setting, clustered, decay=0.9)


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_statistics_of_labels(setting, clustered, statistics):
    """With running statistics an image has the label that prediction gives it."""
    head = clustered.heads.select(clustered.best_head)
    learner = ClusteringNetwork(clustered.extractor.network.backbone("cpu"), head, "all")
    network = SelfLabelingNetwork(
        learner, mean_teacher=False, running_statistics=statistics == "running"
    )
    views = torch.from_numpy(setting[0][:16] / 127.5 - 1).permute(0, 3, 1, 2).float()
    before = learner.backbone.bn1.running_mean.clone()
    with torch.no_grad():
        predicted = learner.eval()(views)
        weak = network.train()(views.repeat_interleave(2, dim=0))[0::2]
    same = torch.allclose(weak, predicted, atol=1e-4)
    assert same == (statistics == "running")
    assert not torch.equal(learner.backbone.bn1.running_mean, before)  # they move either way


def test_adaptive_thresholds_let_unsure_heads_learn(setting, clustered):
    unsure = dataclasses.replace(
        clustered,
        heads=LinearHeads(clustered.heads.weights * 0.05, clustered.heads.biases * 0.05),
    )
    with pytest.warns(skscan.exceptions.SkscanWarning, match="no sample has a confidence above"):
        assert not self_label(setting, unsure, threshold=0.99).history
    result = self_label(setting, unsure, threshold="adaptive", keep="last")
    assert all(entry["confident"] > 0.1 for entry in result.history)
    assert result.history[-1]["steps"] == 3


@pytest.mark.parametrize("update", ["all", "heads"])
def test_self_labelling_trains_what_is_asked_for(setting, clustered, update):
    before = clustered.extractor.network.arrays["backbone.conv1.weight"]
    result = self_label(
        setting, clustered, network=NetworkTraining(update=update), keep="last", threshold=0.4
    )
    after = result.extractor.network.arrays["backbone.conv1.weight"]
    assert np.array_equal(after, before) == (update == "heads")
    assert not np.array_equal(result.heads.weights[0], clustered.heads.weights[0])


def test_a_network_with_another_normalisation_or_size_is_refused(setting, tmp_path):
    images, _, extractor, features, graph = setting
    network = extractor.network
    training = NetworkTraining(checkpoint_dir=tmp_path)

    def run(changed):
        return ClusterTrainer(
            scope="network", n_epochs=1, batch_size=64, network=training, **random_heads(n_heads=1)
        ).train(
            features,
            graph,
            3,
            random_state=np.random.RandomState(0),
            images=images,
            extractor=NetworkFeatureExtractor(changed, device="cpu"),
        )

    run(network)
    for name, value in {"mean": (0.4, 0.5, 0.5), "std": (0.4, 0.5, 0.5), "resize": 16}.items():
        with pytest.raises(CheckpointMismatchError, match=f"network {name}: "):
            run(dataclasses.replace(network, **{name: value}))
    cropped = dataclasses.replace(network, image_size=12, resize=16)
    with pytest.raises(CheckpointMismatchError, match="network image_size: 16 there, 12 now"):
        run(cropped)
    other_stem = dataclasses.replace(network, architecture={**SMALL, "stem": "stl"})
    with pytest.raises(CheckpointMismatchError, match="network architecture stem: 'cifar' there"):
        run(other_stem)


def test_self_labelling_that_loses_a_cluster_is_undone(setting, clustered):
    with pytest.warns(skscan.exceptions.SkscanWarning, match="Self-labelling was undone"):
        result = self_label(setting, clustered, learning_rate=3.0, n_epochs=3)
    assert not result.accepted
    assert result.extractor is None
    np.testing.assert_array_equal(result.heads.weights[0], clustered.heads.weights[0])


def test_the_clusterer_takes_whole_networks(tmp_path):
    images, y = stripes(150)
    clusterer = SCANClusterer(
        3,
        feature_extractor=SimCLRFeatureExtractor(
            SMALL, image_size=16, n_epochs=2, batch_size=50, learning_rate=0.1
        ),
        neighbor_miner=NeighborMiner(5),
        cluster_trainer=ClusterTrainer(scope="network", n_epochs=2, batch_size=50, n_heads=3),
        self_label_trainer=SelfLabelTrainer(
            scope="network", n_epochs=1, batch_size=50, threshold=0.5, keep="last"
        ),
        device="cpu",
        random_state=0,
    )
    labels = clusterer.fit_predict(images)
    assert clusterer.transform(images[:4]).shape == (4, 32)  # the backbone's, not the projection
    np.testing.assert_array_equal(clusterer.predict(images), labels)
    assert set(clusterer.timings_) >= {"extraction", "clustering", "self_labeling"}
    again = skscan.load(skscan.save(clusterer, tmp_path / "model"))
    np.testing.assert_array_equal(again.predict_proba(images), clusterer.predict_proba(images))
    np.testing.assert_array_equal(
        skscan.SCANClusterer(**clusterer.get_params(deep=False)).fit(images, y).labels_, labels
    )
    with pytest.raises(ValueError, match="give images, as in fit"):
        clusterer.predict(np.zeros((3, 32)))


def test_unreadable_images_are_left_out_of_the_training(tmp_path):
    from PIL import Image

    images, _ = stripes(60)
    for i, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{i:02}.png")
    (tmp_path / "07.png").write_bytes(b"no image")
    clusterer = SCANClusterer(
        3,
        feature_extractor=SimCLRFeatureExtractor(SMALL, image_size=16, n_epochs=1, batch_size=20),
        neighbor_miner=NeighborMiner(5),
        cluster_trainer=ClusterTrainer(scope="network", n_epochs=1, batch_size=20, n_heads=3),
        self_label_trainer="skip",
        device="cpu",
        random_state=0,
    )
    with pytest.warns(skscan.exceptions.SkippedImagesWarning):
        clusterer.fit(tmp_path)
    assert clusterer.labels_[7] == -1
    assert (np.delete(clusterer.labels_, 7) >= 0).all()
    assert np.isnan(clusterer.transform(tmp_path)[7]).all()


def test_neighbors_are_drawn_from_the_whole_list(setting):
    from skscan.training.augmentations import CenterCrop
    from skscan.training.network_clustering import ClusteringTask
    from skscan.training.pixels import PixelStore

    images, _, _, _, graph = setting
    table = neighbor_table(graph)
    pixels = PixelStore(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    task = ClusteringTask(None, pixels, table, CenterCrop(16, GRAY, GRAY), None, None)
    rows = torch.arange(len(images)).repeat(40)
    drawn = task.draw(rows, torch.Generator().manual_seed(0))["neighbor"].numpy()
    for row in (0, 100):
        seen, counts = np.unique(drawn[rows.numpy() == row], return_counts=True)
        assert set(seen) == set(table[row])
        assert counts.max() < 25
