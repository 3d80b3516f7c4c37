"""``skscan convert``: checkpoints and lists of neighbors of the authors' code, in and out."""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from skscan.cli import options
from skscan.cli.errors import CommandFailed, WrongUse
from skscan.cli.reporting import reports_errors
from skscan.cli.results import MODEL, is_results_folder
from skscan.cli.tables import check_output_file
from skscan.cli.terminal import escaped, only_results_on_stdout, say, say_json

if TYPE_CHECKING:
    import numpy as np

    from skscan.interop import ScanCheckpoint

EXAMPLES = """Examples:

\b
  skscan convert simclr_cifar-10.pth.tar -o simclr --stem cifar
  skscan convert scan_stl-10.pth.tar -o scan --stem stl     # then: skscan predict scan photos
  skscan convert moco_v2_800ep_pretrain.pth.tar -o moco
  skscan convert scan -o scan.pth.tar                       # and back
  skscan convert topk-train-neighbors.npy -o neighbors.npz
"""

_NEIGHBOR_FILES = {".npy": ".npz", ".npz": ".npy"}


class Target(StrEnum):
    """Whose format to write."""

    SKSCAN = "skscan"
    SCAN = "scan"


class Stem(StrEnum):
    """Which network for small images."""

    CIFAR = "cifar"
    STL = "stl"


class Kind(StrEnum):
    """Which of the authors' files to write."""

    PRETEXT = "pretext"
    SCAN = "scan"
    SELF_LABEL = "self-label"


_NAMED_NORMALIZATIONS = ("cifar10", "cifar100", "imagenet")
_COLORS = 3


def _normalization(text: str) -> Any:
    """Parse the name of a data set, or numbers: ``R,G,B/R,G,B``."""
    if text in _NAMED_NORMALIZATIONS:
        return text
    try:
        mean, std = (tuple(map(float, part.split(","))) for part in text.split("/"))
        if len(mean) != _COLORS or len(std) != _COLORS or min(std) <= 0:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"got {text!r}, takes {', '.join(_NAMED_NORMALIZATIONS)}, or mean and standard "
            "deviation of each color for pixels in 0..1: 0.49,0.48,0.45/0.25,0.24,0.26"
        ) from None
    return mean, std


