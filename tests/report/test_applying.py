"""Decisions carried out on files: nothing overwritten, nothing lost, everything undone."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from skscan.cli import app
from skscan.report.applying import carry_out as carrying
from skscan.report.applying.carry_out import carry_out, rehearse, steps_of_plan, undo
from skscan.report.applying.journal import JOURNAL
from skscan.report.applying.names import NameGiver, safe_name
from skscan.report.applying.plan import make_plan
from skscan.report.decisions import Decisions
from skscan.report.files import run_id


@pytest.fixture
def decisions(tmp_path, document):
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def apply(results, decisions):
    def run(*options):
        arguments = ["apply", results, decisions, "--quiet", *options]
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


def tree(folder):
    """All files below a folder with their content, hidden ones left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def class_folders(folder):
    return {
        path.name: sorted(p.name for p in path.iterdir())
        for path in folder.iterdir()
        if path.is_dir()
    }


def expected_folders():
    # 4.png of the first folder was moved to cats; 4.png of the second is the only one in its class
    return {
        "cats": sorted(["0.png", "0 (2).png", "3.png", "3 (2).png", "4.png"]),
        "Cluster 1": sorted(["1.png", "1 (2).png", "2.png", "2 (2).png", "4.png", "5.png"]),
    }


@pytest.mark.parametrize("mode", ["copy", "move", "link"])
def test_each_class_becomes_a_folder(apply, tmp_path, photos, mode):
    before = tree(tmp_path / "photos")
    outcome = apply("--to", tmp_path / "new", "--mode", mode)
    assert outcome.exit_code == 0, outcome.stderr
    assert class_folders(tmp_path / "new") == expected_folders()
    with (tmp_path / "new" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows][:6] == [
        "cats",
        "Cluster 1",
        "Cluster 1",
        "cats",
        "cats",
        "",
    ]
    for row in rows:
        if row["file"]:
            content = (tmp_path / "new" / row["file"]).read_bytes()
            assert content == before[os.path.relpath(row["path"], tmp_path / "photos")]
    left = tree(tmp_path / "photos")
    assert left == (before if mode != "move" else {"one/5.png": before["one/5.png"]})


@pytest.mark.parametrize("mode", ["copy", "move", "link", "csv"])
def test_undo_restores_everything(apply, results, tmp_path, mode):
    before = tree(tmp_path)
    assert apply("--to", tmp_path / "deep" / "new", "--mode", mode).exit_code == 0
    outcome = CliRunner().invoke(
        app, ["apply", str(results), "--to", str(tmp_path / "deep/new"), "--undo"]
    )
    assert outcome.exit_code == 0, outcome.stderr
    assert tree(tmp_path) == before
    assert not (tmp_path / "deep").exists()


def test_dry_run_touches_nothing(apply, tmp_path):
    before = tree(tmp_path)
    outcome = apply("--to", tmp_path / "new", "--mode", "move", "--dry-run")
    assert outcome.exit_code == 0
    assert tree(tmp_path) == before
    assert not (tmp_path / "new").exists()


def test_files_that_are_there_are_never_overwritten(apply, tmp_path):
    (tmp_path / "new" / "cats").mkdir(parents=True)
    (tmp_path / "new" / "cats" / "0.png").write_text("mine")
    outcome = apply("--to", tmp_path / "new", "--mode", "copy")
    assert outcome.exit_code == 1
    assert "not empty" in outcome.stderr
    assert (tmp_path / "new" / "cats" / "0.png").read_text() == "mine"


def test_file_that_comes_meanwhile_is_not_overwritten(results, decisions, tmp_path, monkeypatch):
    plan = make_plan(results, Decisions.load(decisions, results), "copy")
    steps = steps_of_plan(plan, "copy", [])
    assert rehearse(tmp_path / "new", steps) is None
    copy = carrying._copy

    def intrude(source, unnamed):
        (tmp_path / "new" / steps[3].target).write_text("mine") if source == steps[
            3
        ].source else None
        copy(source, unnamed)

    monkeypatch.setattr(carrying, "_copy", intrude)
    with pytest.raises(FileExistsError):
        carry_out(tmp_path / "new", plan, steps)
    assert (tmp_path / "new" / steps[3].target).read_text() == "mine"
    monkeypatch.undo()
    undone = undo(tmp_path / "new")
    assert [name for name, _ in undone.kept] == [str(tmp_path / "new" / steps[3].target)]
    assert (tmp_path / "new" / steps[3].target).read_text() == "mine"


def test_second_call_has_nothing_to_do_and_another_plan_is_refused(apply, tmp_path, decisions):
    assert apply("--to", tmp_path / "new", "--mode", "copy").exit_code == 0
    before = tree(tmp_path / "new")
    assert apply("--to", tmp_path / "new", "--mode", "copy").exit_code == 0
    assert tree(tmp_path / "new") == before
    outcome = apply("--to", tmp_path / "new", "--mode", "link")
    assert outcome.exit_code == 1
    assert "--undo" in outcome.stderr


