"""What slices on a GPU carry from one to the next."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import skscan
from skscan.exceptions import CheckpointMismatchError
from skscan.extractors.network import NetworkFeatureExtractor
from skscan.networks.heads import LinearHeads
from skscan.networks.modules import ClusteringNetwork
from skscan.networks.small_resnet import SmallResNet
from skscan.networks.trained import TrainedNetwork
from skscan.training.checkpoints import Checkpoint
from skscan.training.identity import hash_arrays

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "gpu"))

import state_folder
from pace import Pace
from settling import MANIFEST_BYTES, choose_bits, settle_cell, settle_checkpoints
from state_codec import bits_in_use, decode, encode, round_mantissa
from state_files import StateError

ARCHITECTURE = {"stem": "cifar", "depth": 18, "width": 8}
IDENTITY = {"n_epochs": 3, "seed": 0}
LIMIT = 60 * 2**20


def make_cell(folder: Path, seed: int = 0, **more) -> None:
    torch.manual_seed(seed)
    network = TrainedNetwork.from_modules(
        ARCHITECTURE, 32, (0.5,) * 3, (0.25,) * 3, SmallResNet(**ARCHITECTURE)
    )
    skscan.save({"extractor": NetworkFeatureExtractor(network, device="cpu"), **more}, folder)


def trained_state(architecture=ARCHITECTURE, n_steps: int = 2) -> dict:
    """Return the state of a SCAN stage after some steps."""
    torch.manual_seed(1)
    backbone = SmallResNet(**architecture)
    heads = LinearHeads(
        np.ones((1, 10, backbone.n_features), np.float32), np.zeros((1, 10), np.float32)
    )
    network = ClusteringNetwork(backbone, heads, "all").to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-4)
    for _ in range(n_steps):
        optimizer.zero_grad()
        network(torch.randn(4, 3, 32, 32)).square().sum().backward()
        optimizer.step()
    best = {name: tensor.detach().clone() * 1.1 for name, tensor in network.state_dict().items()}
    position = {
        "epoch": 1,
        "step": n_steps,
        "sums": {},
        "counts": {},
        "history": [{"epoch": 0, "steps": 7, "loss": 1.0}],
        "scaler": {},
    }
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "extra": {"sizes": torch.ones(1, 10), "best": {"head": 0, "weights": best}},
        "position": position,
    }


def make_out(out: Path, cells=("pretext",), training="scan-seed-0") -> dict:
    for seed, cell in enumerate(cells):
        make_cell(out / "cells" / cell, seed)
    results = {"cells": {cell: {"stage": cell.split("-seed")[0]} for cell in cells}}
    (out / "results.json").write_text(json.dumps(results))
    state = trained_state()
    Checkpoint(out / "checkpoints" / training, "scan", IDENTITY).save(state)
    return state


def pack(out: Path, state: Path, tmp_path: Path, limit: int = LIMIT, bits: int = 23):
    return state_folder.pack(out, state, lambda results, steps: {}, limit, bits, tmp_path / "s")


def restored(state: Path, out: Path) -> Path:
    manifest = state_folder.read_manifest(state)
    assert manifest is not None
    state_folder.restore(state, manifest, out)
    return out


def tensors(value, name=""):
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from tensors(inner, f"{name}/{key}")


@pytest.mark.parametrize("bits", [0, 1, 3, 7, 8, 15, 16, 22, 23])
def test_rounding_is_bounded_and_kept_without_loss(bits):
    rng = np.random.default_rng(0)
    values = (rng.normal(size=(30, 7)) * 10.0 ** rng.integers(-20, 20, (30, 7))).astype("f4")
    values[0, :3] = 0.0, 1.9999999, -1.0
    rounded = round_mantissa(values, bits)
    error = np.abs(rounded.astype("f8") - values)
    assert (error <= 2.0 ** -(bits + 1) * np.abs(values) * (bits < 23)).all()
    assert bits_in_use(rounded) <= bits
    np.testing.assert_array_equal(round_mantissa(rounded, bits), rounded)
    np.testing.assert_array_equal(decode(encode(rounded), values.shape), rounded)


def test_rounding_to_seven_bits_is_bfloat16():
    values = np.random.default_rng(0).normal(size=1000).astype("f4")
    as_torch = torch.from_numpy(values).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(round_mantissa(values, 7), as_torch)


def test_squares_need_no_signs():
    values = np.random.default_rng(0).normal(size=8000).astype("f4")
    assert len(encode(values)) - len(encode(np.abs(values))) == 1000


@pytest.mark.parametrize("values", [np.zeros(5, "f4"), np.array([], "f4")])
def test_odd_arrays(values):
    np.testing.assert_array_equal(decode(encode(values), values.shape), values)


def test_what_fits_comes_back_as_it_was(tmp_path):
    before = make_out(tmp_path / "out")
    packed = pack(tmp_path / "out", tmp_path / "state", tmp_path)
    assert packed.notes == []
    assert packed.steps == {"scan-seed-0": {"scan": 9}}
    out = restored(tmp_path / "state", tmp_path / "again")
    after = Checkpoint(out / "checkpoints" / "scan-seed-0", "scan", IDENTITY).load()
    wanted, found = dict(tensors(before)), dict(tensors(after))
    assert wanted.keys() == found.keys()
    for name, tensor in wanted.items():
        assert torch.equal(tensor, found[name]), name
        assert tensor.stride() == found[name].stride(), name
    assert after["position"] == before["position"]
    assert after["optimizer"]["param_groups"] == before["optimizer"]["param_groups"]
    for path in (tmp_path / "out" / "cells" / "pretext").iterdir():
        assert (out / "cells" / "pretext" / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(CheckpointMismatchError):
        Checkpoint(out / "checkpoints" / "scan-seed-0", "scan", {"seed": 1}).load()


def test_what_does_not_fit_is_rounded_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(state_folder, "PIECE_BYTES", 2**17)
    before = make_out(tmp_path / "out")
    settle_cell(tmp_path / "out" / "cells" / "pretext", 7)
    limit = 1_150_000 + MANIFEST_BYTES
    packed = pack(tmp_path / "out", tmp_path / "state", tmp_path, limit, bits=7)
    sizes = [path.stat().st_size for path in (tmp_path / "state").iterdir()]
    assert sum(sizes) == packed.n_bytes <= limit
    assert len(sizes) == packed.n_files
    assert max(sizes) <= 2**17
    weights = next(note for note in packed.notes if note.startswith("weights"))
    assert "bits of mantissa" in weights
    assert any(note.startswith("the optimiser's moments") for note in packed.notes)
    assert any(note.startswith("networks of finished cells (pretext)") for note in packed.notes)
    out = restored(tmp_path / "state", tmp_path / "again")
    after = Checkpoint(out / "checkpoints" / "scan-seed-0", "scan", IDENTITY).load()
    wanted, found = dict(tensors(before)), dict(tensors(after))
    changed = [name for name in wanted if not torch.equal(wanted[name], found[name])]
    assert {name.split("/")[1] for name in changed} == {"network", "optimizer", "extra"}
    for name in changed:
        bound = 2.0**-8 if not name.startswith("/optimizer") else 2.0**-2
        assert torch.allclose(wanted[name], found[name], rtol=bound, atol=1e-30), name
        assert wanted[name].numel() >= 4096
    # once rounded, nothing is lost by packing again
    again = pack(out, tmp_path / "state 2", tmp_path, limit, bits=7)
    assert not any(note.startswith(("weights", "the opt")) for note in again.notes)


def test_moments_are_left_out_before_giving_up(tmp_path):
    before = make_out(tmp_path / "out")
    limit = 930_000 + MANIFEST_BYTES
    packed = pack(tmp_path / "out", tmp_path / "state", tmp_path, limit, bits=7)
    assert packed.n_bytes <= limit
    assert packed.notes[-1].startswith("the optimiser's moments are left out")
    out = restored(tmp_path / "state", tmp_path / "again")
    after = Checkpoint(out / "checkpoints" / "scan-seed-0", "scan", IDENTITY).load()
    assert after["optimizer"]["state"].keys() == before["optimizer"]["state"].keys()
    for _, tensor in tensors(after["optimizer"]["state"]):
        assert not tensor.any()
    for name, tensor in tensors(before["network"]):
        assert torch.allclose(tensor, after["network"][name[1:]], rtol=2.0**-8)


def test_too_small_a_limit_is_refused(tmp_path):
    make_out(tmp_path / "out")
    with pytest.raises(StateError, match="does not fit into"):
        pack(tmp_path / "out", tmp_path / "state", tmp_path, 300_000 + MANIFEST_BYTES)
    assert not (tmp_path / "state").exists()


def test_networks_that_nothing_needs_go_first(tmp_path):
    cells = ("pretext", "scan-seed-0", "self-label-seed-0", "scan-seed-1")
    make_out(tmp_path / "out", cells, training="self-label-seed-1")
    everything = pack(tmp_path / "out", tmp_path / "all", tmp_path)
    assert everything.notes == []
    assert {p.name for p in (restored(tmp_path / "all", tmp_path / "a") / "cells").iterdir()} == {
        *cells
    }
    limit = everything.n_bytes - 1000 + MANIFEST_BYTES
    packed = pack(tmp_path / "out", tmp_path / "less", tmp_path, limit)
    assert "left out: scan-seed-0 (" in packed.notes[-1]
    out = restored(tmp_path / "less", tmp_path / "b")
    names = {path.name for path in (out / "cells").iterdir()}
    assert names == {"pretext", "scan-seed-1", "self-label-seed-0"}
    assert json.loads((out / "results.json").read_text())["cells"].keys() == set(cells)
    # and it stays said
    assert "left out: scan-seed-0 (" in pack(out, tmp_path / "less", tmp_path).notes[-1]


def test_a_settled_cell_stays_as_it_is(tmp_path):
    make_cell(tmp_path / "cell", heads=LinearHeads(np.ones((1, 2, 64)), np.zeros((1, 2))))
    assert settle_cell(tmp_path / "cell", 7)
    arrays = skscan.load(tmp_path / "cell")["extractor"].network_.arrays
    large = [values for values in arrays.values() if values.size >= 4096]
    assert max(map(bits_in_use, large)) == 7
    assert hash_arrays(*arrays.values()) == hash_arrays(
        *skscan.load(tmp_path / "cell")["extractor"].network.arrays.values()
    )
    assert not settle_cell(tmp_path / "cell", 7)


@pytest.mark.parametrize("bits", [7, 23])
def test_the_first_of_two_stages_keeps_its_best_epoch_alone(tmp_path, bits):
    cell = tmp_path / "checkpoints" / "overcluster-seed-0"
    state = trained_state()
    Checkpoint(cell, "scan", IDENTITY).save(state)
    Checkpoint(cell, "self-label", IDENTITY).save(trained_state())
    assert settle_checkpoints(tmp_path, bits) == (bits == 7)
    # rounded weights are another beginning for the second stage
    assert (cell / "self-label.checkpoint").exists() == (bits == 23)
    first = Checkpoint(cell, "scan", IDENTITY).load()
    assert first["optimizer"]["state"] == {}
    for name, best in state["extra"]["best"]["weights"].items():
        rounded = first["extra"]["best"]["weights"][name]
        assert torch.allclose(best, rounded, rtol=2.0 ** -(bits + 1))
        assert torch.equal(first["network"][name], rounded)
    Checkpoint(cell, "self-label", IDENTITY).save(trained_state())
    assert not settle_checkpoints(tmp_path, bits)


def test_damage_and_other_versions_are_refused(tmp_path, monkeypatch):
    make_out(tmp_path / "out")
    state = tmp_path / "state"
    pack(tmp_path / "out", state, tmp_path)
    piece = next(state.glob("*.bin"))
    content = bytearray(piece.read_bytes())
    content[1000] ^= 1
    piece.write_bytes(content)
    with pytest.raises(StateError, match="missing or damaged"):
        restored(state, tmp_path / "again")
    monkeypatch.setattr(skscan, "__version__", "99")
    with pytest.raises(StateError, match="this is 99"):
        state_folder.read_manifest(state)
    (state / "state.json").write_text("{")
    with pytest.raises(StateError, match="damaged or of another version"):
        state_folder.read_manifest(state)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    with pytest.raises(StateError, match="thesis"):
        state_folder.read_manifest(tmp_path / "other")


def test_a_kill_while_writing_leaves_the_state_before(tmp_path, monkeypatch):
    make_out(tmp_path / "out")
    state = tmp_path / "state"
    pack(tmp_path / "out", state, tmp_path)

    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(state_folder.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            pack(tmp_path / "out", state, tmp_path)
    restored(state, tmp_path / "again")
    pack(tmp_path / "again", state, tmp_path)
    restored(state, tmp_path / "once more")
    assert len(list(state.glob("*.bin"))) == 1


def test_bits_of_finished_networks():
    assert choose_bits(200_000, LIMIT) == 23
    assert choose_bits(11_500_000, LIMIT) == 7
    with pytest.raises(StateError, match="--limit"):
        choose_bits(25_000_000, LIMIT)


def test_pace():
    facts = {"parts": {"pretext": [["simclr", 100, 10.0]], "scan": [["scan", 50, 20.0]]}}
    pace = Pace(facts, 2, {"pretext": (30.0, 300.0)})
    pace.stand({}, {"pretext": {"simclr": 30}})
    assert "nobody knows" not in pace.left(60.0)
    pace.spend("pretext", 10.0)
    pace.stand({}, {"pretext": {"simclr": 50}})
    assert pace.measured() == {"pretext": (40.0, 500.0)}
    assert pace.lines() == [
        "pretext: 50 of 100 steps, 0.8 s a step, all in",
        "scan: 0 of 100 steps",
    ]
    # 500 + 2 * 1000 units of work are left at 0.08 s each
    assert pace.left(60.0).startswith("16.7 % of the work is done; probably about 4 more slices")


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["scan", "self-label"])
def test_a_network_of_the_paper_fits_into_60_mib(tmp_path, stage):
    architecture = {"stem": "cifar", "depth": 18, "width": 64}
    network = TrainedNetwork.from_modules(
        architecture, 32, (0.5,) * 3, (0.25,) * 3, SmallResNet(**architecture)
    )
    out, bits = tmp_path / "out", choose_bits(11_500_000, LIMIT)
    cells = ["pretext"] if stage == "scan" else ["pretext", "scan-seed-0"]
    for number, cell in enumerate(cells):
        for name, values in network.arrays.items():
            network.arrays[name] = values * np.float32(1.1) if number else values
        skscan.save({"extractor": NetworkFeatureExtractor(network)}, out / "cells" / cell)
    (out / "results.json").write_text(json.dumps({"cells": {cell: {} for cell in cells}}))
    state = trained_state(architecture)
    if stage == "self-label":
        state["extra"] = {}
    Checkpoint(out / "checkpoints" / f"{stage}-seed-0", stage, IDENTITY).save(state)
    packed = pack(out, tmp_path / "state", tmp_path, bits=bits)
    sizes = [path.stat().st_size for path in (tmp_path / "state").iterdir()]
    print(stage, sizes, f"{packed.seconds:.1f} s", *packed.notes, sep="\n")
    assert sum(sizes) <= LIMIT
    assert max(sizes) <= 16 * 2**20
    assert not any("left out" in note for note in packed.notes)
