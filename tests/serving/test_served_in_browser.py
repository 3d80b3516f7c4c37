"""The served page in a real browser: saved at once, in two tabs, with new images dropped in."""

import base64
import json
import os
import threading

import numpy as np
import pytest
from browser import Page, browser_or_skip
from image_factory import encoded, picture
from serving_client import ReportServer

from skscan.report import Decisions


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    driver = browser_or_skip(tmp_path_factory.mktemp("downloads"))
    yield driver
    driver.quit()


class Tab(Page):
    """A page in a tab of its own, that is brought to the front before it is used."""

    def __init__(self, driver, address):
        super().__init__(driver, address)
        driver.switch_to.new_window("tab")
        self.handle = driver.current_window_handle

    def front(self):
        self.driver.switch_to.window(self.handle)
        return self

    def decide(self, script):
        self.run(f"const {{ review }} = skscan; {script}")

    def state(self):
        """The present classes: name, clusters, and images moved to them."""
        return self.run(
            """const { review } = skscan;
            return review.list().map(({ id }) => [
                id, review.nameOf(id), review.clustersOf(id).join(),
                [...review.moved].filter(([, own]) => own === id).map(([image]) => image).sort(),
            ]);"""
        )

    def saved(self):
        """Wait until everything is on disk."""
        self.wait("!skscan.store.unsaved()")


@pytest.fixture
def tabs(driver, serve):
    """Open tabs with the page of a server."""
    threads = []
    first = driver.current_window_handle

    def open_tabs(results, n=1):
        server: ReportServer = serve(results)
        threads.append((server, threading.Thread(target=server.run)))
        threads[-1][1].start()
        return server, [Tab(driver, server.address).open() for _ in range(n)]

    yield open_tabs
    for handle in driver.window_handles:
        if handle != first:
            driver.switch_to.window(handle)
            driver.close()
    driver.switch_to.window(first)
    for server, thread in threads:
        server.stop()
        thread.join(10)


#: Keeps a tab from hearing of other tabs before it saves.
DEAF = """const ask = window.fetch;
window.fetch = (address, options) =>
    address === "decisions" && !options.method ? new Promise(() => {}) : ask(address, options);"""


def kept(server):
    return json.loads(server.decisions.path.read_text())


def test_a_decision_is_on_disk_at_once_and_can_be_undone_later(tabs, results, photos):
    server, [tab] = tabs(results)
    assert "saved to disk at once" in tab.text("#classes .lead")
    tab.wait("document.querySelectorAll('#class-0 img').length === 4")
    tab.wait("[...document.querySelectorAll('#class-0 img')].every((img) => img.naturalWidth > 1)")
    tab.find("#class-0 input.class-name").send_keys("cats", "\ue007")
    tab.saved()
    labels = Decisions.load(results / "decisions.json", results).to_labels(photos[:2])
    assert labels.tolist() == ["cats", "Cluster 1"]
    tab.open()
    assert tab.state()[0][1] == "cats"
    tab.press("Undo")
    tab.saved()
    assert kept(server)["classes"][0]["name"] == "Cluster 0"
    assert kept(server)["version"] == 2
    assert tab.complaints() == []


def test_a_file_from_the_report_on_disk_is_taken_up(tabs, results, document):
    exported = {name: value for name, value in document.items() if name != "review"}
    (results / "decisions.json").write_text(json.dumps(exported))
    server, [tab] = tabs(results)
    assert tab.state()[0][1] == "cats"
    tab.decide("review.rename('1', 'dogs')")
    tab.saved()
    assert [own["name"] for own in kept(server)["classes"]] == ["cats", "dogs", "Cluster 2"]


def test_another_tab_takes_decisions_over(tabs, results):
    _, [one, two] = tabs(results, 2)
    one.front().decide("review.rename('0', 'cats'); review.merge(['2'], '1')")
    one.saved()
    two.front().wait("skscan.review.nameOf('0') === 'cats'")
    assert two.state() == one.front().state()
    assert one.complaints() == []


def test_decisions_made_in_two_tabs_at_once_are_all_kept(tabs, results):
    server, [one, two] = tabs(results, 2)
    two.front().run(DEAF)
    one.front().decide(
        """review.rename('0', 'cats');
        review.split([3, 6], 'lions');
        review.merge(['2'], '1');
        review.reject([11], true);"""
    )
    one.saved()
    two.front().decide(
        """review.rename('1', 'dogs');
        review.split([4, 7], 'wolves');
        review.move([10], '0');
        review.setReviewed('0', true);
        review.reject([9], true);
        review.undo();"""
    )
    two.saved()
    state = [
        ["0", "cats", "0", [10]],
        ["1", "dogs", "1,2", []],
        ["new-1", "lions", "", [3, 6]],
        ["new-2", "wolves", "", [4, 7]],
    ]
    assert two.state() == state
    assert one.front().open().state() == state
    assert one.run("return [...skscan.review.rejected]") == [11]
    assert {own["id"]: own["reviewed"] for own in kept(server)["classes"]}["0"] is True


