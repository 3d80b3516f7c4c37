import json
import subprocess
import sys

import pytest
import torch

from skscan import SimCLRFeatureExtractor, TimmFeatureExtractor
from skscan.engines import choice, tuning
from skscan.engines.choice import choose_engine, engine_that_decides
from skscan.exceptions import SkscanWarning


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Say which engines are installed, with an empty cache and no accelerator."""
    monkeypatch.setenv("SKSCAN_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)

    def install(*names):
        known = {"torch", "compile", *names}
        monkeypatch.setattr(choice, "is_installed", known.__contains__)

    install("onnx", "openvino")
    return install


def store(engine):
    path = tuning._choice_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"engine": engine}))


@pytest.mark.parametrize(
    ("names", "precision", "engine"),
    [
        (["onnx", "openvino"], "float32", "onnx"),
        (["openvino"], "float32", "torch"),
        ([], "float32", "torch"),
        (["onnx", "openvino"], "bfloat16", "openvino"),
        (["onnx"], "bfloat16", "torch"),
    ],
)
def test_the_rule_on_a_cpu(installed, names, precision, engine):
    installed(*names)
    for device in ("auto", "cpu"):
        assert choose_engine("auto", precision, device) == (engine, precision, "cpu")


def test_another_device_is_for_torch(installed):
    assert choose_engine("auto", "float32", "meta").engine == "torch"
    with pytest.raises(ValueError, match="engine='onnx' runs on the CPU, got device='meta'"):
        choose_engine("onnx", "float32", "meta")


def test_a_stored_choice_counts_where_its_engine_is_installed(installed):
    store("openvino")
    assert choose_engine("auto", "float32", "auto").engine == "openvino"
    assert choose_engine("onnx", "float32", "auto").engine == "onnx"
    installed("onnx")
    assert choose_engine("auto", "float32", "auto").engine == "onnx"


def test_a_damaged_choice_is_told_and_passed_over(installed):
    store("steam")
    with pytest.warns(SkscanWarning, match="damaged .*'steam' is no engine"):
        assert choose_engine("auto", "float32", "auto").engine == "onnx"


def test_a_missing_engine_is_told_with_how_to_install_it(installed):
    installed()
    with pytest.raises(ImportError, match=r"engine='openvino' needs .* 'skscan\[openvino\]'"):
        choose_engine("openvino", "float32", "auto")
    with pytest.raises(ImportError, match=r"engine='onnx' needs .* 'onnxruntime'"):
        choose_engine("onnx", "float32", "auto")


def test_engine_and_precision_have_to_go_together(installed):
    with pytest.raises(ValueError, match="precision='bfloat16' is not what engine='onnx'"):
        choose_engine("onnx", "bfloat16", "auto")


def test_a_fitted_model_keeps_to_its_engine(installed):
    store("openvino")
    recorded = ("onnx", "float32")
    assert choose_engine("auto", "float32", "auto", recorded).engine == "onnx"
    # what is asked for after the fit counts more
    assert choose_engine("torch", "float32", "auto", recorded).engine == "torch"
    assert choose_engine("auto", "bfloat16", "auto", recorded).engine == "openvino"
    assert choose_engine("auto", "float32", "meta", recorded).engine == "torch"


@pytest.mark.parametrize("asked", ["auto", "openvino"])
def test_a_fitted_model_goes_on_without_its_engine(installed, asked):
    installed("onnx")
    with pytest.warns(SkscanWarning, match="fitted with engine='openvino'.* engine='onnx'"):
        found = choose_engine(asked, "bfloat16", "auto", ("openvino", "bfloat16"))
    assert found == ("onnx", "float32", "cpu")


def test_kept_features_tell_how_they_were_rounded(installed):
    extractor = TimmFeatureExtractor(device="cpu")
    assert engine_that_decides(extractor) == {}  # float32 is the same in all engines
    extractor.set_params(precision="bfloat16")
    assert engine_that_decides(extractor) == {"precision": "bfloat16", "engine": "openvino"}
    extractor.engine_, extractor.precision_ = "torch", "bfloat16"
    assert engine_that_decides(extractor) == {"precision": "bfloat16", "engine": "torch"}
    extractor.engine_ = "openvino"
    installed("onnx")
    with pytest.warns(SkscanWarning, match="fitted with engine='openvino'"):
        assert engine_that_decides(extractor) == {"precision": "float32", "engine": "onnx"}


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_the_precision_of_a_training_is_none_of_an_engine(precision):
    assert engine_that_decides(SimCLRFeatureExtractor(precision=precision)) == {}


@pytest.mark.parametrize("before", ["", "import torch; "])
def test_the_device_is_the_same_with_and_without_torch(before):
    code = (
        "from skscan._device import resolve_device; import sys; had = 'torch' in sys.modules\n"
        "device = resolve_device('auto'); has = 'torch' in sys.modules\n"
        "import torch; found = torch.cuda.is_available() or torch.backends.mps.is_available()\n"
        "assert (device != 'cpu') == found\n"
        "assert has == had or sys.platform == 'darwin' or found"
    )
    subprocess.run([sys.executable, "-c", before + code], check=True)
