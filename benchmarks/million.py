"""A million generated features in 1,000 classes, from a file to labels, within a limit of memory.

    python benchmarks/million.py                     10,000, 100,000 and 1,281,167 samples
    python benchmarks/million.py --sizes 10000       fewer
    python benchmarks/million.py --report            only the page and the plot, from what was run

Each size runs in a process of its own under a hard limit of its data (``ulimit -d``). Results of
every stage lie in the folder: a run that was killed goes on where it was. Of each stage the run
that finished it counts; what a killed run had spent on the stage that it did not finish is in no
figure. Beside wall seconds stand those of the processors, since others may use them too. The
classes are known, and serve the scores alone. Peer: scikit-learn's MiniBatchKMeans on the same
scaled features. Needs faiss (`pip install '.[faiss]'`) and Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks" / "million.md"
SIZES = (10_000, 100_000, 1_281_167)


def run(options: argparse.Namespace, n_samples: int, what: str) -> None:
    """Run one size where that was not done, with temporary files beside its results."""
    folder = options.folder / f"{n_samples}_{options.clusters}"
    if (folder / f"{what}.json").exists():
        return
    temporary = folder / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "million_parts.run", what, folder]
    command += ["--n", n_samples, "--clusters", options.clusters, "--heads", options.heads]
    command += ["--limit-gib", options.limit_gib]
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
    parser.add_argument("--limit-gib", type=float, default=6)
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write it, and its plot")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if not options.report:
        for n_samples in options.sizes:
            for what in ("fit", "plan", "compare"):
                run(options, n_samples, what)
    from million_parts.page import write_page

    folders = [options.folder / f"{n}_{options.clusters}" for n in sorted(options.sizes)]
    finished = [folder for folder in folders if (folder / "fit.json").exists()]
    if not finished:
        sys.exit(f"no size is finished in {options.folder}; run without --report first")
    write_page(options.page, finished)
    print(json.dumps({"page": str(options.page), "sizes": [folder.name for folder in finished]}))


if __name__ == "__main__":
    main()
