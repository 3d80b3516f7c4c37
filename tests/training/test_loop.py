"""The training loop: steps, micro batches, precision, what is left behind, what is refused."""

import copy
import sys

import numpy as np
import pytest
import torch
from loop_tasks import Plain, make_loop, make_task, small_backbone, small_pixels, weights_of
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skscan.exceptions import TrainingDivergedError
from skscan.training.checkpoints import Checkpoint
from skscan.training.loop import Pass, Task, cosine, make_optimizer


def train(kind: str = "pairs", make_backbone=small_backbone, **settings):
    """Train a task and return it."""
    task = make_task(kind, make_backbone)
    make_loop(task, **settings).run()
    return task


class Linear(Task):
    """One linear layer on given rows, so that a step can be calculated by hand."""

    name = "linear"

    def __init__(self, rows: torch.Tensor) -> None:
        self.network = nn.Linear(rows.shape[1], 1, bias=False)
        nn.init.constant_(self.network.weight, 1.0)
        self.n_samples = len(rows)
        self._rows = rows
        self.seen: list[list[int]] = []

    def draw(self, rows, generator):
        self.seen.append(rows.tolist())
        return {"noise": torch.rand(len(rows), generator=generator)}

    def passes(self, rows, draws):
        return [Pass(self._rows[rows])]

    def loss(self, outputs):
        return outputs[0].square().mean(), {"largest": outputs[0].max().item()}


class TestSteps:
    def test_sgd_by_hand(self):
        rows = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
        task = Linear(rows)
        loop = make_loop(task, n_epochs=1, batch_size=2, learning_rate=lambda epoch: 0.25)
        history = loop.run()
        outputs = torch.tensor([3.0, 2.0])  # with weights (1, 1)
        gradient = outputs @ rows + 1e-4  # of the mean of two squares, and of the L2 penalty
        assert_allclose(task.network.weight.detach()[0], 1 - 0.25 * gradient, rtol=1e-6)
        assert history == [
            {"epoch": 0, "learning_rate": 0.25, "steps": 1, "loss": 6.5, "largest": 3.0}
        ]

    def test_an_epoch_takes_each_row_at_most_once_in_a_new_order(self):
        task = Linear(torch.randn(11, 2, generator=torch.Generator().manual_seed(0)))
        history = make_loop(task, n_epochs=2, batch_size=3).run()
        assert [entry["steps"] for entry in history] == [3, 3]
        epochs = np.array(task.seen).reshape(2, 9)
        assert len(set(epochs[0])) == len(set(epochs[1])) == 9
        assert epochs[0].tolist() != epochs[1].tolist()

    def test_learning_rates(self):
        task = Linear(torch.ones(4, 2))
        history = make_loop(task, n_epochs=3, batch_size=4, learning_rate=cosine(0.1, 3)).run()
        assert [entry["learning_rate"] for entry in history] == pytest.approx(
            [0.1, 0.1 * (0.001 + 0.999 * 0.75), 0.1 * (0.001 + 0.999 * 0.25)]
        )

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_the_loss_falls(self, optimizer):
        task = train(n_epochs=10, optimizer=optimizer)
        assert np.mean(task.losses[-5:]) < np.mean(task.losses[:5]) - 0.01

    def test_unknown_optimisers_are_refused(self):
        with pytest.raises(ValueError, match="optimizer='adamw' must be 'sgd' or 'adam'"):
            make_optimizer("adamw", nn.Linear(1, 1), 0.0)

    def test_a_step_without_a_loss_changes_nothing(self):
        task = make_task("pairs")
        task.loss = lambda outputs: (None, {"outputs": float(len(outputs))})
        after_step = []
        task.after_step = lambda: after_step.append(1)
        before = copy.deepcopy(task.network)
        history = make_loop(task, n_epochs=1).run()
        assert history == [{"epoch": 0, "learning_rate": 0.1, "steps": 0, "outputs": 2.0}]
        for parameter, earlier in zip(task.network.parameters(), before.parameters(), strict=True):
            assert_array_equal(parameter.detach(), earlier.detach())
        assert after_step == []

    def test_frozen_weights_and_passes_without_gradient(self):
        task = make_task("pairs", lambda: Plain(nn.BatchNorm2d(8)))
        task.network[0].requires_grad_(False)
        passes = task.passes
        task.passes = lambda rows, draws: [
            passes(rows, draws)[0],
            passes(rows, draws)[1]._replace(with_gradient=False),
        ]
        before = weights_of(task.network)
        make_loop(task).run()
        after = weights_of(task.network)
        assert_array_equal(after["0.convolution.weight"], before["0.convolution.weight"])
        assert not np.array_equal(after["1.weight"], before["1.weight"])

    def test_what_the_task_says_of_an_epoch_is_in_the_history_as_plain_numbers(self, tmp_path):
        task = make_task("pairs")
        task.monitor = lambda epoch: {"accuracy": np.float64(epoch), "n": np.int64(3)}
        checkpoint = Checkpoint(tmp_path, "pairs", {})
        history = make_loop(task, checkpoint).run()
        assert [entry["accuracy"] for entry in history] == [0.0, 1.0]
        assert all(type(value) in (int, float) for entry in history for value in entry.values())
        again = make_task("pairs")
        assert make_loop(again, checkpoint).run() == history


