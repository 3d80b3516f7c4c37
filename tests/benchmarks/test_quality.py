"""The comparison of methods: cells, what becomes of failures, resuming, the report."""

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import odd_methods
from quality_parts.method import Method, Outcome
from quality_parts.methods import METHODS, OURS, density_settings, scikit_learn
from quality_parts.problems import PROBLEMS, Problem
from quality_parts.report import markdown, write_report
from quality_parts.results import Cell, ResultsFile
from quality_parts.run import open_cells, run_cells
from quality_parts.scores import score, with_noise_assigned
from quality_parts.summary import compare, entries_of
from quality_parts.tiers import TIERS
from quality_parts.worker import Worker

DIGITS = "digits, pixels"
KMEANS = METHODS["k-means"]


def record(accuracy: float, **more) -> dict:
    return {
        "status": "ok",
        "n_samples": 1797,
        "n_classes": 10,
        "n_clusters": 10,
        "seconds": 2.0,
        "cpu_seconds": 1.5,
        "accuracy": accuracy,
        "macro_accuracy": accuracy - 0.01,
        "many_to_one": accuracy,
        "nmi": accuracy - 0.1,
        "ari": accuracy - 0.2,
        "accuracy_noise_wrong": accuracy,
        "noise": 0.0,
        "n_found": 10,
        "best_of_pool": None,
        "package": "scikit-learn 1",
        "threads": "1",
        "processor": "a processor",
        **more,
    }


@pytest.fixture
def results(tmp_path):
    file = ResultsFile(tmp_path / "folder" / "quality.jsonl")
    for seed, accuracy in enumerate((0.9, 0.92)):
        file.add(Cell(DIGITS, OURS, seed), record(accuracy, best_of_pool=accuracy + 0.03))
        file.add(Cell(DIGITS, "k-means", seed), record(accuracy - 0.1))
    noisy = record(0.935, noise=0.25, accuracy_noise_wrong=0.6)
    file.add(Cell(DIGITS, "HDBSCAN", 0), noisy)
    file.add(Cell(DIGITS, "DEC", 0), {"status": "timeout", "reason": "more than 5 s"})
    twice = f"{DIGITS}, twice the clusters"
    file.add(Cell(twice, OURS, 0), record(0.6, nmi=0.8, n_clusters=20))
    file.add(Cell(twice, "Ward", 0), record(0.7, nmi=0.7, n_clusters=20))
    file.add(Cell(twice, "HDBSCAN", 0), record(0.7, nmi=0.9, n_clusters=20))
    return file


def test_a_cell_is_run_in_its_process():
    worker = Worker(KMEANS, n_samples=300)
    try:
        first, second = worker.run(DIGITS, 0, 60), worker.run(DIGITS, 1, 60)
    finally:
        worker.close()
    assert first["status"] == second["status"] == "ok"
    assert (first["n_samples"], first["n_classes"], first["n_found"]) == (300, 10, 10)
    assert 0.4 < first["accuracy"] < 1
    assert first["package"].startswith("scikit-learn ")
    assert first["cpu_seconds"] > 0


@pytest.mark.parametrize(
    ("method", "status", "reason"),
    [
        (Method(odd_methods.raising, ""), "failed", "ValueError: no clusters today"),
        (Method(odd_methods.dying, ""), "crashed", "exit code 7"),
        (Method(odd_methods.hanging, ""), "timeout", "more than 1 s"),
        (
            Method(odd_methods.raising, "", prepare=odd_methods.prepare_nothing),
            "unavailable",
            "the package is not installed",
        ),
        (Method(odd_methods.raising, "", max_samples=99), "too large", "100 samples"),
    ],
    ids=["raises", "dies", "hangs", "unavailable", "too large"],
)
def test_what_goes_wrong_becomes_a_record(method, status, reason):
    worker = Worker(method, n_samples=100)
    try:
        answer = worker.run(DIGITS, 0, 1 if status == "timeout" else 60)
    finally:
        worker.close()
    assert answer["status"] == status
    assert answer["reason"].startswith(reason)


