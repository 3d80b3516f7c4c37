"""What a fit will take: counts are those of the training, and what does not fit is said."""

import json
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from typer.testing import CliRunner

from skscan import ClusterTrainer, NeighborLabelTrainer, NeighborMiner
from skscan._laws import Line, Logarithm, Power
from skscan.cli import app
from skscan.neighbors import choice
from skscan.planning import Machine, machine, measure_machine, mining, plan_fit, trial
from skscan.planning.job import Job
from skscan.planning.memory import memory_of_stages
from skscan.planning.mining import ApproximateMining, ExactMining
from skscan.planning.reporting import Reporting, try_reporting
from skscan.planning.trial import SelfLabelling
from skscan.training.batched_heads import Adam, BatchedHeads, center_heads

MACHINE = Machine(
    scaling=Line(0.1, 1e-5),
    exact_mining=ExactMining(1e-5, 1e-8),
    approximate_mining=ApproximateMining(
        Logarithm(1e4, 1e-4, 1e-5), Logarithm(1e4, 1e-6, 1e-7), Power(1e4, 64, 0.0)
    ),
    starts=Line(0.1, 1e-5),
    label_step=0.01,
    head_step=0.02,
    selection=Line(0.0, 1e-6),
    loss=Line(0.0, 1e-6),
    self_labelling=SelfLabelling(1e-6, 1e-6),
    evidence=Line(0.0, 1e-6),
    agreement=Line(0.1, 1e-6),
    image=0.01,
    reporting=Reporting(0.05, Line(0.1, 1e-4), 1e-5),
    disk_byte=1e-9,
    memory_bytes=16 * 2**30,
    disk_bytes=100 * 2**30,
)


@pytest.fixture
def quick_trial(monkeypatch):
    monkeypatch.setattr(trial, "SIZES", (150, 400))
    for module in (mining, machine):
        monkeypatch.setattr(module, "EXACT_ROWS", (150, 400))
        monkeypatch.setattr(module, "FORETELLING_ROWS", (150, 400))
    monkeypatch.setattr("skscan.neighbors.approximate.FORETELLING_ROWS", (150, 400))
    monkeypatch.setattr(machine, "DISK_BYTES", 2**20)


@pytest.mark.parametrize(("n_samples", "n_heads"), [(300, 4), (1500, 3)])
def test_steps_are_counted_as_they_are_made(n_samples, n_heads, monkeypatch):
    features = np.random.RandomState(0).randn(n_samples, 4).astype(np.float32)
    graph = NeighborMiner(5).fit_transform(features)
    steps, step = [], Adam.step
    monkeypatch.setattr(
        Adam, "step", lambda self, *arguments: steps.append(1) or step(self, *arguments)
    )
    trainer = ClusterTrainer(n_heads=n_heads)
    trainer.train(features, graph, 3, random_state=np.random.RandomState(0))
    job = Job(n_samples, 4, 3, n_heads)
    assert len(steps) == job.n_groups * (job.label_steps + job.head_steps)


def test_more_samples_take_more_of_all():
    plans = [plan_fit(Job(n, 768, 1000, 10), MACHINE) for n in (10_000, 100_000, 1_000_000)]
    for one, other in pairwise(plans):
        assert one.seconds < other.seconds
        assert one.memory_bytes < other.memory_bytes
        assert one.disk_bytes < other.disk_bytes
    assert plans[0].advice == []


def test_images_are_a_stage_of_their_own():
    stages = [stage.name for stage in plan_fit(Job(1000, 1280, 10), MACHINE, images=True).stages]
    assert (stages[0], stages[-1]) == ("extraction", "report")
    stages = [stage.name for stage in plan_fit(Job(1000, 1280, 10), MACHINE).stages]
    assert (stages[0], stages[-1]) == ("scaling", "evidence")
    assert "self-labelling" in stages


def test_what_does_not_fit_is_said_with_a_size_that_does():
    job = Job(100_000_000, 768, 1000, 10)
    plan = plan_fit(job, MACHINE)
    memory, disk = plan.advice
    assert "drawn at random" in memory
    assert "TMPDIR" in disk
    n_samples = int(memory.split("fit on ")[1].split(" samples")[0].replace(",", ""))
    smaller = plan_fit(replace(job, n_samples=n_samples), MACHINE)
    assert 0.5 * 16 * 2**30 < smaller.memory_bytes <= 0.8 * 16 * 2**30


def stage_of(plan, name):
    return next(stage for stage in plan.stages if stage.name == name)


def test_without_an_approximate_search_the_square_is_foretold():
    plan = plan_fit(Job(1_000_000, 768, 10), replace(MACHINE, approximate_mining=None))
    assert "skscan[faiss]" in plan.advice[0]
    assert stage_of(plan, "mining").seconds == pytest.approx(1e4, rel=0.01)


