"""Exit codes, and errors that are one line."""

import errno
import importlib
import os
import shutil

import pytest

from skscan import PixelFeatureExtractor
from skscan.cli import options
from skscan.extractors.views import MAX_VIEWS

QUICK = ["--effort", "fast", "--backbone", "pixels", "--quiet"]


def assert_one_line_error(run, exit_code, *words):
    assert run.exit_code == exit_code, run.output
    assert "Traceback" not in run.output
    error = run.stderr.strip().splitlines()[-1]
    assert error.lower().startswith("error: "), run.stderr
    for word in words:
        assert word in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize("k", ["0", "-1", "2.5", "many"])
def test_k_that_is_no_number_of_clusters(skscan, shared_digits, k):
    assert_one_line_error(skscan("cluster", shared_digits, "-k", k), 2, k)


def test_k_above_the_images_that_can_be_read(skscan, tmp_path, digit_images, write_digits):
    folder = write_digits(tmp_path / "photos", digit_images[:5])
    (folder / "notes.txt").write_text("no image")
    arguments = ["cluster", folder, "-o", tmp_path / "out", *QUICK, "-k"]
    assert_one_line_error(skscan(*arguments, 7), 2, "more than the 6 images")
    assert_one_line_error(skscan(*arguments, 6), 2, "-k 6", "of which 5 could be read")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["-k", 3], ["--colour"], ["-k", "many"]])
def test_every_error_begins_with_the_same_word(skscan, tmp_path, arguments):
    run = skscan("cluster", tmp_path / "nowhere", *arguments)
    assert run.stderr.strip().splitlines()[-1].startswith("Error: ")


def test_k_is_required(skscan, shared_digits):
    assert_one_line_error(skscan("cluster", shared_digits), 2, "-k")


@pytest.mark.parametrize("views", ["0", "9", "2.5"])
def test_views_that_are_no_number_of_views(skscan, shared_digits, views):
    assert options.MAX_VIEWS == MAX_VIEWS
    run = skscan("cluster", shared_digits, "-k", 3, "--views", views)
    assert_one_line_error(run, 2, views, f"from 1 to {MAX_VIEWS}")


def test_pixels_have_one_view(skscan, shared_digits, tmp_path):
    run = skscan("cluster", shared_digits, "-k", 3, "-o", tmp_path / "out", *QUICK, "--views", 2)
    assert_one_line_error(run, 2, "--backbone pixels", "no --views")


def test_unknown_option(skscan, shared_digits):
    assert_one_line_error(skscan("cluster", shared_digits, "-k", 3, "--colour"), 2, "--colour")


def test_missing_folder(skscan, tmp_path):
    missing = tmp_path / "nowhere"
    run = skscan("cluster", missing, "-k", 3, "-o", tmp_path / "out")
    assert_one_line_error(run, 2, str(missing))
    assert not (tmp_path / "out").exists()


def test_empty_folder(skscan, tmp_path):
    (tmp_path / "photos").mkdir()
    run = skscan("cluster", tmp_path / "photos", "-k", 3, "-o", tmp_path / "out")
    assert_one_line_error(run, 2, str(tmp_path / "photos"))


