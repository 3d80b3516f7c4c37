"""``skscan update``: new images in the classes that are there, and nothing else changed."""

import csv
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from skscan import load
from skscan.cli import app
from skscan.report import Decisions
from skscan.report.run import read_run

QUICK = ["--effort", "fast", "--backbone", "pixels", "--quiet"]
N_FIRST = 180


def read_table(path):
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))


def change_summary(out, **changes):
    summary = json.loads((out / "summary.json").read_text())
    (out / "summary.json").write_text(json.dumps(summary | changes))


def by_path(out):
    return {row["path"]: row for row in read_table(out / "clusters.csv")}


@pytest.fixture(scope="session")
def first(tmp_path_factory, digit_images, write_digits):
    """A folder of 180 digits and the results of a run on them."""
    place = tmp_path_factory.mktemp("first")
    folder = write_digits(place / "photos", digit_images[:N_FIRST])
    (folder / "notes.txt").write_text("no image")
    out = place / "out"
    arguments = ["cluster", str(folder), "-k", "4", "-o", str(out), "--evaluate", *QUICK]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.stderr
    return place


@pytest.fixture
def grown(first, tmp_path, digit_images, monkeypatch):
    """The same, with 20 more digits in the folder; the current folder is where both lie."""
    for name in ("photos", "out"):
        shutil.copytree(first / name, tmp_path / name)  # keeps the times of the files
    change_summary(tmp_path / "out", folder="photos", working_folder=str(tmp_path))
    for table in ("clusters.csv", "skipped.csv", "images.csv"):
        content = (tmp_path / "out" / table).read_text()
        (tmp_path / "out" / table).write_text(content.replace(str(first / "photos"), "photos"))
    for number, (digit, image) in enumerate(digit_images[N_FIRST:]):
        image.save(tmp_path / "photos" / str(digit) / f"0000-new-{number:04d}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_new_images_are_sorted_and_the_others_stay_as_they_were(skscan, grown):
    before = by_path(grown / "out")
    run = skscan("update", "out", "--json")
    assert run.exit_code == 0, run.stderr
    summary = json.loads(run.stdout)
    assert summary["n_images"] == 201
    assert summary["n_skipped"] == 1
    told = {name: summary["update"][name] for name in ("n_new", "n_changed", "n_removed")}
    assert told == {"n_new": 20, "n_changed": 0, "n_removed": 0}
    after = by_path(grown / "out")
    assert list(after) == sorted(after)
    assert {path: after[path] for path in before} == before
    new = [path for path in after if "new" in path]
    assert len(new) == 20
    # digits of one kind are in one cluster, with those that were sorted before
    cluster_of = {
        digit: max(
            range(4), key=[int(r["cluster"]) for p, r in before.items() if f"/{digit}/" in p].count
        )
        for digit in "0123"
    }
    right = [int(after[path]["cluster"]) == cluster_of[path.split("/")[1]] for path in new]
    assert np.mean(right) > 0.7
    assert summary["accuracy"] > 0.7
    assert json.loads((grown / "out" / "summary.json").read_text())["update"] == summary["update"]


def test_labels_are_what_predict_gives_and_the_model_speaks_of_all_images(skscan, grown):
    predicted = skscan("predict", "out", "photos", "--json", "--quiet")
    of_predict = {row["path"]: row for row in json.loads(predicted.stdout)["predictions"]}
    skscan("update", "out", "--quiet")
    after = by_path(grown / "out")
    assert {p: int(r["cluster"]) for p, r in after.items()} == {
        path: row["cluster"] for path, row in of_predict.items()
    }
    model = load(grown / "out" / "model")
    assert len(model.labels_) == 201
    assert (model.labels_ < 0).sum() == 1
    read = model.labels_ >= 0
    is_new = np.array(["new" in path for path in after])
    scores = np.array([row["outlier_score"] for row in of_predict.values()])
    np.testing.assert_allclose(model.outlier_scores_[read][is_new], scores[is_new], rtol=1e-3)
    assert model.feature_extractor_.get_params()["n_jobs"] is None
    assert model.memory is None
    # what the later commands need of it
    run = read_run(grown / "out")
    assert len(run.paths) == 200
    agreement = np.diff(run.neighbors.indptr)[is_new]
    assert (agreement == np.diff(run.neighbors.indptr).max()).all()


def test_the_same_tables_sheets_and_report_as_of_a_full_run(skscan, grown):
    files = {name for name in os.listdir(grown / "out") if name != "decisions.json"}
    skscan("update", "out", "--quiet")
    assert set(os.listdir(grown / "out")) == files
    sheets = os.listdir(grown / "out" / "contact_sheets")
    assert sorted(sheets) == [f"cluster_0{cluster}.jpg" for cluster in range(4)]
    assert "0000-new-0003.png" in (grown / "out" / "report.html").read_text()
    assert skscan("report", "out", "--quiet").exit_code == 0
    assert skscan("evaluate", "out", "--json").exit_code == 0


def test_images_that_are_gone_leave_and_changed_ones_are_sorted_anew(skscan, grown, digit_images):
    gone = grown / "photos" / "0" / "0000.png"
    assert gone.exists()
    gone.unlink()
    one = next(image for digit, image in digit_images if digit == 1)
    changed = next((grown / "photos" / "0").glob("00[1-9]*.png"))
    cluster_of_ones = by_path(grown / "out")["photos/1/0001.png"]["cluster"]
    one.save(changed)
    run = skscan("update", "out", "--json")
    told = json.loads(run.stdout)["update"]
    assert (told["n_new"], told["n_changed"], told["n_removed"]) == (20, 1, 1)
    after = by_path(grown / "out")
    assert "photos/0/0000.png" not in after
    assert after[str(changed.relative_to(grown))]["cluster"] == cluster_of_ones
    assert len(read_run(grown / "out").paths) == 199


def test_nothing_new_changes_nothing(skscan, grown):
    skscan("update", "out", "--quiet")
    before = {path.name: path.read_bytes() for path in (grown / "out").glob("*.*")}
    run = skscan("update", "out")
    assert run.exit_code == 0
    assert run.stdout.strip() == "images     201 in photos, of which none is new, changed or gone"
    assert {path.name: path.read_bytes() for path in (grown / "out").glob("*.*")} == before
    told = json.loads(skscan("update", "out", "--json").stdout)["update"]
    assert told["n_new"] == 0


def test_a_file_that_is_no_image_is_listed_and_does_not_stop_the_others(skscan, grown):
    for path in (grown / "photos").rglob("*new*"):
        path.unlink()
    (grown / "photos" / "more.txt").write_text("no image either")
    run = skscan("update", "out", "--json")
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["n_skipped"] == 2
    skipped = read_table(grown / "out" / "skipped.csv")
    assert [row["path"] for row in skipped] == ["photos/more.txt", "photos/notes.txt"]
    assert all("not an image" in row["reason"] for row in skipped)


def test_decisions_hold_on(skscan, grown):
    run = read_run(grown / "out").run_id
    paths = list(by_path(grown / "out"))
    moved, gone = paths[3], paths[0]
    document = {
        "format": "skscan decisions",
        "format_version": 1,
        "run": run,
        "complete": True,
        "classes": [
            {"id": str(c), "name": name, "named": True, "clusters": [c]}
            for c, name in enumerate("abcd")
        ],
        "images": [
            {"path": path, "class": row["cluster"]} for path, row in by_path(grown / "out").items()
        ],
    }
    document["images"][3] |= {"class": "3", "moved": True}
    (grown / "decisions.json").write_text(json.dumps(document))
    os.unlink(gone)
    assert skscan("update", "out", "--quiet").exit_code == 0
    assert read_run(grown / "out").run_id == run
    decisions = Decisions.load(grown / "decisions.json", grown / "out")
    after = by_path(grown / "out")
    assert set(decisions.images) == set(after)
    assert decisions.to_labels([moved]) == ["d"]
    new = next(path for path in after if "new" in path)
    assert decisions.to_labels([new]) == ["abcd"[int(after[new]["cluster"])]]
    applied = skscan("apply", "out", "decisions.json", "--to", "sorted", "--mode", "copy", "--json")
    assert applied.exit_code == 0, applied.stderr
    assert json.loads(applied.stdout)["n_images"] == 199


def test_numbers_of_images_are_kept_and_never_given_twice(skscan, grown):
    def numbers():
        rows = read_table(grown / "out" / "images.csv")
        return {row["path"]: row["number"] for row in rows}

    first = numbers()
    assert sorted(int(number) for number in first.values() if number) == list(range(180))
    skscan("update", "out", "--quiet")
    second = numbers()
    assert {path: second[path] for path in first} == first
    last = max((path for path in second if second[path]), key=lambda path: int(second[path]))
    assert second[last] == "199"
    shutil.copy(last, "photos/another.png")
    os.unlink(last)
    skscan("update", "out", "--quiet")
    assert numbers()["photos/another.png"] == "200"
    assert read_run(grown / "out").numbers.tolist() == [
        int(number) for number in numbers().values() if number
    ]


def test_new_kinds_are_named_and_too_many_call_for_new_classes(skscan, grown, digit_images):
    random = np.random.RandomState(0)
    for number in range(30):
        noise = random.randint(0, 255, (8, 8), dtype=np.uint8)
        Image.fromarray(noise).save(grown / "photos" / f"noise-{number}.png")
    run = skscan("update", "out")
    assert run.exit_code == 0, run.stderr
    told = json.loads((grown / "out" / "summary.json").read_text())["update"]
    unlike = [each["path"] for each in told["unlike"]]
    assert told["n_unlike"] == len(unlike) > 25
    assert all("noise" in path for path in unlike[:25])
    assert (told["n_added_since"], told["fits"]) == (50, False)
    assert "unlike those that the classes were found on" in run.stdout
    assert "advice" in run.stdout
    # outliers stay what they are, however many have come by now
    (grown / "photos" / "noise-0.png").unlink()
    skscan("update", "out", "--quiet")
    again = json.loads((grown / "out" / "summary.json").read_text())
    assert again["update"]["n_unlike"] == 0  # none is new
    assert again["n_outliers"] >= 25


def test_more_of_the_same_kinds_calls_for_nothing(skscan, grown):
    told = json.loads(skscan("update", "out", "--json").stdout)["update"]
    assert told["fits"]
    assert told["n_added_since"] == 20
    assert told["n_far"] < 5


def test_images_may_have_been_moved(skscan, grown):
    os.rename("photos", "elsewhere")
    run = skscan("update", "out")
    assert run.exit_code == 2
    assert f"no longer in {grown / 'photos'}; --images FOLDER tells" in run.stderr
    run = skscan("update", "out", "--images", "elsewhere", "--json", "--quiet")
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["update"]["n_changed"] == 0
    assert all(path.startswith("photos/") for path in by_path(grown / "out"))


def test_from_another_folder(skscan, grown, monkeypatch):
    monkeypatch.chdir("/")
    run = skscan("update", grown / "out", "--json", "--quiet")
    assert run.exit_code == 0, run.stderr
    assert json.loads(run.stdout)["update"]["n_new"] == 20
    assert all(path.startswith("photos/") for path in by_path(grown / "out"))


def test_a_zip_that_was_written_anew_is_known_by_its_entries(
    skscan, tmp_path, digit_images, write_digits
):
    def write(n_images):
        folder = write_digits(tmp_path / f"first-{n_images}", digit_images[:n_images])
        with zipfile.ZipFile(tmp_path / "photos.zip", "w") as file:
            for path in sorted(folder.rglob("*.png")):
                file.write(path, path.relative_to(folder))

    write(60)
    out = tmp_path / "out"
    assert skscan("cluster", tmp_path / "photos.zip", "-k", 3, "-o", out, *QUICK).exit_code == 0
    before = by_path(out)
    write(70)
    told = json.loads(skscan("update", out, "--json", "--quiet").stdout)["update"]
    assert (told["n_new"], told["n_changed"], told["n_removed"]) == (10, 0, 0)
    after = by_path(out)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda out: shutil.rmtree(out), 2, "holds no results of `skscan cluster`"),
        (lambda out: shutil.rmtree(out / "model"), 2, "holds no model"),
        (lambda out: (out / "images.csv").unlink(), 2, "holds no images.csv"),
        (
            lambda out: (out / "images.csv").write_text(
                "\n".join((out / "images.csv").read_text().splitlines()[:-1]) + "\n"
            ),
            1,
            "was changed since the model",
        ),
        (
            lambda out: (out / "images.csv").write_text("path,version,number\na.png,1-2,x\n"),
            1,
            "images.csv is damaged: invalid literal",
        ),
        (lambda out: change_summary(out, folder=3), 1, "summary.json is damaged"),
        (lambda out: (out / "summary.json").write_text("{"), 2, "summary.json is damaged"),
    ],
)
def test_results_that_cannot_be_updated_are_left_and_named(skscan, grown, spoil, code, words):
    spoil(Path("out"))
    left = sorted(os.listdir("out")) if Path("out").exists() else None
    run = skscan("update", "out")
    assert run.exit_code == code
    assert words in run.stderr
    assert left is None or sorted(os.listdir("out")) == left


