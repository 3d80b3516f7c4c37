"""What importing costs, and in which direction imports run."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import skscan

PACKAGE = Path(skscan.__file__).parent

#: From the top to the bottom: a module imports only from its own layer or from lower ones.
LAYERS = [
    {"cli", "demo", "__main__"},
    {"serving", "benchmarking", "planning"},
    {"sharding"},
    {"report", "recipes", "plotting"},
    {"classifier"},
    {"_growing"},
    {"clusterer", "_cutting", "_fitted", "_trust", "persistence", "interop"},
    {"parts", "_features", "_matrices", "_gaps"},
    {"engines", "extractors", "training", "neighbors", "scaling", "spaces"},
    {"feature_store"},
    {"cluster_count", "merge_tree"},
    {"selection", "metrics", "evaluation", "label_spreading", "suggestion", "class_names"},
    {"calibration", "outliers"},
    {"graph", "duplicates", "prototypes", "constraints"},
    {"networks", "images"},
    {
        "exceptions",
        "_blocks",
        "_caching",
        "_cache_folder",
        "_html_repr",
        "_laws",
        "_principal_axes",
        "_progress",
        "_progress_lines",
        "_device",
        "_files",
        "_source",
        "_subset",
        "_threads",
        "_unit_rows",
    },
]


def loaded_modules(statement: str) -> set[str]:
    code = f"import sys; {statement}\nprint(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in run.stdout.split()}


def test_import_skscan_loads_nothing_heavy():
    assert not {"numpy", "torch", "sklearn", "PIL"} & loaded_modules("import skscan")


def test_importing_the_clusterer_does_not_load_torch():
    modules = loaded_modules("from skscan import SCANClusterer")
    assert not {"torch", "timm", "torchvision", "faiss", "skops"} & modules


def test_predicting_from_features_does_not_load_torch():
    modules = loaded_modules(
        "import numpy as np; from skscan import FeatureScaler;"
        "from skscan.networks.heads import LinearHeads;"
        "heads = LinearHeads(np.zeros((1, 2, 2), 'f'), np.zeros((1, 2), 'f'));"
        "heads.predict_proba(FeatureScaler(2).fit_transform(np.eye(4)))"
    )
    assert "torch" not in modules


@pytest.mark.parametrize("arguments", ["'--help'", "'serve', '--help'"])
def test_help_of_the_server_loads_nothing_heavy(arguments):
    modules = loaded_modules(
        "import contextlib, io; from skscan.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):\n"
        f"    main([{arguments}])\n"
        "import skscan.serving"
    )
    assert not {"torch", "sklearn", "starlette", "uvicorn", "anyio", "filelock"} & modules


def test_public_names():
    for name in skscan.__all__:
        assert getattr(skscan, name) is not None
    assert set(skscan.__all__) <= set(dir(skscan))
    with pytest.raises(AttributeError, match="has no attribute 'SCAN'"):
        skscan.SCAN  # noqa: B018


def layer(module: str) -> int:
    return next(i for i, names in enumerate(LAYERS) if module in names)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_imports_run_one_way(path):
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if own == "__init__":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "skscan" and len(parts) > 1:
                assert layer(parts[1]) >= layer(own), f"{own} imports {module}"
