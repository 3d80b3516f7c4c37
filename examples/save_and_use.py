"""
A folder of photos, a saved model
=================================

What ``skscan cluster`` and ``skscan predict`` do, from Python: sort a folder,
keep the model, and sort what comes later into the same classes, in another
process.
"""

# %%
# A folder. Yours would do: set `folder` to it. This one is made from
# scikit-learn's digits, with a damaged file among them.

import tempfile
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name, "photos")
folder.mkdir()
for number, image in enumerate(load_digits().images[:1000]):
    Image.fromarray((image * 15).astype("uint8")).save(
        folder / f"{number:04d}.png"
    )
_ = (folder / "damaged.png").write_bytes(b"no picture")

# %%
# Paths can be indexed, so scikit-learn's tools take them. A folder or a zip can
# be given to ``fit`` as it is.

from sklearn.model_selection import train_test_split

from skscan.images import list_images

known, new = train_test_split(list_images(folder), test_size=0.2, random_state=1)

# %%
# Damaged files are skipped, with a warning, which is kept quiet here; their
# cluster is -1.

import warnings

from skscan import SCANClusterer
from skscan.exceptions import SkippedImagesWarning

warnings.simplefilter("ignore", SkippedImagesWarning)
clusterer = SCANClusterer(n_clusters=10, random_state=0).fit(known)
for skipped in clusterer.skipped_:
    print(f"skipped {Path(skipped.name).name}: {skipped.reason}")
for cluster, prototype in enumerate(clusterer.prototype_indices_):
    size = (clusterer.labels_ == cluster).sum()
    print(
        f"cluster {cluster}: {size} images, most typical: {Path(known[prototype]).name}"
    )

# %%
# Save it
# -------
# A folder of safetensors and JSON: nothing in it is code, so that a model of a
# stranger can be loaded. The weights of the embedded backbone stay in their
# package.

import skscan

model = Path(scratch.name, "model")
skscan.save(clusterer, model)
for path in sorted(model.rglob("*")):
    if path.is_file():
        print(
            f"{path.relative_to(model).as_posix():32} {path.stat().st_size:>9,} bytes"
        )

# %%
# Use it
# ------
# Loaded again, it sorts new images, and says how sure it is.

loaded = skscan.load(model)
probabilities = loaded.predict_proba(new)

from skscan.plotting import ClusterDisplay

_ = ClusterDisplay.from_predictions(new, probabilities, n_images=10)

# %%
# The same from a terminal, for any language: ``skscan predict MODEL FOLDER``
# prints a table.

import shutil
import subprocess
import sys

arrived = Path(scratch.name, "arrived")
arrived.mkdir()
for path in new[:5]:
    _ = shutil.copy(path, arrived)
command = [
    sys.executable,
    "-m",
    "skscan",
    "predict",
    str(model),
    "arrived",
    "--quiet",
]
run = subprocess.run(
    command, capture_output=True, text=True, check=True, cwd=scratch.name
)
print(run.stdout)

# %%
# Serve it
# --------
# One file from images to probabilities, for programs without skscan and in any
# language: resizing and normalisation are inside. It is checked beside
# ``predict_proba`` before it is written. ``skscan export MODEL -o sorter.onnx``
# does the same.

from skscan.interop import export_onnx

export = export_onnx(loaded, Path(scratch.name, "sorter.onnx"), new)
print(f"{export.n_bytes / 1e6:.1f} MB")
print(
    f"checked on {export.n_checked} images: {export.label_agreement:.0%} of labels equal"
)

# %%
# ONNX Runtime is all that it takes to use the file: a batch of images of one
# size, in 8-bit RGB.

import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(export.path)
names = json.loads(session.get_modelmeta().custom_metadata_map["class_names"])
picture = np.asarray(Image.open(new[0]).convert("RGB"))
(served,) = session.run(None, {"images": picture[None]})
print(f"class {names[served[0].argmax()]}, probability {served[0].max():.2f}")
scratch.cleanup()
