"""The main job, images in a zip to classes and a report, beside the plain way, start-up included.

    python benchmarks/main_job.py                       13,000 images of STL-10, one round
    python benchmarks/main_job.py --n 3000 --rounds 3   every fourth image, alternating rounds
    python benchmarks/main_job.py --grow --n 3000       a folder, and 1 % more images in it later

The plain way is `benchmarks/plain_job.py`: the same network and sizes, as many heads. Both are
commands in processes of their own. `--grow` runs skscan alone: on a folder of 99 % of the images,
then on all of them, with what the first run has left in the cache. Shares are of skscan's own time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import image_paths

PLAIN = Path(__file__).with_name("plain_job.py")
#: Stages by what they are called in the table; the rest of the time is start-up and writing.
STAGES = {
    "listing": "listing",
    "extraction": "decoding and network",
    "scaling": "scaling",
    "mining": "mining",
    "clustering": "clustering",
    "self_labeling": "self-labelling",
    "evidence": "evidence",
    "contact_sheets": "contact sheets",
    "saving": "saving",
    "report": "report",
}


def run(command: list[str], cache: Path) -> dict[str, float]:
    """Run a command that prints a JSON object with its seconds; add those of the whole process."""
    started = time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=os.environ | {"SKSCAN_CACHE": str(cache)},
        check=False,
    )
    wall = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    seconds: dict[str, float] = json.loads(done.stdout)["seconds"]
    seconds["total"] = wall
    return seconds


def skscan(images: Path, out: Path, cache: Path) -> dict[str, float]:
    """Run the command line."""
    command = ["cluster", str(images), "-k", "10", "-o", str(out), "--json", "--quiet"]
    return run([sys.executable, "-m", "skscan", *command], cache)


def entries(n: int) -> tuple[Path, list[str]]:
    """Give the zip and the names of about `n` of its images, evenly spread."""
    paths = image_paths("stl10")[0]
    archive = Path(paths[0][: paths[0].index(".zip") + 4])
    names = [path[len(str(archive)) + 1 :] for path in paths]
    chosen = np.unique(np.linspace(0, len(names) - 1, min(n, len(names))).round().astype(int))
    return archive, [names[i] for i in chosen]


def part_of(archive: Path, names: list[str], target: Path) -> Path:
    """Write some of the images of a zip to another, as they are."""
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as file:
        for name in names:
            file.writestr(name, source.read(name))
    return target


def unpack(archive: Path, names: list[str], folder: Path) -> None:
    """Write some of the images of a zip to a folder."""
    with zipfile.ZipFile(archive) as source:
        for name in names:
            source.extract(name, folder)


def compare(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Alternate the two; return medians and spread."""
    archive, names = entries(options.n)
    images = part_of(archive, names, work / "images.zip")
    rounds: list[tuple[dict[str, float], dict[str, float]]] = []
    for number in range(options.rounds):
        ours = skscan(images, work / f"ours-{number}", work / f"cache-{number}")
        command = [sys.executable, str(PLAIN), str(images), str(work / f"plain-{number}")]
        rounds.append((ours, run(command, work)))
        totals = [seconds["total"] for seconds in rounds[-1]]
        print(f"round {number + 1}: {totals[0]:.1f} s, {totals[1]:.1f} s", flush=True)
    ratios = [plain["total"] / ours["total"] for ours, plain in rounds]
    print(
        f"\n{len(names)} images of STL-10, {options.rounds} rounds, load {os.getloadavg()[0]:.1f}\n"
    )
    print("| stage | skscan, s | share | plain way, s |")
    print("|---|---|---|---|")
    median = [
        {name: float(np.median([r[way].get(name, 0.0) for r in rounds])) for name in STAGES}
        for way in (0, 1)
    ]
    totals = [float(np.median([r[way]["total"] for r in rounds])) for way in (0, 1)]
    for name, title in STAGES.items():
        ours, plain = median[0][name], median[1][name]
        print(f"| {title} | {ours:.2f} | {ours / totals[0]:.1%} | {plain:.2f} |")
    rest = [total - sum(stages.values()) for total, stages in zip(totals, median, strict=True)]
    print(f"| start-up and the rest | {rest[0]:.2f} | {rest[0] / totals[0]:.1%} | {rest[1]:.2f} |")
    print(f"| all | {totals[0]:.1f} | | {totals[1]:.1f} |")
    print(f"\nratio {np.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})")
    return {"n_images": len(names), "rounds": rounds, "ratios": ratios}


def grow(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run on a folder, add 1 % of images, and run again."""
    archive, names = entries(options.n)
    later = names[50::100]
    unpack(archive, [name for name in names if name not in set(later)], work / "photos")
    first = skscan(work / "photos", work / "out", work / "cache")
    unpack(archive, later, work / "photos")
    again = skscan(work / "photos", work / "out", work / "cache")
    print(f"{len(names)} images of STL-10, {len(later)} of them added later")
    for name, title in STAGES.items():
        print(f"{title:22s} {first.get(name, 0):8.2f} s {again.get(name, 0):8.2f} s")
    print(f"{'all':22s} {first['total']:8.2f} s {again['total']:8.2f} s")
    print(f"the second run takes {again['total'] / first['total']:.1%} of the first")
    return {"n_images": len(names), "n_added": len(later), "first": first, "again": again}


def main() -> None:
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=13_000, help="images, evenly spread")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--grow", action="store_true", help="run again with 1 %% more images")
    parser.add_argument("--json", type=Path, help="write all times to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = (grow if options.grow else compare)(options, Path(folder))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