def test_changed_copies_and_taken_places_are_kept(apply, results, tmp_path):
    assert apply("--to", tmp_path / "new", "--mode", "move").exit_code == 0
    (tmp_path / "photos" / "one" / "0.png").write_text("a new one")
    outcome = CliRunner().invoke(
        app, ["apply", str(results), "--to", str(tmp_path / "new"), "--undo"]
    )
    assert outcome.exit_code == 1
    assert "taken its place" in outcome.stderr
    assert (tmp_path / "photos" / "one" / "0.png").read_text() == "a new one"
    assert class_folders(tmp_path / "new") == {"cats": ["0.png"]}
    assert len(tree(tmp_path / "photos")) == 12


KILLED = """
import os, signal, sys
from skscan.report.applying import carry_out as carrying
from skscan.cli import main
after, place = int(sys.argv[1]), sys.argv[2]
calls = 0
real = getattr(os, place)
def dying(*arguments, **options):
    global calls
    calls += 1
    if calls == after:
        if "after" in os.environ.get("WHEN", ""):
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(os, place, dying)
main(sys.argv[3:])
"""


def killed(after, place, when, *arguments):
    run = subprocess.run(
        [sys.executable, "-c", KILLED, str(after), place, *map(str, arguments)],
        env=os.environ | {"WHEN": when},
        capture_output=True,
    )
    assert run.returncode == -signal.SIGKILL, run.stderr


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("ending", ["resume", "undo"])
@pytest.mark.parametrize(
    ("mode", "place", "when", "after"),
    [("copy", "link", "after", 4), ("move", "link", "after", 5), ("move", "unlink", "before", 6)],
)
def test_kill_in_the_middle_loses_nothing(
    apply, results, decisions, tmp_path, mode, place, when, after, ending
):
    before = tree(tmp_path)
    images = tree(tmp_path / "photos")
    new = tmp_path / "new"
    killed(after, place, when, "apply", results, decisions, "--to", new, "--mode", mode, "-q")
    assert 0 < len(list(new.rglob("*.png"))) < 11
    everywhere = {*tree(tmp_path / "photos").values(), *tree(new).values()}
    assert everywhere >= set(images.values())  # each image is somewhere, whole
    if ending == "resume":
        outcome = apply("--to", new, "--mode", mode)
        assert outcome.exit_code == 0, outcome.stderr
        assert class_folders(new) == expected_folders()
        assert set(tree(new).values()) >= set(images.values()) - {images["one/5.png"]}
        assert len(tree(tmp_path / "photos")) == (1 if mode == "move" else 12)
    outcome = CliRunner().invoke(app, ["apply", str(results), "--to", str(new), "--undo"])
    assert outcome.exit_code == 0, outcome.stderr
    assert tree(tmp_path) == before
    assert not new.exists()


def test_line_that_a_kill_cut_off_is_dropped(apply, results, tmp_path):
    assert apply("--to", tmp_path / "new", "--mode", "copy").exit_code == 0
    with (tmp_path / "new" / JOURNAL).open("a") as file:
        file.write('{"step": 3, "sta')
    assert undo(tmp_path / "new").kept == []
    assert not (tmp_path / "new").exists()


def test_other_disks_and_file_systems_without_hard_links(apply, results, tmp_path, monkeypatch):
    before = tree(tmp_path)

    def no_links(*_, **__):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", no_links)
    assert apply("--to", tmp_path / "new", "--mode", "move").exit_code == 0
    assert class_folders(tmp_path / "new") == expected_folders()
    assert undo(tmp_path / "new").kept == []
    assert tree(tmp_path) == before


def test_images_in_a_zip_are_copied_out(tmp_path, write_run, decided, photos):
    archive = tmp_path / "photos.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in photos:
            file.write(path, os.path.relpath(path, tmp_path))
    paths = [f"{archive}/{os.path.relpath(path, tmp_path)}" for path in photos]
    results = write_run(tmp_path / "out", paths, np.arange(12) % 3, n_clusters=3)
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps(decided(results, paths)))
    arguments = ["apply", str(results), str(path), "--to", str(tmp_path / "new"), "-q", "--mode"]
    refused = CliRunner().invoke(app, [*arguments, "move"])
    assert refused.exit_code == 1
    assert "--mode copy" in refused.stderr
    assert CliRunner().invoke(app, [*arguments, "copy", "--table", "coco"]).exit_code == 0
    assert class_folders(tmp_path / "new") == expected_folders()
    copied = (tmp_path / "new" / "cats" / "0.png").read_bytes()
    assert copied == Path(photos[0]).read_bytes()