def test_an_update_loads_no_torch(grown):
    code = (
        "import sys; from skscan.cli import app\n"
        "app(['update', 'out', '--quiet'], standalone_mode=False)\n"
        "print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["False"], run.stderr


def test_clustering_a_grown_folder_anew_tells_of_the_other_way(skscan, grown):
    run = skscan(
        "cluster", "photos", "-k", 4, "-o", "out", "--effort", "fast", "--backbone", "pixels"
    )
    assert run.exit_code == 0
    assert "20 of 201 images are new since the results in out" in run.stderr
    assert "skscan update out" in run.stderr
    assert "later      skscan update out" in run.stdout
    summary = json.loads((grown / "out" / "summary.json").read_text())
    assert "run" not in summary
    assert "update" not in summary
    again = skscan(
        "cluster", "photos", "-k", 4, "-o", "out", "--effort", "fast", "--backbone", "pixels"
    )
    assert "are new since" not in again.stderr


def test_images_of_another_folder_are_refused(skscan, grown, digit_images, write_digits):
    write_digits(grown / "other", digit_images[:20])
    for path in list((grown / "other").rglob("*.png")):
        path.rename(path.with_name(f"other-{path.name}"))
    before = (grown / "out" / "clusters.csv").read_bytes()
    run = skscan("update", "out", "--images", "other")
    assert run.exit_code == 2
    assert "none of the 181 images that were sorted lies in other" in run.stderr
    assert (grown / "out" / "clusters.csv").read_bytes() == before


def test_a_folder_of_the_same_name_elsewhere_is_not_looked_at(skscan, grown, monkeypatch):
    (grown / "elsewhere" / "photos").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(grown / "elsewhere" / "photos" / "0000.png")
    monkeypatch.chdir(grown / "elsewhere")
    run = skscan("update", grown / "out")
    assert run.exit_code == 0, run.stderr
    assert f"201 in {grown / 'photos'}" in run.stdout
    assert "new        20; 0 were changed, 0 are gone" in run.stdout


def test_images_that_were_copied_keep_classes_and_numbers(skscan, grown):
    skscan("update", "out", "--quiet")
    images = read_table(grown / "out" / "images.csv")
    clusters = {path: row["cluster"] for path, row in by_path(grown / "out").items()}
    shutil.move(grown / "photos", grown / "before")
    shutil.copytree(grown / "before", grown / "moved", copy_function=shutil.copyfile)
    told = json.loads(skscan("update", "out", "--images", "moved", "--json").stdout)["update"]
    assert (told["n_new"], told["n_changed"], told["n_removed"]) == (0, 201, 0)
    now = read_table(grown / "out" / "images.csv")
    assert [row["number"] for row in now] == [row["number"] for row in images]
    assert {path: row["cluster"] for path, row in by_path(grown / "out").items()} == clusters


def test_without_a_report_none_is_named(skscan, grown):
    assert "report" in json.loads((grown / "out" / "summary.json").read_text())
    run = skscan("update", "out", "--no-report", "--json")
    assert "report" not in json.loads(run.stdout)
    assert not (grown / "out" / "report.html").exists()


KILLED = """
import os, sys
from skscan.cli import app
replace = os.replace
def dying(source, target):
    if os.path.basename(target) == sys.argv[1] and ".skscan-partial" not in str(target):
        os._exit(9)
    replace(source, target)
os.replace = dying
app(["update", "out", "--quiet"])
"""


@pytest.mark.parametrize("name", ["model.json", "cluster_01.jpg", "summary.json"])
def test_an_update_that_is_killed_while_it_puts_results_in_place(skscan, grown, name):
    (grown / "photos" / "0" / "0000.png").unlink()
    shutil.copytree(grown / "out", grown / "whole")
    assert skscan("update", "whole", "--quiet").exit_code == 0
    killed = subprocess.run([sys.executable, "-c", KILLED, name], check=False)
    assert killed.returncode == 9
    run = skscan("update", "out", "--json")
    assert run.exit_code == 0, run.stderr
    for table in ("clusters.csv", "images.csv", "skipped.csv"):
        assert (grown / "out" / table).read_text() == (grown / "whole" / table).read_text()
    assert len(load(grown / "out" / "model").labels_) == 200
    assert not (grown / "out" / ".skscan-partial").exists()
    assert json.loads((grown / "out" / "summary.json").read_text())["n_images"] == 200
