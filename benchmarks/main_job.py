"""The main job, images in a zip to classes and a report, beside the plain way, start-up included.

    python benchmarks/main_job.py                       13,000 images of STL-10, one round
    python benchmarks/main_job.py --n 3000 --rounds 3   every fourth image, alternating rounds
    python benchmarks/main_job.py --grow --n 3000       a zip, and 1 % more images in it later

The plain way is `benchmarks/plain_job.py`: the same network and sizes, as many heads. Both are
commands in processes of their own. `--grow` runs skscan alone: on a zip of 99 % of the images, then
on all of them, with what the first run has left in the cache: `skscan update`, which keeps the
classes, and `skscan cluster`, which finds them anew. Shares are of skscan's own time. Beside the
seconds stand those of all processors, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
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
    "loading": "loading the model",
    "extraction": "decoding and network",
    "sorting": "decoding, network and sorting",
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
    started, used = time.perf_counter(), processor_seconds()
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
    seconds |= {"total": wall, "processors": processor_seconds() - used}
    return seconds


def processor_seconds() -> float:
    """Give what all ended child processes have used of the processors."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def skscan(images: Path, out: Path, cache: Path) -> dict[str, float]:
    """Sort images by the command line."""
    return command_line(["cluster", str(images), "-k", "10", "-o", str(out)], cache)


def command_line(arguments: list[str], cache: Path) -> dict[str, float]:
    """Run the command line."""
    return run([sys.executable, "-m", "skscan", *arguments, "--json", "--quiet"], cache)


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
    """Run on a zip, add 1 % of images, and run again, in both ways."""
    archive, names = entries(options.n)
    later = set(names[50::100])
    images, cache = work / "photos.zip", work / "cache"
    part_of(archive, [name for name in names if name not in later], images)
    first = skscan(images, work / "out", cache)
    part_of(archive, names, images)
    kept = []
    for number in range(options.rounds):  # each begins with the results of the first run
        shutil.copytree(work / "out", work / f"kept-{number}")
        shutil.rmtree(forgotten := work / "cache-of-round", ignore_errors=True)
        shutil.copytree(cache, forgotten)
        kept.append(command_line(["update", str(work / f"kept-{number}")], forgotten))
    anew = skscan(images, work / "out", cache)
    update = min(kept, key=lambda seconds: seconds["total"])
    print(f"{len(names)} images of STL-10, {len(later)} of them added later; load", end=" ")
    print(f"{os.getloadavg()[0]:.1f}; the fastest of {options.rounds} updates\n")
    print("| stage | first run, s | update, s | anew, s |")
    print("|---|---|---|---|")
    ways = (first, update, anew)
    for name, title in STAGES.items():
        if any(name in way for way in ways):
            print(f"| {title} |", " | ".join(f"{way.get(name, 0):.2f}" for way in ways), "|")
    for name, title in (("total", "all, start-up included"), ("processors", "of all processors")):
        print(f"| {title} |", " | ".join(f"{way[name]:.2f}" for way in ways), "|")
        shares = [way[name] / first[name] for way in ways]
        print("| share of the first run |", " | ".join(f"{share:.1%}" for share in shares), "|")
    return {"n_images": len(names), "n_added": len(later), "first": first, "updates": kept} | {
        "anew": anew
    }


def main() -> None:
    """Print the times and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=13_000, help="images, evenly spread")
    parser.add_argument("--rounds", type=int, default=1, help="of both ways, or of the update")
    parser.add_argument("--grow", action="store_true", help="run again with 1 %% more images")
    parser.add_argument("--json", type=Path, help="write all times to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = (grow if options.grow else compare)(options, Path(folder))
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
