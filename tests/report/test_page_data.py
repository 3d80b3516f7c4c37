"""What the report's page is given, and how it is written; without a browser."""

import base64
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.sparse import csr_matrix
from typer.testing import CliRunner

from skscan.cli import app
from skscan.report import page, write_report
from skscan.report.evidence import gather_evidence
from skscan.report.map_layout import map_layout, sampled_affinity
from skscan.report.nearness import nearness_of_clusters
from skscan.report.page_data import build_page_data
from skscan.report.run import find_images_of_run, read_run
from skscan.report.trust import trust_statements


def numbers(content, name, dtype):
    return np.frombuffer(base64.b64decode(content["images"][name]), dtype)


def content_of(report):
    text = report.read_text()
    start = text.index('id="page-data">') + len('id="page-data">')
    return json.loads(text[start : text.index("</script>", start)])


def test_arrays_of_the_page_are_those_of_the_run(results, photos):
    run = read_run(results)
    content = build_page_data(run).content
    folders = numbers(content, "folder", "<u4")
    images = content["images"]
    paths = [images["folders"][f] + n for f, n in zip(folders, images["names"], strict=True)]
    assert paths == photos
    assert numbers(content, "cluster", "<i4").tolist() == run.clusters.tolist()
    np.testing.assert_allclose(numbers(content, "confidence", "<u2") / 65535, run.confidence, 1e-4)
    assert [known["size"] for known in content["classes"]] == [4, 4, 4]
    assert sum(content["histogram"]) == 12


def test_page_is_made_of_a_run_with_unread_images(results, photos, tmp_path, write_run):
    out = write_run(
        tmp_path / "more",
        photos,
        np.arange(12) % 3,
        n_clusters=3,
        skipped=[("broken.jpg", "damaged")],
        summary={"folder": str(tmp_path / "photos")},
    )
    written = write_report(out)
    assert (written.n_images, written.n_missing) == (12, 0)
    content = content_of(written.path)
    assert content["skipped"] == [["broken.jpg", "damaged"]]
    thumbnails = re.search(r'class="thumbnails">\n(.*?)</script>', written.path.read_text(), re.S)
    lines = thumbnails[1].split()
    first = content["thumbnails"]["order"][0]
    shown = Image.open(io.BytesIO(base64.b64decode(lines[0])))
    color = (20 * first, 100, 255 - 20 * first)
    assert shown.convert("RGB").getpixel((3, 3)) == pytest.approx(color, abs=2)


def test_nothing_from_outside_ends_the_data_or_becomes_html(tmp_path, write_run):
    path = "a</script><script>alert(1)</script><!--\u2028.jpg"
    out = write_run(
        tmp_path / "out", [path], np.zeros(1, int), n_clusters=1, summary={"folder": "</title><b>"}
    )
    text = write_report(out).path.read_text()
    assert "alert(1)</script>" not in text
    assert "</title><b>" not in text
    assert content_of(out / "report.html")["images"]["names"] == ["script><!--\u2028.jpg"]


def test_only_scripts_of_the_package_may_run(results):
    text = write_report(results).path.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(
        r"""(src|href)=["']?(https?:)?//""", re.sub(r"<script.*?</script>", "", text, flags=re.S)
    )


