"""From real photographs to reviewed class folders, the whole way that a person goes."""

import csv
import os
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest
from browser import Page, browser_or_skip, wait_for_download
from typer.testing import CliRunner

from skscan.cli import app

N_IMAGES = 1_000


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A thousand images of STL-10, classes as folders."""
    archive = Path(os.environ.get("SKSCAN_TEST_DATA", ""), "stl10.zip")
    if not archive.is_file():
        pytest.skip("SKSCAN_TEST_DATA names no folder with stl10.zip")
    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path / "cache"))
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if not name.endswith("/")]
        for name in names[:: len(names) // N_IMAGES][:N_IMAGES]:
            file.extract(name, tmp_path / "photos")
    return tmp_path / "photos"


def skscan(*arguments):
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert outcome.exit_code == 0, outcome.stderr


@pytest.mark.slow
def test_photos_are_sorted_reviewed_and_put_into_folders(photos, tmp_path):
    out, new, downloads = tmp_path / "out", tmp_path / "new", tmp_path / "downloads"
    driver = browser_or_skip(downloads)
    try:
        skscan("cluster", photos, "-k", 10, "-o", out, "--evaluate", "--quiet")
        shown = Page(driver, out / "report.html").open()
        assert "Against the folders" in shown.text("#evaluation h2")
        shown.go_to("#class-4")
        shown.find("#class-4 input.class-name").send_keys("things that drive", "\ue007")
        shown.press("Merge", "#class-7")
        shown.press("things that drive", "dialog")
        shown.press("Show all", "#class-1")
        shown.wait("document.querySelectorAll('dialog .tile').length > 10")
        tiles = shown.all("dialog .tile")
        moved = [tile.get_attribute("title").split(",")[0] for tile in tiles[:3]]
        for tile in tiles[:3]:
            tile.click()
        shown.press("Move to", "dialog")
        shown.press("things that drive", "dialog:last-of-type")
        shown.all("dialog .tile")[0].click()
        shown.press("Reject", "dialog")
        shown.press("Close", "dialog")
        shown.press("Undo")  # the rejection
        shown.open()
        shown.press("Export")
        decisions = wait_for_download(downloads)
        assert shown.complaints() == []
    finally:
        driver.quit()
    skscan("apply", out, decisions, "--to", new, "--mode", "copy", "--table", "coco", "--quiet")

    expected = defaultdict(set)
    with (out / "clusters.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            cluster = int(row["cluster"])
            by_hand = cluster == 1 and Path(row["path"]).name in moved
            together = by_hand or cluster in (4, 7)
            name = "things that drive" if together else f"Cluster {cluster}"
            expected[name].add(Path(row["path"]).read_bytes())
    found = {
        folder.name: {path.read_bytes() for path in folder.iterdir()}
        for folder in new.iterdir()
        if folder.is_dir()
    }
    assert found == expected
    skscan("apply", out, "--to", new, "--undo", "--quiet")
    assert not new.exists()
