"""``skscan cluster``: what it writes, prints and refuses."""

import csv
import json
import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from skscan import load
from skscan.cli.cluster import _more_sizes, _number_of_views
from skscan.cli.features import describe_extractor, extractor_from_options
from skscan.images import list_images

QUICK = ["--effort", "fast", "--backbone", "pixels"]


def read_table(path):
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def test_writes_one_row_for_each_image(skscan, shared_digits, results):
    rows = read_table(results / "clusters.csv")
    assert list(rows[0]) == ["path", "cluster", "confidence", "second_cluster"]
    assert sorted(row["path"] for row in rows) == list_images(shared_digits)
    for row in rows:
        assert 0 <= int(row["cluster"]) < 4
        assert 0 <= int(row["second_cluster"]) < 4
        assert row["cluster"] != row["second_cluster"]
        assert 0 < float(row["confidence"]) <= 1
    assert read_table(results / "skipped.csv") == []


def test_writes_a_contact_sheet_for_each_cluster(results):
    sheets = sorted(os.listdir(results / "contact_sheets"))
    assert sheets == [f"cluster_0{cluster}.jpg" for cluster in range(4)]
    for name in sheets:
        with Image.open(results / "contact_sheets" / name) as sheet:
            assert sheet.width > 800


def test_json_is_one_object_with_the_promised_keys(skscan, shared_digits, tmp_path):
    out = tmp_path / "out"
    run = skscan("cluster", shared_digits, "-k", 4, "-o", out, "--evaluate", "--json", *QUICK)
    assert run.exit_code == 0
    printed = json.loads(run.stdout)
    assert printed["n_images"] == 200
    assert printed["n_skipped"] == 0
    assert printed["n_clusters"] == 4
    assert sum(printed["cluster_sizes"]) == 200
    assert {"extraction", "mining", "clustering", "total"} <= set(printed["seconds"])
    assert 0.7 < printed["accuracy"] <= 1  # the digits 0 to 3 are well apart
    assert 0.7 < printed["neighbor_purity"] <= 1
    assert 0 < printed["nmi"] <= 1
    assert 0 < printed["ari"] <= 1
    saved = json.loads((out / "summary.json").read_text())
    assert {name: saved[name] for name in printed} == printed


def test_scores_appear_only_with_evaluate(skscan, shared_digits, tmp_path):
    run = skscan("cluster", shared_digits, "-k", 4, "-o", tmp_path / "out", "--json", *QUICK)
    assert not {"accuracy", "nmi", "ari"} & set(json.loads(run.stdout))


def test_summary_for_people_on_stdout_progress_on_stderr(skscan, shared_digits, tmp_path):
    out = tmp_path / "out"
    run = skscan("cluster", shared_digits, "-k", 4, "-o", out, "--evaluate", *QUICK)
    for word in ("images     200", "features", "seconds", "clusters", "accuracy", "NMI", "ARI"):
        assert word in run.stdout
    for word in ("uncertain  about", "mean confidence", "unlike all others", "near-duplicates"):
        assert word in run.stdout
    assert f"skscan predict {out}" in run.stdout
    assert "contact sheets" in run.stderr
    assert "contact sheets:" not in run.stdout


def test_quiet_says_nothing(skscan, shared_digits, tmp_path):
    run = skscan("cluster", shared_digits, "-k", 4, "-o", tmp_path / "out", *QUICK, "--quiet")
    assert run.exit_code == 0
    assert run.output == ""


@pytest.mark.parametrize(("options", "n_views"), [(["--views", 2], 2), (["--effort", "best"], 4)])
def test_views_are_those_asked_for_or_of_the_effort(
    skscan, shared_digits, tmp_path, monkeypatch, options, n_views
):
    few = {name: {"n_heads": 2} for name in ("default", "best")}  # more would take their time
    monkeypatch.setattr("skscan.training.clustering.EFFORTS", few)
    out, network = tmp_path / "out", ["--backbone", "efficientnet_lite0", "--image-size", 32]
    run = skscan("cluster", shared_digits, "-k", 4, "-o", out, "--json", *network, *options)
    assert run.exit_code == 0, run.stderr
    assert load(out / "model").feature_extractor_.n_views == n_views
    assert f"mean of {n_views} views" in json.loads(run.stdout)["features"]


@pytest.mark.parametrize(
    ("image_size", "effort", "backbone", "weights", "expected"),
    [
        (None, "default", "default", None, ()),
        (None, "best", "default", None, (176,)),
        (128, "best", "default", None, ()),
        (None, "best", "resnet18", None, ()),
        (None, "best", "default", Path("weights.pth"), ()),
    ],
)
def test_the_best_effort_looks_at_two_sizes_unless_one_is_asked_for(
    image_size, effort, backbone, weights, expected
):
    assert _more_sizes(image_size, effort, backbone, weights) == expected


