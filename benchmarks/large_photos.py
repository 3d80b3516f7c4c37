"""Peak memory of the extraction of large photographs, under a hard limit of memory.

    python benchmarks/large_photos.py [--files 40 160] [--formats jpeg png] [--limit MIB]

Photographs of 6000 x 4000 pixels (72 MB each when decoded whole) are made on disk, each different.
For each number of files a new process extracts features with the embedded backbone, allowed no more
data than the limit (``RLIMIT_DATA``), and tells its peak resident size. Linux only.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

WIDTH, HEIGHT = 6000, 4000
#: What Pillow's `save` takes for each format.
FORMATS: dict[str, tuple[str, dict[str, object]]] = {
    "jpeg": (".jpg", {"quality": 90}),
    "progressive": (".jpg", {"quality": 90, "progressive": True}),
    "png": (".png", {"compress_level": 1}),
}


def write_photos(folder: Path, n: int, kind: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    """Write n pictures of coarse and fine structure."""
    from PIL import Image

    rng = np.random.RandomState(0)
    width, height = size
    grain = rng.randint(-12, 13, size=(height, width, 1), dtype=np.int8)
    suffix, settings = FORMATS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        coarse = Image.fromarray(rng.randint(20, 236, size=(16, 24, 3), dtype=np.uint8))
        pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC)).copy()
        shifted = np.roll(grain, rng.randint(0, 4000), axis=0)
        for rows in range(0, height, 500):  # wraps around here and there, which is structure too
            pixels[rows : rows + 500] += shifted[rows : rows + 500].view(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05d}{suffix}", **settings)


def extract(folder: Path, n: int, limit: int) -> dict[str, float]:
    """Extract features in this process, under the limit; return what it took, in MiB."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit * 2**20, limit * 2**20))
    from skscan import TimmFeatureExtractor
    from skscan.images import list_images

    paths = list_images(folder)[:n]
    extractor = TimmFeatureExtractor().fit(paths)
    loaded = peak()
    started = time.perf_counter()
    features = extractor.transform(paths)
    seconds = time.perf_counter() - started
    assert np.isfinite(features).all()
    return {"loaded": loaded, "peak": peak(), "images_per_second": n / seconds}


def peak() -> float:
    """Return the peak resident size of this process so far, in MiB."""
    # Not getrusage: its peak begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(folder: Path, n: int, limit: int) -> dict[str, float]:
    """Extract in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails, as it does where the limit does not suffice.
    """
    arguments = ["--extract", folder, "--files", n, "--limit", limit]
    done = subprocess.run(
        [sys.executable, __file__, *map(str, arguments)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"extraction under {limit} MiB failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, nargs="+", default=[40, 160])
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=["jpeg"])
    parser.add_argument("--limit", type=int, default=2048, help="MiB")
    parser.add_argument("--extract", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.extract is not None:
        print(json.dumps(extract(options.extract, options.files[0], options.limit)))
        return
    print(f"| format | files | on disk | decoded whole | peak, of at most {options.limit} MiB |")
    print("|---|---|---|---|---|")
    for kind in options.formats:
        with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
            write_photos(Path(folder), max(options.files), kind)
            sizes = [path.stat().st_size for path in sorted(Path(folder).iterdir())]
            for n in options.files:
                found = measure(Path(folder), n, options.limit)
                print(
                    f"| {kind} | {n} | {sum(sizes[:n]) / 1e6:,.0f} MB "
                    f"| {3e-9 * WIDTH * HEIGHT * n:.1f} GB | {found['peak']:.0f} MiB, "
                    f"{found['loaded']:.0f} before the first image |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
