"""Prediction with ONNX Runtime needs no torch."""

import subprocess
import sys

import numpy as np
import pytest
from image_factory import write_pictures

import skscan
from skscan.engines import opening
from skscan.engines.choice import is_installed
from skscan.exceptions import SkscanWarning
from skscan.images import list_images

PREDICT = """
import sys
import numpy as np
import skscan

folder, image, out = sys.argv[1:]
model = skscan.load(folder)
np.save(out, model.predict_proba([image]))
loaded = {name for name in sys.modules if "." not in name}
print(sorted(loaded & {"torch", "torchvision", "timm", "onnx"}))
"""


@pytest.fixture(scope="module")
def model_and_image(tmp_path_factory):
    if not is_installed("onnx"):
        pytest.skip("onnxruntime is not installed")
    opening._open.clear()  # an engine of another test has its export in the cache of that test
    folder = tmp_path_factory.mktemp("serving")
    write_pictures(folder / "photos")
    paths = list_images(folder / "photos")
    extractor = skscan.TimmFeatureExtractor(image_size=32, device="cpu")
    model = skscan.SCANClusterer(2, feature_extractor=extractor, random_state=0).fit(paths)
    return skscan.save(model, folder / "model"), model, paths[0]


def test_a_loaded_model_predicts_without_torch(model_and_image, tmp_path):
    folder, model, image = model_and_image
    assert model.feature_extractor_.engine_ == "onnx"
    command = [sys.executable, "-c", PREDICT, str(folder), image, str(tmp_path / "found.npy")]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
    np.testing.assert_allclose(
        np.load(tmp_path / "found.npy"), model.predict_proba([image]), atol=1e-6
    )


def test_the_engine_is_part_of_a_saved_model(model_and_image):
    folder, _, _ = model_and_image
    loaded = skscan.load(folder).feature_extractor_
    assert (loaded.engine_, loaded.precision_) == ("onnx", "float32")


def test_a_loaded_model_goes_on_where_its_engine_is_missing(model_and_image, monkeypatch):
    folder, model, image = model_and_image
    from skscan.engines import choice

    monkeypatch.setattr(choice, "is_installed", {"torch", "compile"}.__contains__)
    with pytest.warns(SkscanWarning, match="fitted with engine='onnx'"):
        found = skscan.load(folder).predict_proba([image])
    np.testing.assert_allclose(found, model.predict_proba([image]), atol=1e-3)
