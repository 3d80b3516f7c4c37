"""A million generated features in 1,000 classes, from a file to labels, within a limit of memory.

    python benchmarks/million.py                     10,000, 100,000 and 1,281,167 samples
    python benchmarks/million.py --sizes 10000       fewer
    python benchmarks/million.py --latent 96         features whose neighbors are harder to find
    python benchmarks/million.py --report            only the page and the plot, from what was run

Each size runs in a process of its own under a hard limit of its data (``ulimit -d``). Results of
every stage lie in the folder: a run that was killed goes on where it was. Of each stage the run
that finished it counts; what a killed run had spent on the stage that it did not finish is in no
figure. Beside wall seconds stand those of the processors, since others may use them too. The
classes are known, and serve the scores alone. Peer: scikit-learn's MiniBatchKMeans on the same
scaled features. With 24 latent dimensions the features are about as hard to search as those of
real images, with 96 much harder (`benchmarks/dimension.py`). Needs faiss (`pip install '.[faiss]'`)
and Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGES = HERE.parent / "docs" / "benchmarks"
LATENT = 24
SIZES = (10_000, 100_000, 1_281_167)


def folder_of(options: argparse.Namespace, n_samples: int) -> Path:
    """Return where the results of one size lie."""
    return options.folder / f"{n_samples}_{options.clusters}_{options.latent}"


def run(options: argparse.Namespace, n_samples: int, what: str) -> None:
    """Run one size where that was not done, with temporary files beside its results."""
    folder = folder_of(options, n_samples)
    if (folder / f"{what}.json").exists():
        return
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "million_parts.run", what, folder]
    command += ["--n", n_samples, "--clusters", options.clusters, "--heads", options.heads]
    command += ["--latent", options.latent, "--limit-gib", options.limit_gib]
    paths = [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(paths)}
    subprocess.run(list(map(str, command)), env=environment, check=True)


def main() -> None:
    """Run all sizes and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("million"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--heads", type=int, default=10)
    parser.add_argument("--latent", type=int, default=LATENT, help="dimensions of the classes")
    parser.add_argument("--limit-gib", type=float, default=6)
    parser.add_argument("--page", type=Path, help="where to write it, and its plot")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        for n_samples in options.sizes:
            for what in ("fit", "plan", "compare"):
                run(options, n_samples, what)
    from million_parts.page import Size, write_page

    begun = [n for n in sorted(options.sizes) if (folder_of(options, n) / "stages.jsonl").exists()]
    if not begun:
        sys.exit(f"no size was run in {options.folder}; run without --report first")
    usual = "million.md" if options.latent == LATENT else f"million_{options.latent}.md"
    page = options.page or PAGES / usual
    sizes = [Size(n, folder_of(options, n)) for n in begun]
    write_page(page, sizes, options.clusters, options.heads, options.latent)
    print(json.dumps({"page": str(page), "sizes": begun}))


if __name__ == "__main__":
    main()