def test_report_is_replaced_in_one_step_and_leaves_nothing_behind(results, monkeypatch):
    write_report(results)
    before = (results / "report.html").read_bytes()
    monkeypatch.setattr(page, "_write_chunks", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(results)
    assert (results / "report.html").read_bytes() == before
    assert not [name for name in os.listdir(results) if name.startswith(".")]


def test_images_that_are_gone_leave_a_blank_and_a_warning(results, photos):
    os.unlink(photos[3])
    outcome = CliRunner().invoke(app, ["report", str(results), "--quiet"])
    assert outcome.exit_code == 0
    assert "1 of 12 images can no longer be read" in outcome.stderr


def test_images_are_found_from_another_folder(tmp_path, monkeypatch):
    summary = {"folder": "photos", "working_folder": str(tmp_path)}
    assert find_images_of_run(summary, ["photos/1.jpg"]) == [str(tmp_path / "photos/1.jpg")]
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_images_of_run(summary, ["photos/1.jpg"]) == ["photos/1.jpg"]
    moved = find_images_of_run(summary, ["photos/a/1.jpg"], Path("/mnt/p.zip"))
    assert moved == ["/mnt/p.zip/a/1.jpg"]


@pytest.mark.parametrize("damage", ["no results", "no model", "other clusters", "no number"])
def test_damaged_results_are_refused(results, damage):
    table = results / "clusters.csv"
    if damage == "no results":
        (results / "summary.json").unlink()
    elif damage == "no model":
        (results / "model").rename(results / "away")
    elif damage == "other clusters":
        table.write_text(re.sub('"0"', '"1"', table.read_text(), count=1))
    else:
        table.write_text(table.read_text().replace('"0.99"', '"much"'))
    with pytest.raises(ValueError, match=r"no results|no model|was changed|damaged: .*'much'"):
        write_report(results)


def test_evidence_of_the_model_is_used(tmp_path, photos, write_run):
    scores = np.linspace(0, 1, 13)
    out = write_run(
        tmp_path / "out",
        photos,
        np.arange(12) % 3,
        n_clusters=3,
        skipped=[("broken.jpg", "damaged")],
        ambiguous_indices_=np.array([7, 2]),
        outlier_indices_=np.array([11, 4]),
        outlier_scores_=np.where(np.arange(13) < 12, scores, np.nan),
        near_duplicates_=np.array([[0, 3], [3, 6], [1, 2]]),
    )
    evidence = gather_evidence(read_run(out))
    assert evidence.uncertain.tolist() == [7, 2]
    assert evidence.outliers.tolist() == [11, 4]
    assert evidence.outlier_score.tolist() == scores[:12].tolist()
    assert [group.tolist() for group in evidence.duplicates] == [[0, 3, 6], [1, 2]]
    text = " ".join(said["text"] for said in trust_statements(read_run(out), evidence))
    assert "About 17 % of the images (2) are uncertain" in text
    assert "2 images are like no other" in text
    assert "3 images are nearly the same" in text
    assert "1 file could not be read" in text


def test_near_clusters_share_neighbors(results):
    run = read_run(results)
    nearness = nearness_of_clusters(run)
    assert nearness.matrix.shape == (3, 3)
    np.testing.assert_allclose(nearness.matrix.sum(axis=1), 1)
    assert sorted(nearness.order) == [0, 1, 2]
    assert nearness.linkage.shape == (2, 4)


def blobs_graph(n_each=60):
    from skscan import NeighborMiner

    centers = 8 * np.eye(3).repeat(n_each, axis=0)
    X = centers + np.random.RandomState(0).normal(size=(3 * n_each, 3))
    return NeighborMiner(10).fit_transform(X), np.arange(3).repeat(n_each)


@pytest.mark.parametrize("rows", [None, np.arange(0, 180, 3)])
def test_groups_lie_apart_on_the_map_also_when_sampled(rows):
    graph, groups = blobs_graph()
    groups = groups if rows is None else groups[rows]
    places = map_layout(sampled_affinity(graph, rows))
    assert places.min() >= 0
    assert places.max() <= 1
    centers = np.array([places[groups == group].mean(axis=0) for group in range(3)])
    nearest = np.linalg.norm(places[:, None] - centers, axis=2).argmin(axis=1)
    assert (nearest == groups).mean() > 0.95


@pytest.mark.parametrize("n", [0, 1, 2, 3, 5])
def test_maps_of_hardly_any_images(n):
    places = map_layout(csr_matrix((n, n)))
    assert places.shape == (n, 2)
    assert np.isfinite(places).all()


def test_map_is_the_same_each_time():
    affinity = sampled_affinity(blobs_graph()[0])
    np.testing.assert_array_equal(map_layout(affinity), map_layout(affinity))


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return np.dot(parts, [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(theme):
    style = (Path(page.__file__).parent / "assets/style.css").read_text()
    start = style.index(":root {") if theme == "light" else style.index(':root[data-theme="dark"]')
    colors = dict(
        re.findall(r"--([\w-]+): (#[0-9a-f]{6});", style[start : style.index("}", start)])
    )
    on_paper = [
        (ink, paper) for ink in ("ink", "faint", "accent", "bad") for paper in ("paper", "panel")
    ]
    for ink, paper in [*on_paper, ("on-accent", "accent"), ("ink", "control"), ("accent", "wash")]:
        light, dark = sorted([luminance(colors[ink]), luminance(colors[paper])], reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (ink, paper)