def test_folder_without_an_image(skscan, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    run = skscan("cluster", tmp_path / "photos", "-k", 1, "-o", tmp_path / "out")
    assert_one_line_error(run, 2, "no image")


def test_no_readable_image(skscan, tmp_path):
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.jpg").write_bytes(b"")
    run = skscan("cluster", tmp_path / "photos", "-k", 2, "-o", tmp_path / "out", *QUICK)
    assert_one_line_error(run, 1)
    assert not (tmp_path / "out").exists()


def test_file_that_is_no_zip(skscan, tmp_path):
    (tmp_path / "photos.zip").write_text("no zip")
    assert_one_line_error(skscan("cluster", tmp_path / "photos.zip", "-k", 3), 2, "photos.zip")


def test_more_clusters_than_images(skscan, shared_digits, tmp_path):
    run = skscan("cluster", shared_digits, "-k", 201, "-o", tmp_path / "out")
    assert_one_line_error(run, 2, "-k 201", "200 images")


def test_results_folder_that_is_a_file(skscan, shared_digits, tmp_path):
    (tmp_path / "out").write_text("")
    run = skscan("cluster", shared_digits, "-k", 3, "-o", tmp_path / "out")
    assert_one_line_error(run, 2, "is a file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_results_folder_without_permission(skscan, shared_digits, tmp_path):
    tmp_path.chmod(0o500)
    run = skscan("cluster", shared_digits, "-k", 3, "-o", tmp_path / "out")
    assert_one_line_error(run, 1, "Permission denied")


def test_backbone_that_cannot_be_had(skscan, shared_digits, tmp_path):
    run = skscan(
        "cluster", shared_digits, "-k", 4, "-o", tmp_path / "o", "--backbone", "no_such_net", "-q"
    )
    assert_one_line_error(run, 1, "no_such_net")


def test_disk_full_leaves_earlier_results(skscan, shared_digits, results, tmp_path, monkeypatch):
    out = shutil.copytree(results, tmp_path / "out")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "cluster_00.jpg")

    monkeypatch.setattr("skscan.report.contact_sheets.write_contact_sheets", no_space)
    run = skscan("cluster", shared_digits, "-k", 3, "-o", out, *QUICK)
    assert_one_line_error(run, 1, "No space left on device", "earlier files are as they were")
    after = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")
def test_full_disk_while_predicting(skscan, shared_digits, results):
    run = skscan("predict", results, shared_digits, "-o", "/dev/full", "--quiet")
    assert_one_line_error(run, 1, "No space left on device")


def test_unexpected_error_gives_one_line_and_a_hint(skscan, shared_digits, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise LookupError("a defect")

    monkeypatch.setattr(importlib.import_module("skscan.cli.cluster"), "_fit", fail)
    arguments = ("cluster", shared_digits, "-k", 3, "-o", tmp_path / "out")
    assert_one_line_error(skscan(*arguments), 1, "LookupError", "a defect", "--debug")
    with_traceback = skscan(*arguments, "--debug")
    assert with_traceback.exit_code == 1
    assert "Traceback" in with_traceback.stderr


@pytest.mark.parametrize("command", ["predict", "evaluate", "info"])
def test_folder_that_holds_no_results(skscan, shared_digits, tmp_path, command):
    arguments = [tmp_path, shared_digits] if command == "predict" else [tmp_path]
    assert_one_line_error(skscan(command, *arguments), 2, str(tmp_path))


@pytest.mark.parametrize("command", ["predict", "info"])
def test_damaged_model(skscan, shared_digits, results, tmp_path, command):
    out = shutil.copytree(results, tmp_path / "out")
    for file in (out / "model").rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[:20])
    arguments = [out, shared_digits] if command == "predict" else [out]
    assert_one_line_error(skscan(command, *arguments), 1, "model")


@pytest.mark.parametrize("command", ["predict", "extract"])
def test_a_place_for_no_file_is_refused_before_any_work(
    skscan, results, shared_digits, tmp_path, monkeypatch, command
):
    monkeypatch.setattr(PixelFeatureExtractor, "extract", lambda *_: pytest.fail("work began"))
    (tmp_path / "folder.npy").mkdir()
    arguments = [results, shared_digits] if command == "predict" else [shared_digits]
    for place in (tmp_path / "missing" / "file.npy", tmp_path / "folder.npy"):
        run = skscan(command, *arguments, "-o", place)
        assert run.exit_code == 2
        assert str(place) in run.stderr


@pytest.mark.parametrize("value", ["0", "-2", "many"])
def test_wrong_number_of_jobs(skscan, shared_digits, tmp_path, value):
    run = skscan("cluster", shared_digits, "-k", 4, "-o", tmp_path / "out", "--jobs", value)
    assert run.exit_code == 2
    assert value in run.stderr


@pytest.mark.parametrize("out", ["", ".", "photos", "photos/.."])
def test_results_must_not_hold_the_images(skscan, shared_digits, tmp_path, monkeypatch, out):
    shutil.copytree(shared_digits, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    run = skscan("cluster", "photos", "-k", 4, "-o", out, *QUICK)
    assert run.exit_code == 2
    assert "empty name" in run.stderr if out == "" else "must not be, or contain" in run.stderr


def test_an_empty_folder_name_is_not_the_current_folder(skscan, digits_folder, monkeypatch):
    monkeypatch.chdir(digits_folder)
    run = skscan("cluster", "", "-k", 4)
    assert run.exit_code == 2
    assert "empty name" in run.stderr


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
def test_two_runs_do_not_write_to_one_folder(skscan, shared_digits, tmp_path):
    staging = tmp_path / "out" / ".skscan-partial"
    staging.mkdir(parents=True)
    (staging / "process").write_text(str(os.getppid()))
    arguments = ["cluster", shared_digits, "-k", 4, "-o", tmp_path / "out", *QUICK]
    assert_one_line_error(skscan(*arguments), 2, "another run", str(os.getppid()))
    (staging / "process").write_text("4194305")  # no process has this number
    assert skscan(*arguments).exit_code == 0
    assert not staging.exists()
