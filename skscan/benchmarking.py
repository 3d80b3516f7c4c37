"""How fast each stage runs on this machine with these images, and what limits it."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from PIL import Image

from skscan._progress import announce
from skscan.images.collection import FileImages

__all__ = ["BenchmarkResult", "Stage", "generated_images", "measure", "sampled"]

#: Features of clusters that overlap, for the stages that see no images.
N_FEATURES, N_SAMPLES = 128, 4000
MAX_PLANNED = 500_000
"""Up to here neighbours are mined exactly, which the times for all images are scaled by."""

_BATCH = 32
_SIDE_OF_PRODUCT = 1536
_SECONDS_OF_ROUND = 0.4
_N_ROUNDS = 3
_WAITING = 0.05  # share of the time that is worth a remark
_FASTER = 1.15  # an engine that is worth a change
_LARGE_SHARE = 0.25


@dataclass(frozen=True)
class Stage:
    """What a stage does in a second.

    Attributes
    ----------
    name : str
    rate : float
        In `unit`.
    unit : str
    limit : float or None
        What the machine could do, in the same unit, if nothing else were to be done; None for
        stages of many small steps, where no single rate of the machine is one.
    limit_is : str
        How the limit was measured; empty where there is none.
    seconds : float or None
        What all images would take, if this stage were to wait for no other; None for those that
        run beside another one.
    """

    name: str
    rate: float
    unit: str
    limit: float | None
    limit_is: str
    seconds: float | None


@dataclass(frozen=True)
class BenchmarkResult:
    """What `measure` found.

    Attributes
    ----------
    n_images : int
        Images that seconds are of.
    n_sampled : int
        Images that were looked at.
    n_cores : int
    gflops : float
        Rate of a product of float32 matrices, in 10^9 operations a second.
    share_waiting : float
        Share of the time of extraction in which the network waited for images.
    stages : list of Stage
    engines : dict of str to float
        Images a second of the network alone, for each engine that runs here.
    engine : str
        The one that is used.
    advice : list of str
        What to change, the most useful first.
    """

    n_images: int
    n_sampled: int
    n_cores: int
    gflops: float
    share_waiting: float
    stages: list[Stage]
    engines: dict[str, float]
    engine: str
    advice: list[str] = field(default_factory=list)

    @property
    def shares(self) -> dict[str, float]:
        """Share of each stage in the time that all images take."""
        total = sum(stage.seconds or 0 for stage in self.stages)
        return {s.name: s.seconds / total for s in self.stages if s.seconds is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return everything as one object that can be written as JSON."""
        return {**asdict(self), "shares": self.shares}