@pytest.mark.parametrize(("walk", "seconds"), [(60.0, 169), (600.0, 10_010)])
def test_mining_is_foretold_as_the_search_that_a_miner_takes(walk, seconds):
    build, step = Logarithm(1e6, 1e-4, 0.0), Logarithm(1e6, 1e-6, 0.0)
    trial = ApproximateMining(build, step, Power(1e6, walk, 0.0))
    tried = replace(MACHINE, approximate_mining=trial)
    plan = plan_fit(Job(1_000_000, 768, 10), tried)
    assert plan.searches_approximately == (seconds < 1000)
    assert stage_of(plan, "mining").seconds == pytest.approx(seconds, rel=0.02)
    few = plan_fit(Job(10_000, 768, 10), tried)
    assert not few.searches_approximately
    assert stage_of(few, "mining").seconds == pytest.approx(1.1, rel=0.05)


@pytest.mark.parametrize(
    ("n_samples", "walk", "backend"),
    [
        (500_000, 64, "exact"),
        (500_001, 64, "faiss"),
        (500_001, None, "exact"),
        (1_000_000, 384, "faiss"),
        (1_000_000, 385, "exact"),  # 512 is tried next
        (10_000_000, 10_000, "faiss"),  # no walk is longer than the longest
    ],
)
def test_one_rule_says_how_a_processor_searches(n_samples, walk, backend):
    foretold = None if walk is None else lambda n: walk
    assert choice.backend_on_processor(n_samples, foretold) == backend


def test_memory_counts_what_a_stage_holds_of_each_sample_and_of_a_step():
    def held(*numbers):
        return memory_of_stages(Job(*numbers), approximate=False)

    few, many = held(10_000, 768, 1000, 10), held(20_000, 768, 1000, 10)
    assert many["selection"] - few["selection"] > 10_000 * 1000 * 4  # blocks are not full yet
    assert many["evidence"] - few["evidence"] > 10_000 * 1000 * 4
    exact = held(1_000_000, 768, 10, 10)
    approximate = memory_of_stages(Job(1_000_000, 768, 10, 10), approximate=True)
    assert exact["mining"] > approximate["mining"] > 1_000_000 * 128 * 4
    assert {name for name in exact if exact[name] != approximate[name]} == {"mining"}


def test_steps_of_self_labelling_are_counted_as_they_are_made(monkeypatch):
    X, y = make_blobs(1500, 4, centers=3, random_state=0)
    X = X.astype(np.float32)
    sizes, logits = [], BatchedHeads.logits

    def count(heads, rows):
        sizes.append(len(rows))
        return logits(heads, rows)

    monkeypatch.setattr(BatchedHeads, "logits", count)
    graph, heads = NeighborMiner(5).fit_transform(X), center_heads(X, y[:, None], 3)
    NeighborLabelTrainer().train(X, graph, heads, 0, random_state=np.random.RandomState(0))
    job = Job(1500, 4, 3)
    assert sizes == [job.self_label_batch_size] * job.self_label_steps


def test_images_need_a_machine_that_was_measured_with_them():
    with pytest.raises(ValueError, match="measure_machine"):
        plan_fit(Job(1000, 1280, 10), replace(MACHINE, reporting=None), images=True)


def test_a_page_shows_no_more_than_it_can():
    reporting = MACHINE.reporting
    assert reporting(50_000, 10) == pytest.approx(0.5 + 0.1 + 5)
    assert reporting(1_050_000, 10) == pytest.approx(0.5 + 0.1 + 5 + 10)


@pytest.mark.parametrize(("limit", "expected"), [("1048576", 2**20), ("max", None)])
def test_the_memory_of_a_container_counts(monkeypatch, tmp_path, limit, expected):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    monkeypatch.setattr(machine, "CONTAINER_LIMITS", ())
    whole = machine._memory_bytes()
    monkeypatch.setattr(machine, "CONTAINER_LIMITS", (tmp_path / "memory.max", tmp_path / "none"))
    assert machine._memory_bytes() == (expected or whole)


def test_laws_pass_through_what_was_measured():
    law = Power.through((100, 1.0), (400, 2.0))
    assert [law(count) for count in (100, 400, 1600)] == pytest.approx([1, 2, 4])
    assert Power.through((100, 2.0), (400, 1.0))(1600) == 1.0
    law = Logarithm.through((100, 1.0), (400, 2.0))
    assert [law(count) for count in (100, 400, 1600)] == pytest.approx([1, 2, 3])
    assert Logarithm.through((100, 2.0), (400, 1.0))(1600) == 1.0