def test_what_contradicts_another_tab_is_left_out_and_told(tabs, results):
    _, [one, two] = tabs(results, 2)
    two.front().decide("review.rename('2', 'birds')")
    two.saved()
    one.front().wait("skscan.review.nameOf('2') === 'birds'")
    two.front().run(DEAF)
    one.front().decide("review.rename('0', 'cats'); review.merge(['2'], '1')")
    one.saved()
    two.front().decide(
        """review.rename('1', 'cats');
        review.move([0, 3], '2');
        review.merge(['0'], '2');
        review.move([4], '0');"""
    )
    two.saved()
    # class 2 is gone: nothing is moved or merged into it, and class 0 stays for what is in it
    assert two.state() == [["0", "cats", "0", [4]], ["1", "Cluster 1", "1,2", []]]
    assert "could not be kept" in two.text("#status")
    assert one.front().open().state() == two.front().state()


def test_an_undone_merge_keeps_what_another_tab_did(tabs, results):
    _, [one, two] = tabs(results, 2)
    one.front().decide("review.merge(['2'], '1')")
    one.saved()
    two.front().wait("!skscan.review.classes.has('2')")
    two.run(DEAF)
    one.front().decide("review.rename('1', 'dogs')")
    one.saved()
    two.front().decide("review.undo()")
    two.saved()
    state = [["0", "Cluster 0", "0", []], ["1", "dogs", "1", []], ["2", "Cluster 2", "2", []]]
    assert two.state() == state
    two.press("Undo")
    two.saved()
    assert [own[0] for own in two.state()] == ["0", "1"]


def test_decisions_are_held_until_the_server_answers(tabs, results):
    server, [tab] = tabs(results)
    tab.run("const wait = window.setTimeout; window.setTimeout = (f, ms) => wait(f, ms / 10);")
    tab.run("window.asked = window.fetch; window.fetch = () => Promise.reject(new TypeError())")
    tab.decide("review.rename('0', 'cats')")
    tab.wait("document.getElementById('status').textContent.startsWith('Not saved')")
    assert not server.decisions.path.exists()
    tab.run("window.fetch = window.asked")
    tab.saved()
    assert kept(server)["classes"][0]["name"] == "cats"


DROP = """const [files] = arguments;
const transfer = new DataTransfer();
for (const [name, content] of files) {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
}
document.body.dispatchEvent(
    new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));"""


def test_new_images_are_dropped_in(tabs, results_with_model):
    _, [tab] = tabs(results_with_model)
    noise = encoded(picture(1), "PNG")
    files = [("new.png", noise), ("<b>no picture.png", b"text"), ("other.png", noise)]
    tab.decide("review.rename('0', 'a'); review.rename('1', 'b'); review.rename('2', 'c')")
    tab.run(DROP, [[name, base64.b64encode(content).decode()] for name, content in files])
    tab.wait("document.querySelectorAll('.new-images li').length === 3")
    first, refused, last = (row.text.split("\n") for row in tab.all(".new-images li")[::-1])
    assert refused == ["<b>no picture.png", "damaged, or not an image in spite of its name (*.png)"]
    assert (first[0], last[0]) == ("new.png", "other.png")
    assert first[1:] == last[1:]
    assert first[1].split()[0] in "abc"
    tab.decide(f"review.rename('{'abc'.index(first[1].split()[0])}', 'renamed')")
    tab.wait("document.querySelector('.new-images li').textContent.includes('renamed')")
    assert tab.text("#new-images [role=status]") == "2 images sorted, 1 refused."
    tab.saved()
    assert [line for line in tab.complaints() if "415" not in line] == []


def test_names_are_shown_and_never_run(tabs, write_run, tmp_path):
    names = [
        "<script>window.hacked = 1<",
        "line\nbreak",
        "\u202eright to left",
        os.fsdecode(b"\xff"),
    ]
    paths = [f"{tmp_path}/{name}/{i}.png" for i, name in enumerate(names)]
    results = write_run(tmp_path / "out", paths, np.zeros(4, int), n_clusters=1)
    server, [tab] = tabs(results)
    tab.decide(
        "review.rename('0', '<img src=x onerror=\"window.hacked = 1\">'); review.reject([3], true)"
    )
    tab.saved()
    assert tab.run("return window.hacked") is None
    assert kept(server)["images"][0]["path"] == paths[3]
    assert Decisions.load(results / "decisions.json", results).images[paths[3]].rejected
