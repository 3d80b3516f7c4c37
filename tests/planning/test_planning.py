"""What a fit will take: counts are those of the training, and what does not fit is said."""

import json
import time
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

from skscan import ClusterTrainer, NeighborMiner
from skscan._laws import Line, Power
from skscan.cli import app
from skscan.planning import Machine, machine, measure_machine, mining, plan_fit
from skscan.planning.job import Job
from skscan.planning.mining import ApproximateMining, ExactMining
from skscan.training.batched_heads import Adam

MACHINE = Machine(
    scaling=Line(0.1, 1e-5),
    exact_mining=ExactMining(1e-5, 1e-8),
    approximate_mining=ApproximateMining(Power(1e4, 1e-4, 0.2), Power(1e4, 1e-4, 0.2)),
    starts=Line(0.1, 1e-5),
    label_step=0.01,
    head_step=0.02,
    selection=Line(0.0, 1e-6),
    loss=Line(0.0, 1e-6),
    results=Line(0.0, 1e-6),
    image=0.01,
    disk_byte=1e-9,
    memory_bytes=16 * 2**30,
    disk_bytes=100 * 2**30,
)


@pytest.fixture
def quick_trial(monkeypatch):
    monkeypatch.setattr(machine, "SIZES", (150, 400))
    for module in (mining, machine):
        monkeypatch.setattr(module, "EXACT_ROWS", (150, 400))
        monkeypatch.setattr(module, "APPROXIMATE_ROWS", (150, 400))
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
    assert stages[0] == "extraction"
    assert plan_fit(Job(1000, 1280, 10), MACHINE).stages[0].name == "scaling"


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


@pytest.mark.parametrize(("exponent", "seconds"), [(0.0, 200), (2.0, 10_010)])
def test_mining_is_foretold_as_the_quicker_search(exponent, seconds):
    law = Power(1e6, 1e-4, 0.0)
    approximate = ApproximateMining(law, Power(1e4, 1e-4, exponent))
    plan = plan_fit(Job(1_000_000, 768, 10), replace(MACHINE, approximate_mining=approximate))
    assert stage_of(plan, "mining").seconds == pytest.approx(seconds, rel=0.02)
    few = plan_fit(Job(10_000, 768, 10), replace(MACHINE, approximate_mining=approximate))
    assert stage_of(few, "mining").seconds == pytest.approx(1.1, rel=0.05)  # exact in any case


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


def test_a_trial_of_approximate_mining(quick_trial):
    pytest.importorskip("faiss", reason="needs the extra skscan[faiss]")
    X = np.random.RandomState(0).randn(400, 8).astype(np.float32)
    found = mining.try_approximate_mining(X, 5, partial(machine._seconds, clock=time.perf_counter))
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
    arguments = ["info", "--plan", "2000", "-k", "3", "--features", "--n-features", "16"]
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["n_samples"] == 2000
    assert found["seconds"] == pytest.approx(
        sum(stage["seconds"] for stage in found["stages"].values()), abs=0.1
    )
    assert found["left_out"] == ["self-labelling", "the report"]
    shown = CliRunner().invoke(app, arguments)
    assert "left out: self-labelling, the report" in shown.stdout
    assert [line.split()[0] for line in shown.stdout.splitlines()[:3]] == [
        "stage",
        "scaling",
        "mining",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plan", "many"], "takes a whole number of at least 2"),
        (["--plan", "5", "-k", "9"], "takes at most the 5 samples"),
        (["somewhere", "--plan", "100"], "--plan takes no OUT"),
    ],
)
def test_wrong_use_is_said(arguments, message):
    result = CliRunner().invoke(app, ["info", *arguments])
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())