def measure(
    paths: list[str],
    n_images: int,
    *,
    image_size: int = 128,
    n_clusters: int = 10,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> BenchmarkResult:
    """Run each stage on a sample and hold it against what the machine can do.

    Parameters
    ----------
    paths : list of str
        Image files to look at; some hundreds will do.
    n_images : int
        How many images the job will have; more than 500,000 count as so many.
    image_size : int, default=128
        Side in pixels of the pictures that the network sees.
    n_clusters : int, default=10
    n_jobs : int or None, default=None
        Workers that decode; see `TimmFeatureExtractor`.
    verbose : int, default=0
        1 says on stderr what is measured.

    Returns
    -------
    result : BenchmarkResult

    Raises
    ------
    ImageReadError
        If none of the images can be read.
    """
    n_images = min(n_images, MAX_PLANNED)
    n_cores = joblib.cpu_count()
    announce("matrix product …", verbose)
    gflops = _product_rate()
    announce("decoding …", verbose)
    decoding, readable = _decoding(paths, image_size, n_jobs, n_cores)
    announce("network …", verbose)
    engine, engines = _engine_rates(image_size)
    network = Stage("network", engines[engine], "images/s", max(engines.values()), "", None)
    network = _with_limit(network, engines)
    announce("extraction …", verbose)
    extraction, waiting = _extraction(paths, n_images, image_size, n_jobs, decoding, network)
    announce("features to classes …", verbose)
    others, graph = _sorting(n_images, n_clusters, gflops)
    announce("report …", verbose)
    stages = [decoding, network, extraction, *others, _report(paths, readable, n_images, graph)]
    result = BenchmarkResult(
        n_images, len(paths), n_cores, gflops, waiting, stages, engines, engine
    )
    return BenchmarkResult(**{**vars(result), "advice": _advice(result, image_size, n_jobs)})


def sampled(paths: list[str], n: int) -> list[str]:
    """Return up to `n` paths, evenly spread over all."""
    rows = np.linspace(0, len(paths) - 1, min(n, len(paths))).round().astype(int)
    return [paths[row] for row in np.unique(rows)]


@contextmanager
def generated_images(n: int) -> Iterator[list[str]]:
    """Write photograph-like JPEG files of 320 x 240 pixels to a temporary folder.

    Parameters
    ----------
    n : int

    Yields
    ------
    paths : list of str
    """
    random = np.random.RandomState(0)
    with tempfile.TemporaryDirectory(prefix="skscan-bench-") as folder:
        paths = [str(Path(folder, f"{number}.jpg")) for number in range(n)]
        for path in paths:
            coarse = Image.fromarray(random.randint(0, 256, (12, 16, 3)).astype(np.uint8))
            pixels = np.asarray(coarse.resize((320, 240), Image.Resampling.BICUBIC), dtype=float)
            pixels = np.clip(pixels + random.normal(0, 8, pixels.shape), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(path, quality=85)
        yield paths


def _product_rate() -> float:
    """10^9 operations a second of a float32 matrix product."""
    a = np.random.RandomState(0).standard_normal((_SIDE_OF_PRODUCT,) * 2).astype(np.float32)
    return max(2e-9 * _SIDE_OF_PRODUCT**3 / _seconds(lambda: a @ a) for _ in range(4))


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _decoding(
    paths: list[str], image_size: int, n_jobs: int | None, n_cores: int
) -> tuple[Stage, list[int]]:
    """Load all images and do nothing with them; also return those that can be read."""
    from skscan.exceptions import ImageReadError
    from skscan.images.loading import iter_batches
    from skscan.images.throughput import LoadingStatistics

    statistics = LoadingStatistics()
    readable: list[int] = []
    for batch in iter_batches(FileImages(paths), image_size, _BATCH, n_jobs, statistics):
        readable += batch.rows.tolist()
    if not readable:
        raise ImageReadError(f"none of the {len(paths)} images of the sample could be read")
    limit = n_cores * statistics.n_images / max(statistics.seconds_decoding, 1e-9)
    rate = statistics.images_per_second
    return Stage("decoding", rate, "images/s", max(limit, rate), "all cores at it", None), readable


def _engine_rates(image_size: int) -> tuple[str, dict[str, float]]:
    """Images a second of the network alone by each engine that is installed, rounds alternating."""
    from skscan.engines.base import ENGINES
    from skscan.engines.choice import choose_engine, is_installed
    from skscan.engines.opening import make_engine
    from skscan.extractors.backbones import EMBEDDED_BACKBONE, TimmSource

    source = TimmSource(EMBEDDED_BACKBONE, None, image_size)
    chosen = choose_engine("auto", "float32", "auto")
    shape = (_BATCH, image_size, image_size, 3)
    pixels = np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)
    ready = {}
    for name in ENGINES:
        # compiling takes half a minute: --tune has the patience
        if name != chosen.engine and (name == "compile" or not is_installed(name)):
            continue
        device = chosen.device if name == chosen.engine else "cpu"
        ready[name] = make_engine(source, name, "float32", device)
        ready[name](pixels)
    rates: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(_N_ROUNDS):
        for name, engine in ready.items():
            n, started = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - started) < _SECONDS_OF_ROUND:
                engine(pixels)
                n += len(pixels)
            rates[name].append(n / elapsed)
    return chosen.engine, {name: float(np.median(values)) for name, values in rates.items()}


def _with_limit(network: Stage, engines: dict[str, float]) -> Stage:
    fastest = max(engines, key=engines.__getitem__)
    return Stage(**{**vars(network), "limit_is": f"{fastest}, the fastest of {len(engines)}"})


def _extraction(
    paths: list[str],
    n_images: int,
    image_size: int,
    n_jobs: int | None,
    decoding: Stage,
    network: Stage,
) -> tuple[Stage, float]:
    """Decode and compute as `skscan cluster` does."""
    from skscan.exceptions import SkippedImagesWarning
    from skscan.extractors.timm import TimmFeatureExtractor
    from skscan.images.throughput import record_loading

    extractor = TimmFeatureExtractor(image_size=image_size, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SkippedImagesWarning)
        extractor.transform(np.zeros((_BATCH, image_size, image_size, 3), dtype=np.uint8))
        with record_loading() as statistics:
            extractor.extract(FileImages(paths))
    slower = min(decoding, network, key=lambda stage: stage.rate)
    rate = statistics.images_per_second
    limit_is = f"{slower.name} alone"
    stage = Stage("extraction", rate, "images/s", slower.rate, limit_is, n_images / rate)
    return stage, statistics.share_waiting