def test_an_extractor_of_two_sizes_is_told_in_one_phrase():
    shared = {"weights": None, "errors": "skip", "jobs": None, "device": "cpu", "verbose": 0}
    pair = extractor_from_options(
        backbone="default", image_size=128, more_sizes=(176,), views=4, **shared
    )
    assert [each.image_size for each in pair.extractors] == [128, 176]
    for each in pair.extractors:
        each.choice_ = "backbone"
    told = describe_extractor(pair.fitted_with(pair.extractors, (1280, 1280)))
    expected = "efficientnet_lite0 (trained with ImageNet labels), mean of 4 views"
    assert told == f"{expected}, at 128 and 176 px"
    pair.extractors[0].choice_ = "pixels"
    assert describe_extractor(pair) == f"pixels; {expected}"


@pytest.mark.parametrize(
    ("views", "effort", "backbone", "expected"),
    [
        (None, "default", "default", 1),
        (None, "best", "resnet18", 4),
        (1, "best", "default", 1),
        (None, "best", "pixels", 1),
    ],
)
def test_how_many_views_are_taken(views, effort, backbone, expected):
    assert _number_of_views(views, effort, backbone) == expected


def test_views_are_shared_by_the_sizes():
    assert _number_of_views(None, "best", "default", 2) == 2
    assert _number_of_views(None, "default", "default", 2) == 1
    assert _number_of_views(4, "best", "default", 2) == 4


def test_same_seed_same_clusters(skscan, shared_digits, results, tmp_path):
    run = skscan("cluster", shared_digits, "-k", 4, "-o", tmp_path / "again", *QUICK)
    assert run.exit_code == 0
    again = (tmp_path / "again" / "clusters.csv").read_bytes()
    assert again == (results / "clusters.csv").read_bytes()


def test_zip_is_sorted_like_a_folder(skscan, digits_folder, tmp_path):
    archive = tmp_path / "digits.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in list_images(digits_folder):
            file.write(path, Path(path).relative_to(digits_folder))
    out = tmp_path / "out"
    run = skscan("cluster", archive, "-k", 4, "-o", out, "--evaluate", "--json", *QUICK)
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["n_images"] == 200
    assert "accuracy" in json.loads(run.stdout)
    assert read_table(out / "clusters.csv")[0]["path"].startswith(str(archive))


def test_one_cluster_has_no_second(skscan, shared_digits, tmp_path):
    run = skscan("cluster", shared_digits, "-k", 1, "-o", tmp_path / "out", *QUICK)
    assert run.exit_code == 0, run.stderr
    rows = read_table(tmp_path / "out" / "clusters.csv")
    assert {(row["cluster"], row["second_cluster"]) for row in rows} == {("0", "")}


def test_unreadable_files_are_listed_and_no_row_is_lost(skscan, digits_folder, tmp_path):
    whole = next((digits_folder / "0").glob("*.png")).read_bytes()
    (digits_folder / "0" / "empty.png").write_bytes(b"")
    (digits_folder / "0" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (digits_folder / "1" / "notes.txt").write_text("no image at all")
    out = tmp_path / "out"
    run = skscan("cluster", digits_folder, "-k", 4, "-o", out, "--json", *QUICK)
    assert run.exit_code == 0, run.stderr
    skipped = {Path(row["path"]).name: row["reason"] for row in read_table(out / "skipped.csv")}
    assert set(skipped) == {"empty.png", "cut.png", "notes.txt"}
    assert all(skipped.values())
    clustered = [row["path"] for row in read_table(out / "clusters.csv")]
    every = clustered + [row["path"] for row in read_table(out / "skipped.csv")]
    assert Counter(every) == Counter(list_images(digits_folder))
    assert json.loads(run.stdout)["n_skipped"] == 3


def test_errors_raise_stops_at_an_unreadable_file(skscan, digits_folder, tmp_path):
    (digits_folder / "0" / "empty.png").write_bytes(b"")
    out = tmp_path / "out"
    run = skscan("cluster", digits_folder, "-k", 4, "-o", out, "--errors", "raise", *QUICK)
    assert run.exit_code == 1
    assert "empty.png" in run.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    "name",
    ["new\nline.png", "car\rriage.png", 'comma, "quote".png', "\x1b[31mred.png", "caf\udce9.png"],
)
def test_hostile_names_round_trip(skscan, digits_folder, tmp_path, name):
    victim = sorted((digits_folder / "2").glob("*.png"))[0]
    hostile = victim.rename(victim.with_name(name))
    (digits_folder / "2" / ("bad" + name)).write_bytes(b"not an image")
    out = tmp_path / "out"
    run = skscan("cluster", digits_folder, "-k", 4, "-o", out, *QUICK)
    assert run.exit_code == 0, run.stderr
    paths = [row["path"] for row in read_table(out / "clusters.csv")]
    assert str(hostile) in paths
    assert len(paths) == 200
    assert all(os.path.exists(path) for path in paths)
    assert Path(read_table(out / "skipped.csv")[0]["path"]).name == "bad" + name
    assert "\x1b" not in run.output
    assert "ba\nd" not in run.output


