"""The report in a real browser: read, reviewed, exported, and carried out."""

import csv
import json
import os
from functools import partial

import numpy as np
import pytest
from browser import Page, browser_or_skip, wait_for_download
from PIL import Image
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from skscan.cli import app
from skscan.report import Decisions, page, write_report
from skscan.report.files import read_rows, run_id
from skscan.report.page_data import build_page_data

N_IMAGES, N_CLUSTERS = 120, 4
SCRIPT = "<script>window.hacked = 1<"


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(downloads):
    driver = browser_or_skip(downloads)
    yield driver
    driver.quit()


@pytest.fixture
def view(driver):
    """Open the report of some results; in the end nothing must have been complained of."""
    opened = []

    def view(results):
        opened.append(Page(driver, write_report(results).path).open())
        return opened[-1]

    yield view
    for one in opened[-1:]:
        assert one.complaints() == []
        assert one.run("return window.hacked") is None
        one.run("localStorage.clear()")


@pytest.fixture
def digits(tmp_path, write_run):
    """Results on real digits, with names that would be trouble, and a file that was no image."""
    images = load_digits().images[:N_IMAGES]
    names = ["plain", f"{SCRIPT}/script>", '"quotes" & <b>', "line\nbreak", "\u202eright to left"]
    paths = []
    for i, image in enumerate(images):
        base = tmp_path / "photos" / str(i % N_CLUSTERS) / f"{names[i % len(names)]}{i}.png"
        base.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype(np.uint8)).save(base)
        paths.append(str(base))
    odd = os.fsdecode(os.fsencode(paths[-1]) + b"\xff.png")
    os.rename(paths[-1], os.fsencode(odd))
    paths[-1] = odd
    return write_run(
        tmp_path / "out",
        paths,
        np.arange(N_IMAGES) % N_CLUSTERS,
        n_clusters=N_CLUSTERS,
        skipped=[(str(tmp_path / "photos" / "<i>notes.txt"), "not an <img>")],
        summary={"folder": str(tmp_path / "photos"), "accuracy": 1.0, "features": "<b>pixels"},
    )


def export(view, downloads):
    for old in downloads.glob("*.json"):
        old.unlink()
    view.press("Export")
    return wait_for_download(downloads)


def test_names_are_shown_and_never_run(view, digits):
    shown = view(digits)
    assert shown.text("h1") == "photos"
    assert "not an <img>" in shown.text("#skipped")
    assert "<i>notes.txt" in shown.text("#skipped")
    assert "<b>pixels" in shown.text("#made")
    titles = shown.run(
        "return [...Array(skscan.store.images.n).keys()].map(i => skscan.describe(i))"
    )
    assert any(title.startswith("line\\nbreak3.png") for title in titles)
    assert any(title.startswith("\\u202eright") for title in titles)
    assert any("\\xff.png" in title for title in titles)
    assert shown.run("return document.querySelectorAll('script').length") == 5