def test_a_run_outlives_failures_and_goes_on_where_it_stood(tmp_path):
    methods = {"k-means": KMEANS, "odd": Method(odd_methods.failing_for_seed_0, "")}
    results = ResultsFile(tmp_path / "quality.jsonl")
    cells = [Cell(DIGITS, name, seed) for name in ("odd", "k-means") for seed in (0, 1)]
    run_cells(cells[:2], methods, results, n_samples=200, jobs=1)
    assert [results.read()[cell]["status"] for cell in cells[:2]] == ["crashed", "ok"]
    assert open_cells(cells, results) == cells[2:]
    assert open_cells(cells, results, retry=True) == [cells[0], *cells[2:]]

    told = []
    run_cells(
        open_cells(cells, results),
        methods,
        results,
        n_samples=200,
        jobs=2,
        tell=lambda cell, answer: told.append(cell),
    )
    assert sorted(told) == sorted(cells[2:])
    assert open_cells(cells, results) == []
    assert len(results.path.read_text().splitlines()) == 4


def test_what_is_broken_off_is_not_recorded(tmp_path):
    results = ResultsFile(tmp_path / "quality.jsonl")
    cell = Cell(DIGITS, "hanging", 0)
    methods = {"hanging": Method(odd_methods.hanging, "")}
    run_cells([cell], methods, results, n_samples=100, minutes=0.05)
    assert open_cells([cell], results) == [cell]
    assert not results.path.exists()


def test_unavailable_methods_are_tried_again_in_the_next_run(tmp_path):
    results = ResultsFile(tmp_path / "quality.jsonl")
    cell = Cell(DIGITS, "absent", 0)
    results.add(cell, {"status": "unavailable", "reason": "not installed"})
    assert open_cells([cell], results) == [cell]


def test_a_line_that_was_cut_off_costs_only_itself(results):
    cells = set(results.read())
    with results.path.open("a") as file:
        file.write('{"problem": "digits, pix')
    assert set(results.read()) == cells
    new = Cell(DIGITS, "Ward", 0)
    results.add(new, record(0.5))
    assert set(results.read()) == cells | {new}
    results.add(new, record(0.6))
    assert results.read()[new]["accuracy"] == 0.6
    assert json.loads(results.path.read_text().splitlines()[-1])["method"] == "Ward"


def test_comparison_with_the_best_other_method(results):
    comparisons = compare(entries_of(results.read()), METHODS)
    even, twice = comparisons[DIGITS], comparisons[f"{DIGITS}, twice the clusters"]
    assert (even.best.method, even.measure) == ("HDBSCAN", "accuracy")
    assert even.difference == pytest.approx(0.91 - 0.935)
    assert even.ours.gap == pytest.approx(0.03)
    # methods that choose their own number are not asked where another number is wanted
    assert (twice.best.method, twice.measure) == ("Ward", "nmi")
    assert twice.difference == pytest.approx(0.1)


def test_page(results):
    page = markdown(results, "quick", METHODS)
    assert "trained on ImageNet\n  **with labels**" in page
    assert "2,500 random images" in page
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert (
        f"| {DIGITS} | 1,797 | 10 | accuracy | 91.0 ± 1.4 | 90.0 ± 1.4 | 93.5 | HDBSCAN | -2.5 "
        "| 3.0 |"
    ) in rows
    section = page.split(f"## {DIGITS}\n")[1].split("## ")[0].splitlines()
    names = [line.split("|")[1].strip() for line in section if line.startswith("|")][2:]
    assert (
        "| HDBSCAN | 1 | 93.5 (noise wrong: 60.0) | 92.5 | 83.5 | 73.5 | 10 | 2.0 | 1.5 |" in rows
    )
    assert names == ["HDBSCAN", f"**{OURS}**", "k-means"]
    assert f"| **{OURS}** | 2 of 3 |" in "\n".join(section)
    missing = [line for line in section if line.startswith("- ")]
    assert missing[1] == "- timeout (more than 5 s): DEC"
    mentioned = " ".join(missing) + " HDBSCAN"
    assert all(name in mentioned for name in METHODS)
    assert missing[0].startswith(f"- not run: {OURS}, plain SCAN, k-means, ")
    cut = page.split("## CIFAR-10, 2 classes\n")[1].split("## ")[0]
    assert cut == "\nnot run\n\n"
    assert "median +3.8, mean +3.8, worst -2.5 (digits, pixels); gap, mean 3.0" in page
    assert "## STL-10\n\nnot run\n" in page