class TestMicroBatches:
    @pytest.mark.parametrize("kind", ["simclr", "pairs"])
    @pytest.mark.parametrize("micro_batch_size", [1, 3, 4])
    def test_losses_and_weights_are_those_of_the_whole_batch(self, kind, micro_batch_size):
        whole, parts = (
            train(kind, lambda: Plain(nn.GroupNorm(2, 8)), micro_batch_size=size)
            for size in (None, micro_batch_size)
        )
        assert_allclose(parts.losses, whole.losses, rtol=0, atol=1e-5)
        expected = weights_of(whole.network)
        for name, value in weights_of(parts.network).items():
            assert_allclose(value, expected[name], rtol=0, atol=1e-5, err_msg=name)

    def test_the_gradient_is_that_of_the_whole_batch(self):
        gradients = []
        for size in (None, 3):
            task = make_task("pairs", Plain)
            make_loop(task, n_epochs=1, batch_size=24, micro_batch_size=size).run()
            gradients.append([p.grad.clone() for p in task.network.parameters()])
        # The loss of each part alone has another entropy, so another gradient.
        for whole, parts in zip(*gradients, strict=True):
            assert whole.abs().max() > 1e-3
            assert_allclose(parts, whole, rtol=0, atol=1e-6)

    def test_a_micro_batch_as_large_as_the_batch_changes_nothing(self):
        assert train(micro_batch_size=8).losses == train().losses

    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_running_statistics_move_once_a_step(self, momentum):
        task = make_task("simclr", lambda: Plain(nn.BatchNorm2d(8, momentum=momentum)))
        norm, batches = task.network.backbone.norm, []
        handle = norm.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0]))
        make_loop(task, n_epochs=1, batch_size=24, micro_batch_size=8).run()
        handle.remove()
        assert len(batches) == 6  # three parts, each forwarded twice
        rate = 1.0 if momentum is None else momentum
        values = torch.stack(batches[:3]).detach()
        means = values.mean(dim=(0, 1, 3, 4))
        variances = torch.stack([part.transpose(0, 1).flatten(1).var(dim=1) for part in values])
        assert_allclose(norm.running_mean, rate * means, rtol=1e-4, atol=1e-6)
        expected = 1 - rate + rate * variances.mean(dim=0)
        assert_allclose(norm.running_var, expected, rtol=1e-4)
        assert norm.num_batches_tracked == 1

    def test_running_statistics_of_layers_used_several_times_in_a_step(self):
        # Anchors and neighbors: as often as without micro batches, and on from there.
        tracked = []
        for size in (None, 4):
            task = make_task("pairs", lambda: Plain(nn.BatchNorm2d(8)))
            make_loop(task, n_epochs=1, batch_size=24, micro_batch_size=size).run()
            norm = task.network[0].norm
            tracked.append((int(norm.num_batches_tracked), norm.running_mean.clone()))
        assert tracked[0][0] == tracked[1][0] == 2
        assert_allclose(tracked[0][1], tracked[1][1], rtol=1e-4, atol=1e-6)

    def test_frozen_running_statistics_stay_to_the_last_bit(self):
        norm = nn.BatchNorm2d(8, momentum=0.0)
        norm.running_mean.uniform_(-1, 1)
        before = norm.running_mean.clone()
        train("pairs", lambda: Plain(norm), micro_batch_size=3)
        assert_array_equal(norm.running_mean, before)

    def test_a_loss_that_is_left_out_still_moves_them(self):
        task = make_task("simclr", lambda: Plain(nn.BatchNorm2d(8)))
        task.loss = lambda outputs: (None, {})
        make_loop(task, n_epochs=1, batch_size=24, micro_batch_size=8).run()
        assert task.network.backbone.norm.num_batches_tracked == 1

    @pytest.mark.parametrize("kind", ["simclr", "pairs"])
    def test_dropout_draws_the_same_when_a_part_is_forwarded_again(self, kind):
        class Dropping(Plain):
            def __init__(self) -> None:
                super().__init__(nn.Dropout(0.5))
                self.dropped: list[torch.Tensor] = []
                self.norm.register_forward_hook(
                    lambda _, inputs, outputs: self.dropped.append((outputs == 0).clone())
                )

        backbone = Dropping()
        make_loop(
            make_task(kind, lambda: backbone), n_epochs=1, batch_size=24, micro_batch_size=12
        ).run()
        half = len(backbone.dropped) // 2
        first, second = backbone.dropped[:half], backbone.dropped[half:]
        for masks in zip(first, second, strict=True):
            assert_array_equal(*masks)
        assert not torch.equal(first[0], first[-1])