def test_review_is_kept_exported_and_carried_out(view, digits, downloads, tmp_path):
    shown = view(digits)
    shown.go_to("#class-0")
    name = shown.find("#class-0 input.class-name")
    name.send_keys('<img src=x onerror="window.hacked=1">', "\ue007")
    shown.wait("skscan.review.classes.get('0').name")

    shown.press("Merge", "#class-1")
    shown.press("Cluster 2", "dialog")
    assert shown.run("return [...skscan.review.classes.keys()]") == ["0", "2", "3"]

    shown.press("Show all", "#class-3")
    shown.wait("document.querySelectorAll('dialog .tile').length > 5")
    tiles = shown.all("dialog .tile")
    for tile in tiles[:2]:
        tile.click()
    moved = shown.run(
        """const {typical} = skscan.store.images;
        const order = (a, b) => typical[a] - typical[b];
        return [...skscan.review.members("3")].sort(order).slice(0, 3);"""
    )
    shown.press("Move to", "dialog")
    shown.press("<img", "dialog:last-of-type")
    shown.wait("document.querySelector('.selection').textContent.startsWith('28')")
    shown.all("dialog .tile")[0].click()
    shown.press("Reject", "dialog")
    shown.all("dialog .tile")[0].click()
    shown.all("dialog .tile")[1].click()
    shown.press("New class", "dialog")
    shown.press("Close", "dialog")
    shown.press("Undo")
    shown.press("Redo")
    shown.press("Undo")  # the new class is gone again
    assert shown.run("return [...skscan.review.classes.keys()]") == ["0", "2", "3"]

    shown.open()  # again, from what the browser has kept
    assert shown.find("#class-0 input.class-name").get_attribute("value").startswith("<img")
    sizes = shown.run("return skscan.review.list().map(c => skscan.review.members(c.id).length)")
    assert sizes == [32, 60, 27]
    assert shown.find("#redo").is_enabled()
    exported = export(shown, downloads)

    new = tmp_path / "new"
    arguments = ["apply", digits, exported, "--to", new, "--mode", "copy", "--quiet"]
    outcome = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert outcome.exit_code == 0, outcome.stderr
    sizes = {path.name: len(list(path.iterdir())) for path in new.iterdir() if path.is_dir()}
    assert sizes == {"_img src=x onerror=_window.hacked=1__": 32, "Cluster 2": 60, "Cluster 3": 27}

    decisions = Decisions.load(exported)
    labels = decisions.to_labels(decisions.images)  # in the order of the page
    assert [labels[i][:4] for i in moved] == ["<img", "<img", "-1"]
    assert (labels == "Cluster 2").sum() == 60


def test_decisions_are_taken_over_from_a_file(view, digits, downloads):
    shown = view(digits)
    shown.run(
        """const {review} = skscan; review.rename("1", "ones"); review.merge(["3"], "1");
        review.split([0, 1], "pair"); review.move([5], "2"); review.reject([7], true);"""
    )
    document = json.loads(export(shown, downloads).read_text())
    shown.run("localStorage.clear()")
    shown.open()
    shown.run("skscan.review.import(JSON.parse(arguments[0]))", json.dumps(document))
    again = json.loads(export(shown, downloads).read_text())
    assert again | {"saved": 0} == document | {"saved": 0}
    shown.press("Undo")
    assert shown.run("return skscan.review.list().length") == N_CLUSTERS
    other = document | {"run": "0" * 16}
    message = shown.run(
        "try { skscan.review.import(JSON.parse(arguments[0])) } catch (e) { return e.message }",
        json.dumps(other),
    )
    assert "another run" in message


