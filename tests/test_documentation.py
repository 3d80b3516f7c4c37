"""The Python code on the pages of the documentation runs, in order, page by page."""

import json
import re
import shutil
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from PIL import Image
from sklearn.datasets import load_digits

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = sorted(path for path in DOCS.rglob("*.md") if BLOCK.search(path.read_text()))
SLOW = {"few_labels", "how_many", "large", "photos"}
AFTER_REVIEW = {"few_labels", "photos"}
LINKS = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder with what pages speak of: photos, more of them, files of weights."""
    (tmp_path / "photos").mkdir()
    for number, image in enumerate(load_digits().images[:60]):
        picture = Image.fromarray((image * 15).astype("uint8"))
        picture.save(tmp_path / "photos" / f"{number:02d}.png")
    (tmp_path / "new").mkdir()
    for number in (1, 2):
        picture.save(tmp_path / "new" / f"{number}.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path / "cache"))
    plt.switch_backend("Agg")
    return tmp_path


def sort_photos():
    """Leave behind the results that pages take as given."""
    from skscan.cli import main

    with pytest.raises(SystemExit) as end:
        main(["cluster", "photos", "-k", "5", "-o", "sorted", "--quiet"])
    assert not end.value.code


def name_and_reject():
    """Leave behind what the report exports after classes were named and an image rejected."""
    from skscan.report.files import read_rows, run_id

    rows = read_rows(Path("sorted", "clusters.csv"), ["path", "cluster"])
    classes = [
        {"id": str(i), "name": f"class {i}", "named": True, "reviewed": i == 0, "clusters": [i]}
        for i in range(5)
    ]
    images = [{"path": row["path"], "class": row["cluster"]} for row in rows]
    images[0]["rejected"] = True
    document = {"format": "skscan decisions", "format_version": 1, "run": run_id(Path("sorted"))}
    document |= {"complete": True, "classes": classes, "images": images}
    Path("decisions.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.stem in SLOW else [], id=page.stem)
        for page in PAGES
    ],
)
def test_code_of_a_page_runs(page, workplace):
    if page.stem in AFTER_REVIEW:
        sort_photos()
        name_and_reject()
    namespace = {"__name__": "page"}
    for number, code in enumerate(BLOCK.findall(page.read_text()), 1):
        exec(compile(code, f"{page.name}, block {number}", "exec"), namespace)
    plt.close("all")
    shutil.rmtree(workplace)


def test_there_is_code_on_pages():
    assert {"get_started", "photos", "wrong"} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_links_between_pages_lead_somewhere(page):
    for target in LINKS.findall(page.read_text()):
        if page.parent.name != "commands":
            assert (page.parent / target).exists() or target.startswith("http"), target