class TestPrecision:
    def test_bf16_on_the_cpu(self):
        full, half = train(), train(precision="bf16")
        assert half.losses != full.losses
        assert_allclose(half.losses, full.losses, rtol=0.05)
        assert {p.dtype for p in half.network.parameters()} == {torch.float32}

    def test_losses_are_computed_in_float32(self):
        task = make_task("pairs")
        loss, kinds = task.loss, set()
        task.loss = lambda outputs: (kinds.update(o.dtype for o in outputs), loss(outputs))[1]
        make_loop(task, precision="bf16").run()
        assert kinds == {torch.float32}

    def test_fp16_on_the_cpu_is_refused(self):
        with pytest.raises(ValueError, match="precision='fp16' does not work on the CPU"):
            train(precision="fp16")

    def test_unknown_precisions_are_refused(self):
        with pytest.raises(ValueError, match="precision='fp8' must be one of 'no', 'bf16', 'fp16'"):
            train(precision="fp8")

    def test_each_run_has_its_own(self):
        first = train().losses
        half = train(precision="bf16").losses
        assert train().losses == first
        assert train(precision="bf16").losses == half

    def test_the_network_is_not_left_in_another_precision(self):
        task = train(precision="bf16")
        assert not {"forward", "_original_forward"} & set(vars(task.network))
        inputs = torch.rand(2, 3, 12, 12)
        expected = copy.deepcopy(task.network).eval()(inputs)
        assert_array_equal(task.network.eval()(inputs).detach(), expected.detach())
        # Trained further, it is trained in the precision that is asked for then.
        further = copy.deepcopy(task)
        for trained in (task, further):
            trained.losses.clear()
            make_loop(trained, n_epochs=1).run()
        assert task.losses == further.losses


class TestLeavesNothingBehind:
    def test_global_random_state_and_threads(self):
        task = make_task("simclr", lambda: Plain(nn.Dropout(0.5)))
        of_torch, of_numpy = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
        n_threads = torch.get_num_threads()
        make_loop(task).run()
        assert_array_equal(torch.get_rng_state(), of_torch)
        assert_array_equal(np.random.get_state()[1], of_numpy)  # noqa: NPY002
        assert torch.get_num_threads() == n_threads

    def test_global_random_state_changes_nothing(self):
        losses = []
        for seed in (1, 2):
            task = make_task("simclr", lambda: Plain(nn.Dropout(0.5)))
            torch.manual_seed(seed)
            make_loop(task).run()
            losses.append(task.losses)
        assert losses[0] == losses[1]

    def test_an_accelerator_of_the_caller(self):
        from accelerate import Accelerator
        from accelerate.state import AcceleratorState, GradientState, PartialState

        states = (AcceleratorState, GradientState, PartialState)
        before = [dict(state._shared_state) for state in states]
        try:
            for state in states:
                state._shared_state.clear()
            own = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=2)
            with_own = train().losses
            assert own.mixed_precision == "bf16"
            assert own.gradient_accumulation_steps == 2
        finally:
            for state, earlier in zip(states, before, strict=True):
                state._shared_state.clear()
                state._shared_state.update(earlier)
        assert train().losses == with_own

    def test_after_an_error_too(self):
        from accelerate.state import AcceleratorState

        task = make_task("pairs")
        task.after_step = lambda: 1 / 0
        before = dict(AcceleratorState._shared_state)
        state = torch.get_rng_state()
        with pytest.raises(ZeroDivisionError):
            make_loop(task, precision="bf16").run()
        assert AcceleratorState._shared_state == before
        assert_array_equal(torch.get_rng_state(), state)
        assert "forward" not in vars(task.network)