def rewritten(write_run, digits, kept, *, n_new):
    """The same run after an update: images that are gone, and new ones before all others."""
    rows = read_rows(digits / "clusters.csv", ["path", "cluster"])
    paths = [str(tmp) for tmp in (digits.parent / "photos" / f"new{i}.png" for i in range(n_new))]
    for path in paths:
        Image.new("L", (8, 8), 100).save(path)
    clusters = [0] * n_new + [int(rows[row]["cluster"]) for row in kept]
    paths += [rows[row]["path"] for row in kept]
    numbers = [*range(len(rows), len(rows) + n_new), *kept]
    summary = json.loads((digits / "summary.json").read_text())
    summary |= {"run": run_id(digits)}
    write_run(digits, paths, np.array(clusters), n_clusters=N_CLUSTERS, summary=summary)
    with open(digits / "images.csv", "w", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        table.writerow(["path", "version", "number"])
        table.writerows(zip(paths, [""] * len(paths), numbers, strict=True))
    return paths


@pytest.mark.parametrize("n_shown", [None, 40])
def test_decisions_hold_on_when_images_come_and_go(
    view, digits, downloads, write_run, monkeypatch, n_shown
):
    shown = view(digits)
    path_of = [row["path"] for row in read_rows(digits / "clusters.csv", ["path"])]
    shown.run(
        """const {review} = skscan; review.rename("1", "ones"); review.move([5, 6, 30], "3");
        review.reject([7, 31], true); review.split([50, 51], "pair");"""
    )
    kept = [row for row in range(N_IMAGES) if row not in (0, 6, 7, 50)]
    paths = rewritten(write_run, digits, kept, n_new=3)
    if n_shown is not None:  # a page that shows some of the images
        few = partial(build_page_data, max_shown=n_shown)
        monkeypatch.setattr(page, "build_page_data", few)
        monkeypatch.setattr("skscan.report.page_data.N_EXAMPLES", 1)
    shown = view(digits)
    assert shown.run("return skscan.store.images.n") == (n_shown or len(paths))
    exported = export(shown, downloads)
    listed = {
        image["path"]: image
        for image in json.loads(exported.read_text())["images"]
        if image.get("moved") or image.get("rejected")
    }
    there = {image: entry for image, entry in listed.items() if image in paths}
    moved = {image: entry["class"] for image, entry in there.items() if entry.get("moved")}
    assert moved == {path_of[5]: "3", path_of[30]: "3", path_of[51]: "new-1"}
    assert [image for image in there if there[image].get("rejected")] == [path_of[31]]
    decisions = Decisions.load(exported, digits)
    assert set(decisions.images) == set(paths)
    assert decisions.to_labels([path_of[51], path_of[1], paths[0]]).tolist() == [
        "pair",
        "ones",
        "Cluster 0",
    ]
    if n_shown is None:
        assert shown.run("return skscan.review.rejectedImages().map(skscan.store.path)") == [
            path_of[31]
        ]
    shown.press("Undo")  # what was decided before can be undone
    assert shown.run("return skscan.review.classes.has('new-1')") is False


def test_names_that_are_taken_are_refused(view, digits):
    shown = view(digits)
    shown.go_to("#class-0")
    shown.find("#class-0 input.class-name").send_keys("CLUSTER 2", "\ue007")
    assert "merge the two" in shown.run("return document.getElementById('status').textContent")
    assert shown.run("return skscan.review.classes.get('0').name") is None


def test_keyboard_selects_rejects_and_undoes(view, digits):
    from selenium.webdriver.common.keys import Keys

    shown = view(digits)
    shown.go_to("#class-0")
    shown.press("Show all", "#class-0")
    shown.wait("document.querySelector('dialog .tile')")
    gallery = shown.find("dialog .gallery")
    gallery.send_keys(" ", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, " ")
    assert "2 of 30" in shown.text(".selection")
    gallery.send_keys(Keys.SHIFT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert "4 of 30" in shown.text(".selection")
    shown.press("Reject", "dialog")
    gallery.send_keys(Keys.CONTROL, "z")
    shown.wait("skscan.review.members('0').length === 30")
    gallery.send_keys(Keys.ESCAPE)
    shown.wait("!document.querySelector('dialog')")


def test_lasso_selects_on_the_map_and_a_thumbnail_follows_the_pointer(view, digits):
    from selenium.webdriver import ActionChains

    shown = view(digits)
    shown.run("document.querySelector('.map-frame').scrollIntoView({block: 'center'})")
    canvas = shown.find("#map canvas")
    width, height = canvas.size["width"], canvas.size["height"]
    x, y = shown.run(
        """const {images} = skscan.store;
        const side = Math.min(arguments[0], arguments[1]) - 28;
        return [images.x[3] / 65535 - 0.5, 0.5 - images.y[3] / 65535].map((t) => t * side);""",
        width,
        height,
    )
    ActionChains(shown.driver).move_to_element_with_offset(canvas, round(x), round(y)).perform()
    shown.wait("!document.querySelector('.map-tooltip').hidden")
    shown.wait("document.querySelector('.map-tooltip img').naturalWidth === 8")
    shown.press("Lasso", "#map")
    right, down = width // 2 - 4, height // 2 - 4
    drag = ActionChains(shown.driver, duration=10)
    drag.move_to_element_with_offset(canvas, -right, -down).click_and_hold()
    for across, along in [(2 * right, 0), (0, 2 * down), (-2 * right, 0)]:
        drag.move_by_offset(across, along)
    drag.release().perform()
    assert shown.text(".map-panel").startswith(f"{N_IMAGES} images selected")
    shown.press("Show them", "#map")
    shown.wait("document.querySelector('.selection').textContent.startsWith('120 of 120')")


def test_another_tab_loses_no_decision(view, digits, driver):
    shown = view(digits)
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    second = Page(driver, shown.path).open()
    second.run("skscan.review.rename('0', 'zeros')")
    driver.switch_to.window(first)
    shown.wait("skscan.review.nameOf('0') === 'zeros'")
    shown.run("skscan.review.rename('1', 'ones')")
    driver.switch_to.window(second.driver.window_handles[-1])
    second.wait("skscan.review.nameOf('1') === 'ones'")
    assert second.run("return skscan.review.nameOf('0')") == "zeros"
    driver.close()
    driver.switch_to.window(first)


def test_thumbnails_beside_the_page_are_shown(view, digits, monkeypatch):
    monkeypatch.setattr(page, "MAX_EMBEDDED", 50)
    shown = view(digits)
    assert len(list((digits / "report_files").rglob("*.jpeg"))) == N_IMAGES
    shown.go_to("#class-0")
    shown.wait("document.querySelector('#class-0 img').naturalWidth === 8")
    monkeypatch.undo()
    write_report(digits)
    assert not (digits / "report_files").exists()


def test_sample_of_many_images_says_so(view, digits, downloads, monkeypatch, tmp_path):
    monkeypatch.setattr(page, "build_page_data", lambda run: build_page_data(run, max_shown=100))
    shown = view(digits)
    assert "120 images, 100 drawn by lot" in shown.text("#map")
    shown.run("skscan.review.merge(['1'], '0')")
    assert shown.run("return skscan.review.size('0')") == 60
    exported = export(shown, downloads)
    with pytest.raises(ValueError, match="results folder"):
        Decisions.load(exported)
    labels = Decisions.load(exported, digits)
    assert len(labels.images) == N_IMAGES


@pytest.mark.parametrize("n_clusters", [1, 10_000])
def test_one_and_ten_thousand_clusters(view, write_run, tmp_path, n_clusters):
    n = 3 if n_clusters == 1 else 10_000
    paths = [str(tmp_path / f"{i}.jpg") for i in range(n)]
    clusters = np.arange(n) % n_clusters
    results = write_run(tmp_path / "out", paths, clusters, n_clusters=n_clusters)
    shown = view(results)
    assert len(shown.all("#classes .card")) == n_clusters
    shown.run(f"skscan.cards.goTo('{n_clusters - 1}')")
    shown.go_to(f"#class-{n_clusters - 1}")
    shown.run(f"skscan.review.rename('{n_clusters - 1}', 'last')")
    assert shown.run("return document.activeElement.className") == "card"
    value = shown.find(f"#class-{n_clusters - 1} input.class-name").get_attribute("value")
    assert value == "last"


def test_copies_are_rejected_but_for_the_first(view, write_run, photos, tmp_path):
    pairs = np.array([[0, 3], [3, 6], [1, 2]])
    results = write_run(
        tmp_path / "out",
        photos,
        np.arange(12) % 3,
        n_clusters=3,
        near_duplicates_=pairs,
        ambiguous_indices_=np.array([5]),
        outlier_indices_=np.array([4]),
        outlier_scores_=np.ones(12),
    )
    shown = view(results)
    assert shown.text("#duplicates .lead").startswith("2 groups")
    shown.press("Keep the first", "#duplicates")
    assert shown.run("return [...skscan.review.rejected].sort()") == [3, 6]
    rejected = [image.get_attribute("data-image") for image in shown.all("#duplicates .rejected")]
    assert rejected == ["3", "6"]
    shown.press("Show", "#overview")  # the uncertain ones
    shown.wait("document.querySelector('.selection').textContent.startsWith('1 image')")


def test_no_image_left(view, write_run, tmp_path):
    results = write_run(
        tmp_path / "out", [], np.zeros(0, int), n_clusters=2, skipped=[("a.jpg", "damaged")] * 2
    )
    shown = view(results)
    assert "No image" in shown.text("#overview")
    assert "damaged" in shown.text("#skipped")
    assert not shown.find("#map").is_displayed()


@pytest.mark.parametrize("width", [320, 390, 820])
def test_narrow_screens_do_not_scroll_sideways(view, digits, driver, width):
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        shown = view(digits)
        assert shown.run("return document.documentElement.scrollWidth") <= width, shown.run(
            """const over = (e) => e.getBoundingClientRect().right > innerWidth + 1;
            return [...document.querySelectorAll("main *, header *")].filter(over).slice(0, 9)
                .map((e) => e.outerHTML.slice(0, 80));"""
        )
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