@reports_errors
def convert(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=options.place,
            help="A checkpoint (.pth.tar) or list of neighbors (.npy) of the authors' code, or a "
            "model folder or neighbor graph (.npz) of skscan.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            parser=options.place,
            help="Where to write: a folder for a model of skscan, otherwise a file.",
        ),
    ],
    to: Annotated[
        Target | None,
        typer.Option(
            "--to",
            help="Whose format to write.  [default: the other one than that of FILE]",
        ),
    ] = None,
    kind: Annotated[
        Kind | None,
        typer.Option(
            "--kind",
            help="Which of the authors' files to write.  [default: 'scan' with cluster heads, "
            "otherwise 'pretext']",
        ),
    ] = None,
    stem: Annotated[
        Stem | None,
        typer.Option(
            "--stem",
            help="Which network for small images FILE holds, which it cannot tell: that of "
            "CIFAR-10 and CIFAR-100-20, or that of STL-10.",
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            metavar="N",
            parser=options.whole_number(1, 1024),
            help="Side in pixels of the network's images.  [default: 32, 96 or 224, as the network "
            "is]",
        ),
    ] = None,
    normalization: Annotated[
        Any,
        typer.Option(
            "--normalization",
            metavar="NAME|R,G,B/R,G,B",
            parser=_normalization,
            help="Mean and standard deviation of the network's images: those of cifar10, cifar100 "
            "or imagenet, or as numbers for pixels in 0..1.  [default: cifar10 with --stem cifar, "
            "otherwise imagenet]",
        ),
    ] = None,
    features: Annotated[
        Path | None,
        typer.Option(
            "--features",
            metavar="NPY",
            help="Features, a matrix with a row for each image, to compute the distances of "
            "neighbors from; without them the graph holds their places in the list.",
        ),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Convert files of the authors' code of SCAN, and the file of MoCo-v2, to skscan and back.

    A model that is written can be loaded by skscan.load: a feature extractor, or a clusterer where
    FILE has cluster heads. Files are read without running code that may be in them, and each entry
    has to be known: what became of it is shown, in full with --json.
    """
    if not file.exists():
        raise WrongUse(f"no such file or folder: {file}")
    network_options = {"--stem": stem, "--image-size": image_size, "--normalization": normalization}
    if file.suffix in _NEIGHBOR_FILES and file.is_file():
        _refuse("a list of neighbors", {**network_options, "--kind": kind})
        result = _convert_neighbors(file, out, to, features)
    elif file.is_dir():
        _refuse("a folder", {**network_options, "--features": features})
        if to is Target.SKSCAN:
            raise WrongUse(f"{file} is a model of skscan already; --to takes scan here")
        result = _export_model(file, out, kind)
    else:
        _refuse("a checkpoint", {"--features": features})
        checkpoint = _load(file, stem, image_size, normalization)
        if to is Target.SCAN:
            result = _described(checkpoint) | _export(checkpoint, out, kind)
        else:
            _refuse("--to skscan", {"--kind": kind})
            result = _described(checkpoint) | _import(checkpoint, out)
    result = {"file": str(file), "out": str(out), **result}
    if as_json:
        say_json(result)
    elif not quiet:
        _print(result)


def _refuse(case: str, values: dict[str, object]) -> None:
    for option, value in values.items():
        if value is not None:
            raise WrongUse(f"{option} means nothing with {case}")


def _load(
    file: Path, stem: Stem | None, image_size: int | None, normalization: Any
) -> "ScanCheckpoint":
    from skscan.exceptions import ModelFileError
    from skscan.interop import load_scan_checkpoint

    try:
        return load_scan_checkpoint(
            file,
            None if stem is None else stem.value,
            image_size=image_size,
            normalization=normalization,
        )
    except ModelFileError:
        raise
    except ValueError as error:
        raise WrongUse(f"{error} (option --stem)") from error


def _import(checkpoint: "ScanCheckpoint", out: Path) -> dict[str, Any]:
    import skscan

    if out.exists() and not out.is_dir():
        raise WrongUse(f"-o {out} is a file; a model is written to a folder")
    if out.is_dir() and any(out.iterdir()) and not (out / "model.json").is_file():
        raise WrongUse(f"-o {out} is not empty and holds no model of skscan; choose another folder")
    estimator = checkpoint.to_estimator()
    with only_results_on_stdout():
        skscan.save(estimator, out)
    return {"written": type(estimator).__name__}


def _export_model(folder: Path, out: Path, kind: Kind | None) -> dict[str, Any]:
    import skscan
    from skscan.interop import network_and_heads

    model = skscan.load(folder / MODEL if is_results_folder(folder) else folder)
    written = _export(model, out, kind)
    network = network_and_heads(model)[0]
    images = {name: getattr(network, name) for name in ("image_size", "resize", "mean", "std")}
    return {"model": type(model).__name__, "architecture": network.architecture} | images | written


def _export(model: Any, out: Path, kind: Kind | None) -> dict[str, Any]:
    from skscan.interop import save_scan_checkpoint

    check_output_file(out)
    try:
        save_scan_checkpoint(model, out, None if kind is None else kind.value)
    except TypeError as error:
        raise CommandFailed(str(error)) from error
    return {"written": "checkpoint of SCAN"}


def _convert_neighbors(
    file: Path, out: Path, to: Target | None, features: Path | None
) -> dict[str, Any]:
    from skscan.interop import load_neighbors, read_graph, save_neighbors, write_graph

    ours = file.suffix == ".npz"
    if to is (Target.SKSCAN if ours else Target.SCAN):
        raise WrongUse(f"{file} is a file of {to.value} already; leave --to out")
    if out.suffix != _NEIGHBOR_FILES[file.suffix]:
        raise WrongUse(f"-o {out}: the name must end in {_NEIGHBOR_FILES[file.suffix]}")
    check_output_file(out)
    if ours:
        _refuse("a graph", {"--features": features})
        graph = read_graph(file)
        save_neighbors(graph, out)
    else:
        graph = load_neighbors(file, None if features is None else _read_features(features))
        write_graph(graph, out)
    return {
        "n_samples": graph.shape[0],
        "n_entries": int(graph.nnz),
        "written": "list of neighbors of SCAN" if ours else "neighbor graph",
    }


def _read_features(path: Path) -> "np.ndarray":
    import numpy as np

    if path.suffix != ".npy" or not path.is_file():
        raise WrongUse(f"--features {path}: there is no such .npy file")
    return np.load(path, allow_pickle=False)


def _described(checkpoint: "ScanCheckpoint") -> dict[str, Any]:
    network, heads, report = checkpoint.network, checkpoint.heads, checkpoint.report
    return {
        "kind": checkpoint.kind,
        "architecture": network.architecture,
        "n_features": network.n_features(),
        "image_size": network.image_size,
        "resize": network.resize,
        "mean": network.mean,
        "std": network.std,
        "n_heads": 0 if heads is None else len(heads),
        "n_clusters": None if heads is None else heads.n_clusters,
        "best_head": None if heads is None else checkpoint.best_head,
        "keys": {
            "loaded": report.loaded,
            "ignored": report.ignored,
            "missing": list(report.missing),
        },
    }


def _print(result: dict[str, Any]) -> None:
    rows = {"file": escaped(result["file"])}
    if "architecture" in result:
        rows["network"] = _named(result["architecture"])
        rows["images"] = (
            f"{result['image_size']} px, mean {_numbers(result['mean'])}, "
            f"standard deviation {_numbers(result['std'])}"
        )
    if "model" in result:
        stem = result["architecture"]["stem"] if isinstance(result["architecture"], dict) else None
        rows["note"] = (
            "OUT has no place for what its images are like; to convert it back, add "
            f"{f'--stem {stem} ' if stem else ''}--image-size {result['image_size']} "
            "--normalization "
            f"{'/'.join(','.join(map(repr, result[part])) for part in ('mean', 'std'))}"
        )
    if "kind" in result:
        rows["kind"] = result["kind"]
        rows["features"] = str(result["n_features"])
        if result["n_heads"]:
            rows["heads"] = (
                f"{result['n_heads']} with {result['n_clusters']} clusters, the best is number "
                f"{result['best_head']}"
            )
        keys = result["keys"]
        parts = Counter(ours.split(".")[0] for ours in keys["loaded"].values())
        rows["loaded"] = _counts(parts) or "nothing"
        rows["ignored"] = _counts(Counter(keys["ignored"].values())) or "nothing"
        rows["missing"] = (
            f"{len(keys['missing'])} counts of batches, set to 0" if keys["missing"] else "nothing"
        )
    if "n_samples" in result:
        rows["neighbors"] = f"{result['n_entries']:,} for {result['n_samples']:,} samples"
    rows["results"] = f"{escaped(result['out'])} ({result['written']})"
    for title, text in rows.items():
        say(f"{title:<10} {text}")


def _named(architecture: Any) -> str:
    if isinstance(architecture, str):
        return architecture
    return f"SmallResNet({', '.join(f'{name}={value}' for name, value in architecture.items())})"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _counts(parts: Counter[str]) -> str:
    return ", ".join(f"{number} x {part}" for part, number in parts.items())
