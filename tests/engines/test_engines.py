import json
import os

import numpy as np
import pytest
from small_source import N_FEATURES, SIDE, Eigenvalues, SmallSource

from skscan.engines import exports, opening
from skscan.engines.exports import exported, exports_folder
from skscan.engines.opening import make_engine, open_engine
from skscan.exceptions import ExportError, SkscanWarning

PIXELS = np.random.RandomState(0).randint(0, 256, (9, SIDE, SIDE, 3)).astype(np.uint8)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch, tmp_path):
    """No engine that is open already, and an empty cache."""
    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(opening, "_open", type(opening._open)())


def engine_of(name, precision="float32", source=None):
    if name == "onnx":
        pytest.importorskip("onnxruntime")
    if name == "openvino":
        pytest.importorskip("openvino")
    if name != "torch":
        pytest.importorskip("onnx")
    return make_engine(source or SmallSource(), name, precision, "cpu")


@pytest.mark.parametrize("name", ["torch", "onnx", "openvino"])
@pytest.mark.parametrize("n_images", [1, 9])
def test_float32_engines_agree(name, n_images):
    reference = engine_of("torch")(PIXELS[:n_images])
    engine = engine_of(name)
    found = engine(PIXELS[:n_images])
    assert (engine.name, engine.precision, engine.n_features) == (name, "float32", N_FEATURES)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, reference, rtol=1e-4, atol=1e-4)
    # what came from an earlier call stays as it is
    kept = found.copy()
    engine(255 - PIXELS[:n_images])
    np.testing.assert_array_equal(found, kept)


@pytest.mark.parametrize("name", ["torch", "openvino"])
def test_bfloat16_is_near_float32(name):
    reference = engine_of("torch")(PIXELS)
    engine = engine_of(name, "bfloat16")
    assert engine.precision == "bfloat16"
    np.testing.assert_allclose(engine(PIXELS), reference, rtol=0.05, atol=0.05)


@pytest.mark.slow
def test_the_compiled_network_agrees_for_any_size_of_batch():
    reference = engine_of("torch")(PIXELS)
    engine = engine_of("compile")
    for n_images in (4, 9, 1):
        found = engine(PIXELS[:n_images])
        np.testing.assert_allclose(found, reference[:n_images], rtol=1e-4, atol=1e-4)


def test_an_export_is_made_once():
    pytest.importorskip("onnx")
    source = SmallSource()
    first = exported(source)
    assert exported(source) == first
    assert source.n_loads == 1
    assert exported(SmallSource(seed=1)) != first


@pytest.mark.parametrize("damage", ["cut", "flipped", "record", "gone"])
def test_a_damaged_export_is_made_again(damage):
    pytest.importorskip("onnx")
    source = SmallSource()
    first = exported(source)
    (record,) = exports_folder().glob("*.json")
    (path,) = exports_folder().glob("*.onnx")
    if damage == "cut":
        path.write_bytes(first[:-10])
    elif damage == "flipped":
        path.write_bytes(first[:100] + bytes([first[100] ^ 1]) + first[101:])
    elif damage == "record":
        record.write_text("{")
    else:
        path.unlink()
    assert len(exported(source)) == len(first)
    assert source.n_loads == 2
    assert exported(source)
    assert source.n_loads == 2


def test_another_process_may_export_the_same_network_meanwhile():
    pytest.importorskip("onnx")

    class Meanwhile(SmallSource):
        def load(self, device):
            self.theirs = exported(SmallSource())
            return super().load(device)

    source = Meanwhile()
    data = exported(source)
    later = SmallSource()
    assert exported(later) in (data, source.theirs)
    assert later.n_loads == 0


def test_an_export_that_cannot_be_kept_is_used_all_the_same(monkeypatch, tmp_path):
    pytest.importorskip("onnx")
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path / "file"))
    with pytest.warns(SkscanWarning, match="could not be kept"):
        assert len(exported(SmallSource())) > 0


def test_old_exports_make_room_for_new_ones(monkeypatch):
    pytest.importorskip("onnx")
    first = exported(SmallSource(seed=0))
    for path in exports_folder().iterdir():
        os.utime(path, (1, 1))
    monkeypatch.setattr(exports, "_LARGEST_FOLDER", int(2.5 * len(first)))
    exported(SmallSource(seed=1))
    exported(SmallSource(seed=2))
    kept = [json.loads(path.read_text())["file"] for path in exports_folder().glob("*.json")]
    assert len(list(exports_folder().glob("*.onnx"))) == 2
    assert sorted(kept) == sorted(path.name for path in exports_folder().glob("*.onnx"))


def test_an_engine_stays_open_for_the_next_call():
    source = SmallSource()
    assert open_engine(source, "torch") is open_engine(source, "torch")
    assert source.n_loads == 1


def test_torch_runs_what_cannot_be_exported():
    pytest.importorskip("onnxruntime")
    source = SmallSource(last=Eigenvalues())
    with pytest.warns(SkscanWarning, match="'onnx' cannot run a small network .* torch does"):
        engine = open_engine(source, device="cpu")
    assert engine.name == "torch"
    assert engine(PIXELS).shape == (9, N_FEATURES)
    assert open_engine(source, device="cpu") is engine  # and does not try again
    with pytest.raises(ExportError, match="cannot be written as ONNX"):
        open_engine(SmallSource(last=Eigenvalues()), "onnx", device="cpu")