class TestRefusals:
    def test_batches_larger_than_the_data(self):
        with pytest.raises(
            ValueError, match="batch_size=25 must not be more than the number of samples, got 24"
        ):
            make_loop(make_task("pairs"), batch_size=25)

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    @pytest.mark.parametrize("micro_batch_size", [None, 4])
    def test_a_loss_that_is_no_number(self, value, micro_batch_size):
        task = make_task("pairs")
        loss, n_steps = task.loss, 0

        def spoiled(outputs):
            nonlocal n_steps
            n_steps += 1
            total, terms = loss(outputs)
            return (total * value if n_steps == 5 else total), terms

        task.loss = spoiled
        with pytest.raises(
            TrainingDivergedError,
            match=rf"pairs: the loss became -?{value} in epoch 1, step 1\. Lower learning_rate",
        ):
            make_loop(task, micro_batch_size=micro_batch_size).run()

    def test_a_rate_that_is_too_high(self):
        with pytest.raises(TrainingDivergedError, match="epoch"):
            train("pairs", Plain, n_epochs=50, learning_rate=lambda epoch: 1e30)


class TestScalars:
    def read(self, folder):
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        events = accumulator.EventAccumulator(str(folder))
        events.Reload()
        return {
            name: [(event.step, event.value) for event in events.Scalars(name)]
            for name in events.Tags()["scalars"]
        }

    def test_tensorboard_reads_them(self, tmp_path):
        pytest.importorskip("tensorboard")
        task = make_task("pairs")
        history = make_loop(task, log_dir=str(tmp_path)).run()
        scalars = self.read(tmp_path / "pairs")
        assert set(scalars) == {"loss", "consistency", "entropy", "learning_rate"}
        for name, values in scalars.items():
            assert [step for step, _ in values] == [0, 1]
            assert [value for _, value in values] == pytest.approx(
                [entry[name] for entry in history]
            )

    def test_a_run_that_is_gone_on_with_shows_each_epoch_once(self, tmp_path, monkeypatch):
        pytest.importorskip("tensorboard")
        monkeypatch.setattr("skscan.training.checkpoints.CHECKPOINT_SECONDS", 0.0)
        checkpoint = Checkpoint(tmp_path, "pairs", {})
        task = make_task("pairs")
        save, log_dir = checkpoint.save, str(tmp_path / "log")

        def cut_off(epoch):
            monkeypatch.setattr(checkpoint, "save", lambda state: 1 / 0)
            return {}

        task.monitor = cut_off  # the first epoch is written, but its end is not saved
        with pytest.raises(ZeroDivisionError):
            make_loop(task, checkpoint, log_dir=log_dir).run()
        monkeypatch.setattr(checkpoint, "save", save)
        history = make_loop(make_task("pairs"), checkpoint, log_dir=log_dir).run()
        values = self.read(tmp_path / "log" / "pairs")["loss"]
        assert values == [
            (entry["epoch"], pytest.approx(entry["loss"], rel=1e-6)) for entry in history
        ]

    def test_without_tensorboard(self, tmp_path, monkeypatch):
        monkeypatch.setattr("skscan.training.acceleration.find_spec", lambda name: None)
        with pytest.raises(ImportError, match=r"pip install skscan\[tensorboard\]"):
            train(log_dir=str(tmp_path))


class TestDisplay:
    def test_progress_on_stderr(self, capfd):
        train(verbose=1)
        output, errors = capfd.readouterr()
        assert output == ""
        assert errors.splitlines()[-1].startswith("pairs: 6/6 [")

    def test_silence(self, capfd):
        train()
        assert capfd.readouterr() == ("", "")

    def test_times(self):
        loop = make_loop(make_task("pairs"))
        loop.run()
        assert 0 < loop.seconds["inputs"] < loop.seconds["total"]
        assert 0 < loop.seconds["network"] < loop.seconds["total"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="torch compiles with a C++ compiler")
def test_a_compiled_network_learns_the_same():
    plain, compiled = train(), train(compile=True)
    assert_allclose(compiled.losses, plain.losses, rtol=0, atol=1e-4)


def test_pixels_are_left_as_they_were():
    pixels = small_pixels()
    before = pixels.pixels.copy()
    make_loop(make_task("simclr", pixels=pixels)).run()
    assert_array_equal(pixels.pixels, before)