def test_the_report_on_images_is_tried(quick_trial):
    found = try_reporting(trial.Trial(Job(2000, 16, 3, 3), time.perf_counter), time.perf_counter)
    assert found.sheet > 0
    assert found(1000, 3) > found(100, 3) > 0


def test_mining_is_tried_on_rows_that_are_finite(quick_trial):
    X = np.random.RandomState(0).randn(900, 16).astype(np.float32)
    X[::2] = np.nan
    assert len(machine._some(X, 400)) == 400
    assert np.isfinite(machine._some(X, 400)).all()
    with pytest.raises(ValueError, match=r"500 rows of finite numbers .* got 450"):
        machine._some(X, 500)


def test_a_trial_of_approximate_mining(quick_trial):
    pytest.importorskip("faiss", reason="needs the extra skscan[faiss]")
    X = np.random.RandomState(0).randn(400, 8).astype(np.float32)
    found = mining.try_approximate_mining(X, 5, partial(trial.seconds_of, clock=time.perf_counter))
    assert found(1000) > 0


def test_a_trial_measures_every_stage(quick_trial):
    measured = measure_machine(Job(2000, 16, 3, 3))
    plan = plan_fit(Job(2000, 16, 3, 3), measured)
    assert all(stage.seconds > 0 for stage in plan.stages)
    assert 0 < plan.seconds < 60


def test_images_are_measured_from_their_files(quick_trial, monkeypatch):
    from skscan.images.collection import FileImages

    read, reading = [], FileImages.read
    monkeypatch.setattr(
        FileImages, "read", lambda self, *a, **k: read.append(1) or reading(self, *a, **k)
    )
    monkeypatch.setattr(machine, "N_IMAGES", 9)
    assert 0 < machine._image_seconds(time.perf_counter) < 5
    assert len(read) >= 9


def test_the_command_shows_the_plan(quick_trial):
    arguments = ["info", "--plan", "2000", "-k", "3", "--n-features", "16"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["n_samples"] == 2000
    assert found["seconds"] == pytest.approx(
        sum(stage["seconds"] for stage in found["stages"].values()), abs=0.1
    )
    assert found["search"] == "exact"
    assert list(found["stages"])[-2:] == ["self-labelling", "evidence"]
    shown = CliRunner().invoke(app, arguments)
    assert shown.stdout.splitlines()[0] == "2,000 samples into 3 clusters"
    assert [line.split()[0] for line in shown.stdout.splitlines()[1:4]] == [
        "stage",
        "scaling",
        "mining",
    ]


def test_the_command_tries_mining_on_a_file(quick_trial, monkeypatch, tmp_path):
    tried, trying = [], machine.try_exact_mining

    def watched(X, *arguments):
        tried.append(X.shape)
        return trying(X, *arguments)

    monkeypatch.setattr(machine, "try_exact_mining", watched)
    np.save(tmp_path / "features.npy", np.random.RandomState(0).randn(500, 7))
    for n_samples in (2_000, 600_000):
        arguments = ["--plan", str(n_samples), "-k", "3", "--json"]
        arguments += ["--features", str(tmp_path / "features.npy")]
        result = CliRunner().invoke(app, ["info", *arguments])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["n_features"] == 7
    assert tried == [(400, 7)] * 2


def test_few_features_will_do_where_mining_is_exact(quick_trial, tmp_path):
    np.save(tmp_path / "features.npy", np.zeros((3, 6)))
    arguments = ["--plan", "2000", "-k", "3", "--features", str(tmp_path / "features.npy")]
    result = CliRunner().invoke(app, ["info", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["n_features"] == 6


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(500), "holds an array of shape (500,)"),
        (np.zeros((500, 4), dtype="U1"), "takes a matrix of real numbers"),
        (np.zeros((399, 4)), "has 399 rows, and the trial of mining for 600,000 samples takes 400"),
        (np.full((500, 4), np.nan), "400 rows of finite numbers"),
        (None, "there is no such file"),
    ],
)
def test_a_file_that_mining_cannot_be_tried_on_is_said(quick_trial, tmp_path, array, message):
    path = tmp_path / "features.npy"
    if array is not None:
        np.save(path, array)
    result = CliRunner().invoke(app, ["info", "--plan", "600000", "--features", str(path)])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--features", "x.npy"], "--features goes with --plan N"),
        (["--n-features", "5"], "--n-features goes with --plan N"),
        (["--plan", "50", "--features", "x.npy", "--n-features", "5"], "leave out --n-features"),
        (["--plan", "many"], "takes a whole number of at least 2"),
        (["--plan", "5", "-k", "9"], "takes at most the 5 samples"),
        (["somewhere", "--plan", "100"], "--plan takes no OUT"),
    ],
)
def test_wrong_use_is_said(arguments, message):
    result = CliRunner().invoke(app, ["info", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