def test_equal_names_in_two_folders_are_two_images(skscan, digits_folder, tmp_path):
    for digit in (0, 1):
        first = sorted((digits_folder / str(digit)).glob("*.png"))[0]
        first.rename(first.with_name("same.png"))
    skscan("cluster", digits_folder, "-k", 4, "-o", tmp_path / "out", *QUICK)
    paths = [row["path"] for row in read_table(tmp_path / "out" / "clusters.csv")]
    assert sum(path.endswith("same.png") for path in paths) == 2


def test_second_run_replaces_its_own_files_only(skscan, digits_folder, tmp_path):
    out = tmp_path / "out"
    assert skscan("cluster", digits_folder, "-k", 4, "-o", out, *QUICK).exit_code == 0
    (out / "my notes.txt").write_text("keep me")
    (out / "contact_sheets" / "mine.txt").write_text("keep me too")
    assert skscan("cluster", digits_folder, "-k", 3, "-o", out, *QUICK).exit_code == 0
    assert (out / "my notes.txt").read_text() == "keep me"
    sheets = sorted(os.listdir(out / "contact_sheets"))
    assert sheets == ["cluster_00.jpg", "cluster_01.jpg", "cluster_02.jpg", "mine.txt"]
    assert json.loads((out / "summary.json").read_text())["n_clusters"] == 3
    assert not [name for name in os.listdir(out) if name.startswith(".")]


def test_results_inside_the_folder_are_no_images(skscan, digits_folder):
    out = digits_folder / "sorted"
    other = digits_folder / "sorted too"
    for folder in (out, out, other):
        run = skscan("cluster", digits_folder, "-k", 4, "-o", folder, "--json", *QUICK)
        assert run.exit_code == 0, run.stderr
        assert json.loads(run.stdout)["n_images"] == 200
    assert "are left out: they are results of skscan" in run.stderr


def test_refuses_a_folder_that_holds_something_else(skscan, shared_digits, tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    run = skscan("cluster", shared_digits, "-k", 4, "-o", tmp_path, *QUICK)
    assert run.exit_code == 2
    assert "thesis.tex" in run.stderr
    assert "-o" in run.stderr
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_default_results_folder_has_the_name_of_the_images(
    skscan, digits_folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert skscan("cluster", "digits", "-k", 4, *QUICK).exit_code == 0
    assert (tmp_path / "digits-clusters" / "clusters.csv").is_file()


@pytest.mark.parametrize("options", [["--weights", "missing.pth"], ["--image-size", "64"]])
def test_options_that_contradict_are_refused(skscan, shared_digits, tmp_path, options):
    run = skscan("cluster", shared_digits, "-k", 4, "-o", tmp_path / "o", *QUICK, *options)
    assert run.exit_code == 2
    assert options[0] in run.stderr


def test_evaluate_needs_two_class_folders(skscan, shared_digits, tmp_path):
    run = skscan(
        "cluster", shared_digits / "0", "-k", 4, "-o", tmp_path / "out", "--evaluate", *QUICK
    )
    assert run.exit_code == 2
    assert "all images lie in one folder, '0'" in run.stderr
    assert not (tmp_path / "out").exists()


def test_the_number_of_clusters_is_looked_for(skscan, shared_digits, tmp_path):
    out = tmp_path / "out"
    run = skscan("cluster", shared_digits, "-k", "auto", "-o", out, *QUICK)
    assert run.exit_code == 0
    summary = json.loads((out / "summary.json").read_text())
    proposals = summary["cluster_count"]["proposals"]
    assert summary["n_clusters"] == len(summary["cluster_sizes"]) == proposals[0] >= 2
    assert summary["cluster_count"]["n_clusters"] == list(range(2, 15))  # the root of 200
    line = next(line for line in run.stdout.splitlines() if line.startswith("number"))
    assert f"{proposals[0]} clusters were found" in line
    assert str(proposals[1]) in line
    assert skscan("predict", out, shared_digits).exit_code == 0
    assert skscan("info", out).exit_code == 0


def test_a_number_of_clusters_that_is_none(skscan, shared_digits, tmp_path):
    run = skscan("cluster", shared_digits, "-k", "many", "-o", tmp_path / "out")
    assert run.exit_code == 2
    assert "'many'" in run.stderr
    assert "auto" in run.stderr