def _sorting(n_images: int, n_clusters: int, gflops: float) -> tuple[list[Stage], Any]:
    """Sort generated features; scale the times to as many as there are images."""
    from sklearn.datasets import make_blobs

    from skscan.clusterer import SCANClusterer

    X = make_blobs(N_SAMPLES, N_FEATURES, centers=n_clusters, cluster_std=4.0, random_state=0)[0]
    clusterer = SCANClusterer(n_clusters, random_state=0).fit(X.astype(np.float32))
    factor = n_images / N_SAMPLES
    taken = dict(clusterer.timings_)
    mining = taken.pop("mining")
    done = 2e-9 * N_SAMPLES**2 * N_FEATURES / mining
    stages = [
        Stage("mining", done, "GFLOP/s", gflops, "a matrix product", mining * factor**2),
    ]
    names = {"clustering": "heads", "self_labeling": "self-labelling"}
    rest = 0.0
    for name, seconds in taken.items():
        if name in names:
            stages.append(_scaled(names[name], seconds, factor))
        else:
            rest += seconds
    return [*stages, _scaled("scaling and evidence", rest, factor)], clusterer.neighbors_


def _scaled(name: str, seconds: float, factor: float) -> Stage:
    return Stage(name, N_SAMPLES / max(seconds, 1e-9), "images/s", None, "", seconds * factor)


def _report(paths: list[str], readable: list[int], n_images: int, graph: Any) -> Stage:
    """Make the thumbnails of some images, and the map of generated ones."""
    from skscan.report.map_layout import map_layout, sampled_affinity
    from skscan.report.thumbnails import SIDE, encode_thumbnail

    files = FileImages(paths)
    images = [files.read(row, min_side=SIDE) for row in readable[:100]]
    thumbnails = _seconds(lambda: [encode_thumbnail(image) for image in images]) / len(images)
    per_image = thumbnails + _seconds(lambda: map_layout(sampled_affinity(graph))) / N_SAMPLES
    return Stage("report", 1 / per_image, "images/s", None, "", n_images * per_image)


def _advice(result: BenchmarkResult, image_size: int, n_jobs: int | None) -> list[str]:
    """Say what would help, by what was measured."""
    from skscan.engines.choice import how_to_install, is_installed

    advice = []
    stages, shares = {stage.name: stage for stage in result.stages}, result.shares
    fastest = max(result.engines, key=result.engines.__getitem__)
    extraction = stages["extraction"]
    if extraction.limit is not None and extraction.rate < extraction.limit / 2:
        # two stages that share all cores evenly are half as fast as the slower one alone
        advice.append(
            f"measure once more: {extraction.rate:,.0f} images/s where {extraction.limit_is} makes "
            f"{extraction.limit:,.0f} means that other programs used the machine meanwhile"
        )
    gain = result.engines[fastest] / result.engines[result.engine]
    if gain > _FASTER:
        advice.append(
            f"`skscan bench --tune` makes {fastest} the engine: the network is {gain:.1f} times as "
            "fast with it"
        )
    if not is_installed("onnx") and not is_installed("openvino"):
        advice.append(f"{how_to_install('onnx')}: it mostly runs networks faster than torch does")
    if result.share_waiting > _WAITING:
        waiting = f"the network waits for images {result.share_waiting:.0%} of the time"
        if n_jobs is None and result.n_cores > 1:
            advice.append(f"{waiting}: try --jobs {result.n_cores}, a process for each core")
        elif stages["decoding"].rate < stages["network"].rate:
            advice.append(f"{waiting}: smaller files, or a faster disk, would help")
    if shares["extraction"] > 0.5 and image_size > 96:
        advice.append(
            f"--image-size {image_size * 3 // 4} saves nearly half of the network's work; try on a "
            "few images whether classes stay as good"
        )
    if shares["heads"] > _LARGE_SHARE:
        advice.append("--effort fast trains fewer heads")
    if shares["report"] > _LARGE_SHARE:
        advice.append("--no-report leaves the report out; `skscan report` makes it later")
    return advice