def test_images_are_found_where_they_lie_now(apply, tmp_path):
    shutil.move(tmp_path / "photos", tmp_path / "elsewhere")
    outcome = apply("--to", tmp_path / "new", "--mode", "copy")
    assert outcome.exit_code == 1
    assert "--images" in outcome.stderr
    outcome = apply("--to", tmp_path / "new", "--mode", "copy", "--images", tmp_path / "elsewhere")
    assert outcome.exit_code == 0, outcome.stderr
    assert class_folders(tmp_path / "new") == expected_folders()


def test_coco_and_huggingface_tables(apply, tmp_path):
    options = ["--mode", "copy", "--table", "coco", "--table", "huggingface"]
    assert apply("--to", tmp_path / "new", *options).exit_code == 0
    coco = json.loads((tmp_path / "new" / "annotations.json").read_text())
    assert [category["name"] for category in coco["categories"]] == ["Cluster 1", "cats"]
    assert len(coco["images"]) == len(coco["annotations"]) == 11
    image = coco["images"][0]
    assert (image["width"], image["height"]) == Image.open(
        tmp_path / "new" / image["file_name"]
    ).size
    with (tmp_path / "new" / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all((tmp_path / "new" / row["file_name"]).is_file() for row in rows)
    assert {row["label"] for row in rows} == {"cats", "Cluster 1"}
    assert not (tmp_path / "new" / "labels.csv").exists()


def test_parquet_table(apply, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    assert apply("--to", tmp_path / "new", "--mode", "csv", "--table", "parquet").exit_code == 0
    table = parquet.read_table(tmp_path / "new" / "labels.parquet")
    assert table.column("class").to_pylist()[:2] == ["cats", "Cluster 1"]


def test_table_without_its_package_or_images_is_refused(apply, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    outcome = apply("--to", tmp_path / "new", "--mode", "csv", "--table", "parquet")
    assert outcome.exit_code == 2
    assert "pip install pyarrow" in outcome.stderr
    outcome = apply("--to", tmp_path / "new", "--mode", "csv", "--table", "huggingface")
    assert outcome.exit_code == 2


@pytest.mark.parametrize("place", ["photos/sorted", "out/sorted"])
def test_places_among_images_and_results_are_refused(apply, tmp_path, place):
    outcome = apply("--to", tmp_path / place, "--mode", "copy")
    assert outcome.exit_code == 2
    assert not (tmp_path / place).exists()


HOSTILE = {
    "../../etc": "__.._etc",
    "a/b\\c": "a_b_c",
    "CON": "_CON",
    "nul.txt": "_nul.txt",
    "what?": "what_",
    "end. ": "end",
    "line\nbreak": "line_break",
    "\u202egnp.exe": "_gnp.exe",
    "..": "class",
    "": "class",
}


@pytest.mark.parametrize(("name", "safe"), HOSTILE.items())
def test_names_become_one_step_of_a_path(name, safe):
    assert safe_name(name, "class") == safe


def test_long_names_are_cut_and_same_names_are_numbered():
    assert len(safe_name("ä" * 300 + ".jpg", "image").encode()) <= 200
    assert safe_name("ä" * 300 + ".jpg", "image").endswith(".jpg")
    giver = NameGiver()
    assert [giver.give(name, "x") for name in ("a.jpg", "A.jpg", "a.jpg", "a (2).jpg")] == [
        "a.jpg",
        "A (2).jpg",
        "a (3).jpg",
        "a (2) (2).jpg",
    ]


def test_file_names_that_are_no_utf8_are_kept(tmp_path, write_run):
    folder = os.fsencode(tmp_path / "photos")
    os.mkdir(folder)
    name = folder + b"/caf\xe9\n<b>.png"
    Image.new("RGB", (9, 9)).save(tmp_path / "x.png")
    shutil.copy(tmp_path / "x.png", name)
    path = os.fsdecode(name)
    results = write_run(tmp_path / "out", [path], np.zeros(1, int), n_clusters=1)
    document = {
        "format": "skscan decisions",
        "format_version": 1,
        "run": run_id(results),
        "classes": [{"id": "0", "name": "<i>\u202e", "clusters": [0]}],
        "images": [{"path": path, "cluster": 0, "class": "0"}],
    }
    (tmp_path / "d.json").write_text(json.dumps(document))
    arguments = ["apply", str(results), str(tmp_path / "d.json"), "--to", str(tmp_path / "new")]
    outcome = CliRunner().invoke(app, [*arguments, "--mode", "copy"])
    assert outcome.exit_code == 0, outcome.stderr
    assert os.listdir(os.fsencode(tmp_path / "new" / "_i__")) == [b"caf\xe9__b_.png"]
