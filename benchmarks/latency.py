"""How long small things take: an import, one image, a thousand ready features.

    python benchmarks/latency.py
    python benchmarks/latency.py --rounds 20

A model is fitted on photographs that are generated, saved, and loaded in a fresh process, as a user
of it would. "Beside scikit-learn" is the import of `SCANClusterer` less that of `sklearn.cluster`,
in processes that alternate. Medians, and in brackets the least and the most.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

IMPORTS = {"sklearn": "import sklearn.cluster", "skscan": "from skscan import SCANClusterer"}

PREDICTIONS = """
import json, sys, time
import skscan
model = skscan.load(sys.argv[1])
rounds, found = int(sys.argv[3]), []
for _ in range(rounds + 1):
    start = time.perf_counter()
    model.predict([sys.argv[2]])
    found.append(1000 * (time.perf_counter() - start))
print(json.dumps({"first": found[0], "later": found[1:], "torch": "torch" in sys.modules}))
"""


def milliseconds_of_imports(rounds: int) -> dict[str, list[float]]:
    """Time whole processes that do nothing but import."""
    found: dict[str, list[float]] = {name: [] for name in IMPORTS}
    for _ in range(rounds):
        for name, code in IMPORTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True)
            found[name].append(1000 * (time.perf_counter() - start))
    return found


def milliseconds_of_an_image(folder: Path, rounds: int) -> dict:
    """Time `predict` on one photograph in a fresh process, whose first call loads the network."""
    from PIL import Image

    from skscan import SCANClusterer, TimmFeatureExtractor, save

    rng = np.random.RandomState(0)
    paths = []
    for i in range(40):
        coarse = Image.fromarray(rng.randint(0, 256, (6, 8, 3), dtype=np.uint8))
        paths.append(str(folder / f"{i}.jpg"))
        coarse.resize((640, 480)).save(paths[-1])
    extractor = TimmFeatureExtractor(engine="onnx")
    model = SCANClusterer(2, feature_extractor=extractor, random_state=0).fit(paths)
    save(model, folder / "model")
    command = [sys.executable, "-c", PREDICTIONS, str(folder / "model"), paths[0], str(rounds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def milliseconds_of_features(rounds: int, n_features: int) -> list[float]:
    """Time `predict` of 1,000 rows of ready features."""
    from sklearn.datasets import make_blobs

    from skscan import SCANClusterer

    X, _ = make_blobs(2000, n_features, centers=10, random_state=0)
    X = X.astype(np.float32)
    model = SCANClusterer(10, effort="fast", random_state=0).fit(X)
    found = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        model.predict(X[:1000])
        found.append(1000 * (time.perf_counter() - start))
    return found[1:]


def spread(values: list[float]) -> str:
    """Median, and the least and the most."""
    return f"{np.median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    print("| | ms |")
    print("|---|---|")
    imports = milliseconds_of_imports(options.rounds)
    for name, values in imports.items():
        print(f"| `{IMPORTS[name]}`, with the start of Python | {spread(values)} |", flush=True)
    differences = np.subtract(imports["skscan"], imports["sklearn"]).tolist()
    print(f"| beside scikit-learn | {spread(differences)} |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        image = milliseconds_of_an_image(Path(folder), options.rounds)
    loaded = "with" if image["torch"] else "without"
    print(
        f"| `predict` of one JPEG of 640 x 480, first call, {loaded} torch | {image['first']:.1f} |"
    )
    print(f"| later calls | {spread(image['later'])} |", flush=True)
    for n_features in (1280, 128):
        found = milliseconds_of_features(options.rounds, n_features)
        print(f"| `predict` of 1,000 x {n_features} features | {spread(found)} |", flush=True)


if __name__ == "__main__":
    main()