def test_report_is_written_beside_the_results(results):
    pytest.importorskip("matplotlib")
    page, picture = write_report(results, "full", METHODS)
    assert page == results.path.with_suffix(".md")
    assert f"]({picture.name})" in page.read_text()
    drawn = picture.read_text()
    assert "HDBSCAN" in drawn
    assert "−2.5" in drawn.replace("-2.5", "−2.5")
    write_report(results, "full", METHODS)
    assert picture.read_text() == drawn


def test_noise_goes_to_the_nearest_cluster():
    space = np.array([[0.0], [1.0], [10.0], [11.0], [2.0], [9.0]])
    labels = np.array([0, 0, 1, 1, -1, -1])
    np.testing.assert_array_equal(with_noise_assigned(labels, space), [0, 0, 1, 1, 0, 1])
    np.testing.assert_array_equal(with_noise_assigned(np.full(6, -1), space), np.zeros(6))
    figures = score(np.array([0, 0, 1, 1, 0, 0]), Outcome(labels), space)
    assert figures["accuracy"] == pytest.approx(5 / 6)
    assert figures["accuracy_noise_wrong"] == pytest.approx(4 / 6)
    assert figures["noise"] == pytest.approx(2 / 6)
    assert figures["n_found"] == 2
    alone = score(np.zeros(6, int), Outcome(np.full(6, -1)), space)
    assert (alone["accuracy_noise_wrong"], alone["n_found"]) == (0, 0)


def test_the_best_of_the_pool_is_scored():
    y = np.arange(6) // 3
    outcome = Outcome(
        np.zeros(6, int), pool=lambda: [np.zeros(6, int), np.array([0, 0, 0, 1, 1, 0])]
    )
    figures = score(y, outcome, np.zeros((6, 1)))
    assert figures["accuracy"] == 0.5
    assert figures["best_of_pool"] == pytest.approx(5 / 6)


def test_problems_are_drawn_alike_and_ask_for_their_number():
    X, y = PROBLEMS[DIGITS].draw(100)
    again, _ = PROBLEMS[DIGITS].draw(100)
    assert X.shape == (100, 64)
    np.testing.assert_array_equal(X, again)
    assert len(PROBLEMS[DIGITS].draw(None)[0]) == 1797
    asked = [Problem(PROBLEMS[DIGITS].load, share).n_clusters(y) for share in (1, 2, 0.5)]
    assert asked == [10, 20, 5]


def test_tiers_name_what_there_is():
    for tier in TIERS.values():
        for problems in tier.problems.values():
            assert set(problems) <= set(PROBLEMS)
        cells = list(tier.cells())
        assert len(set(cells)) == len(cells)
        assert {cell.method for cell in cells} == set(METHODS)
        order = [cell.method for cell in cells]
        assert all(
            order[first : first + order.count(name)] == [name] * order.count(name)
            for name in METHODS
            for first in [order.index(name)]
        )
        assert sum(cell.method == "Ward" for cell in cells) == len(tier.problems["light"])
    assert {cell.problem for cell in TIERS["full"].cells()} == set(PROBLEMS)
    only = TIERS["full"].cells(["k-means"], [DIGITS])
    assert [cell.seed for cell in only] == [0, 1, 2, 3, 4]


def test_methods_see_no_labels():
    from quality_parts.method import Task

    assert set(Task.__annotations__) == {"X", "Z", "n_clusters", "seed"}
    Z = np.random.RandomState(0).normal(size=(1400, 2))
    task = Task(Z, Z, 10, 3)
    assert density_settings(task) == {"min_samples": 10, "min_cluster_size": 10}
    named = partial(scikit_learn, estimator="cluster.KMeans", n_init=1)
    np.testing.assert_array_equal(named(task).labels, named(task).labels)
