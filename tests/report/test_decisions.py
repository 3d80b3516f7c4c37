"""Decisions of a person, as exported by the report."""

import json
import os

import numpy as np
import pytest

from skscan import SCANClassifier
from skscan.report import Decisions


@pytest.fixture
def load(tmp_path):
    def load(document, results=None):
        path = tmp_path / "decisions.json"
        path.write_text(json.dumps(document))
        return Decisions.load(path, results)

    return load


def test_labels_are_the_names_of_classes(load, document, photos):
    labels = load(document).to_labels(photos)
    assert labels.tolist() == [
        "cats", "Cluster 1", "Cluster 1", "cats", "cats", "-1",
        "cats", "Cluster 1", "Cluster 1", "cats", "Cluster 1", "Cluster 1",
    ]  # fmt: skip


def test_labels_may_be_only_those_that_a_person_looked_at(load, document, photos):
    labels = load(document).to_labels(photos, reviewed_only=True)
    assert labels.tolist() == ["cats", "-1", "-1", "cats", "cats", "-1"] + ["cats", "-1", "-1"] * 2


def test_paths_are_known_in_other_spellings(load, document, photos, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    relative = [os.path.relpath(path) for path in photos]
    decisions = load(document)
    assert decisions.to_labels(relative).tolist() == decisions.to_labels(photos).tolist()
    assert decisions.to_labels([photos[0], "new.jpg"]).tolist() == ["cats", "-1"]


def test_paths_of_other_images_are_refused(load, document):
    with pytest.raises(ValueError, match="none of the 2 paths"):
        load(document).to_labels(["a.jpg", "b.jpg"])


def test_classifier_learns_from_the_labels(load, document, photos):
    X = np.random.RandomState(0).normal(size=(12, 4)) + np.eye(4)[np.arange(12) % 3] * 6
    y = load(document).to_labels(photos)
    classifier = SCANClassifier(random_state=0, effort="fast").fit(X, y)
    assert set(classifier.classes_) == {"cats", "Cluster 1"}


def test_images_that_were_not_on_the_page_follow_their_cluster(load, document, results, photos):
    everything = load(document).to_labels(photos)
    few = [image for image in document["images"] if {"moved", "rejected"} & set(image)]
    sampled = document | {"complete": False, "images": few}
    assert load(sampled, results).to_labels(photos).tolist() == everything.tolist()
    with pytest.raises(ValueError, match="give the results folder"):
        load(sampled)


WRONG = {
    "no decisions": ({"format": "other"}, "holds no decisions"),
    "newer": ({"format_version": 2}, "format version"),
    "no class": ({"classes": []}, "which is not there"),
    "other run": ({"run": "0" * 16}, "another run"),
    "unknown name": (
        {"classes": [{"id": "0", "name": "-1", "clusters": [0]}]},
        "cannot be the name",
    ),
    "no name": (
        {"classes": [{"id": "7", "name": "  ", "clusters": [0]}]},
        "name of class '7' is blank",
    ),
    "long name": (
        {"classes": [{"id": "7", "name": "a" * 300, "clusters": [0]}]},
        "of class '7' has 300 letters; 200 are taken",
    ),
    "one name twice": (
        {"classes": [{"id": i, "name": "a", "clusters": []} for i in "01"]},
        "two classes have the name 'a'",
    ),
    "damaged": ({"images": [{"path": 3}]}, "damaged"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_wrong_files_are_refused(load, document, results, changes, message):
    with pytest.raises(ValueError, match=message):
        load(document | changes, results)


def test_images_that_left_the_run_are_left_out(load, document, results):
    gone = document["images"][0]["path"]
    document["images"].append({"path": "gone.png", "class": "0", "moved": True})
    summary = json.loads((results / "summary.json").read_text())
    (results / "summary.json").write_text(json.dumps(summary | {"run": document["run"]}))
    assert gone in load(document, results).images
    assert "gone.png" not in load(document, results).images


def test_images_of_no_run_are_refused(load, document, results):
    document["images"].append({"path": "/etc/passwd", "class": "0", "moved": True})
    with pytest.raises(ValueError, match="no image of that run"):
        load(document, results)


def test_file_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "x.json").write_bytes(b"\xff\x00")
    with pytest.raises(ValueError, match="no JSON"):
        Decisions.load(tmp_path / "x.json")
