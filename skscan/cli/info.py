"""``skscan info``: versions, device and backbone, or what is in a results folder."""

import json
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import typer

from skscan.cli import options
from skscan.cli.errors import WrongUse
from skscan.cli.features import describe_extractor
from skscan.cli.planning import features_of_trial, show_plan
from skscan.cli.predict import load_model
from skscan.cli.reporting import reports_errors
from skscan.cli.results import SUMMARY
from skscan.cli.terminal import escaped, say, say_json

EXAMPLES = """Examples:

\b
  skscan info
  skscan info photos-clusters
  skscan info --plan 1000000 -k 1000
  skscan info --plan 100000000 -k 1000 --n-features 768
  skscan info --plan 1000000 -k 1000 --features features.npy
  skscan info --json
"""

_MICRO_BATCH = 32
_TRUST = ("mean_confidence", "n_ambiguous", "n_outliers", "n_near_duplicates")
_PACKAGES = ("torch", "torchvision", "timm", "scikit-learn", "numpy", "pillow")


@reports_errors
def info(
    out: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="A results folder or saved model to look into."),
    ] = None,
    plan: Annotated[
        int | None,
        typer.Option(
            "--plan",
            metavar="N",
            parser=options.whole_number(2),
            help="Foretell what a fit on N samples takes here: a trial of a minute or more.",
        ),
    ] = None,
    n_clusters: Annotated[
        int,
        typer.Option(
            "-k",
            "--n-clusters",
            parser=options.whole_number(2),
            help="Number of clusters, planned.",
        ),
    ] = 10,
    n_features: Annotated[
        int | None,
        typer.Option(
            "--n-features",
            metavar="N",
            parser=options.whole_number(1),
            help="Plan from a matrix of so many features on, without extraction and report.",
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="FILE",
            parser=options.place,
            help="The same from this .npy file, or one of features like those planned: how long "
            "neighbors take to find depends on them.",
        ),
    ] = None,
    n_heads: Annotated[
        int, typer.Option(parser=options.whole_number(1), help="Number of heads, planned.")
    ] = 24,
    as_json: options.Json = False,
    quiet: options.OnlyResult = False,
) -> None:
    """Show versions, device, backbone and memory of training; with OUT, what is in that folder.

    With --plan, time, memory and disk of `skscan cluster`, or of a fit on features, are foretold
    for this machine, stage by stage.
    """
    if plan is None and (n_features is not None or features is not None):
        given = "--features" if n_features is None else "--n-features"
        raise WrongUse(f"{given} goes with --plan N: it says what is planned.")
    if n_features is not None and features is not None:
        raise WrongUse("--features FILE says how many features there are: leave out --n-features.")
    if plan is not None:
        if out is not None:
            raise WrongUse("--plan takes no OUT: it foretells a fit that is not there yet.")
        if plan < n_clusters:
            raise WrongUse(f"-k got {n_clusters}, takes at most the {plan} samples.")
        rows = None if features is None else features_of_trial(features, plan)
        show_plan(plan, n_clusters, n_heads, n_features, rows, as_json=as_json)
        return
    found = _environment() if out is None else _results(out)
    if as_json:
        say_json(found)
        return
    width = max(map(len, found)) + 2
    for name, value in found.items():
        say(f"{name.replace('_', ' '):<{width}} {escaped(_shown(value))}")


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _environment() -> dict[str, Any]:
    import torch

    import skscan
    from skscan._device import resolve_device

    return {
        "skscan": skscan.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in _PACKAGES},
        "device": resolve_device("auto"),
        "threads": torch.get_num_threads(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "backbone": options.EMBEDDED_BACKBONE,
        "backbone_trained_with": "ImageNet labels",
        **_memory_of_training(),
    }


def _memory_of_training() -> dict[str, str]:
    """Say what a step needs with the default network and batches of each stage."""
    from skscan import MoCoFeatureExtractor, SimCLRFeatureExtractor
    from skscan.networks.architecture import build_backbone
    from skscan.training import network_clustering, network_self_labeling
    from skscan.training.memory import moco_network, simclr_network, step_memory
    from skscan.training.momentum_contrast import LARGEST_QUEUE

    defaults, moco = SimCLRFeatureExtractor(), MoCoFeatureExtractor()
    architecture = {"stem": "cifar"}
    stages: dict[str, dict[str, Any]] = {
        "memory_of_a_simclr_step": {
            "make_network": simclr_network(architecture),
            "batch_size": defaults.batch_size,
        },
        "memory_of_a_moco_step": {
            "make_network": moco_network(moco.backbone, LARGEST_QUEUE),
            "image_size": moco.image_size,
            "batch_size": moco.batch_size,
            "n_views": 1,
            "n_views_without_gradient": 1,
        },
        "memory_of_a_scan_step": {  # heads are too small to count
            "make_network": lambda: build_backbone(architecture),
            "batch_size": network_clustering.AUTO_BATCH_SIZE,
            "optimizer": "adam",
        },
        "memory_of_a_self-label_step": {
            "make_network": lambda: build_backbone(architecture),
            "batch_size": network_self_labeling.AUTO_BATCH_SIZE,
            "optimizer": "adam",
            "n_views": 1,
            "n_views_without_gradient": 1,
        },
    }
    found = {}
    for name, own in stages.items():
        stage = {"image_size": defaults.image_size, **own}
        whole = step_memory(**stage).total
        parts = step_memory(micro_batch_size=_MICRO_BATCH, **stage).total
        found[name] = (
            f"{whole / 2**30:.1f} GiB ({stage['batch_size']} images of {stage['image_size']} px; "
            f"{parts / 2**30:.1f} GiB with micro_batch_size={_MICRO_BATCH})"
        )
    return found


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _results(out: Path) -> dict[str, Any]:
    from skscan.persistence import MODEL_FILE

    if (out / MODEL_FILE).is_file():
        return _model(out)
    clusterer = load_model(out)
    summary = json.loads((out / SUMMARY).read_text(encoding="utf-8"))
    return {
        "made_by_skscan": summary.get("skscan_version", "unknown"),
        "images": summary.get("n_images", "unknown"),
        "skipped": summary.get("n_skipped", "unknown"),
        "n_clusters": clusterer.n_clusters_,
        "cluster_sizes": summary.get("cluster_sizes", []),
        **{name: summary[name] for name in _TRUST if name in summary},
        "n_features": clusterer.n_features_in_,
        "features_from": describe_extractor(clusterer.feature_extractor_),
        "effort": clusterer.effort,
        "seed": summary.get("seed", "unknown"),
    }


def _model(folder: Path) -> dict[str, Any]:
    """Describe what `skscan.save` or ``skscan convert`` wrote."""
    from skscan.persistence import load

    model = load(folder)
    extractor = getattr(model, "feature_extractor_", model)
    found = {"kind": type(model).__name__}
    if extractor is not None:
        found["features_from"] = describe_extractor(extractor)
    for name in ("n_clusters_", "n_features_in_"):
        if hasattr(model, name):
            found[name.rstrip("_")] = getattr(model, name)
    return found
