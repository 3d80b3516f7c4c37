"""How good the clusters are beside other methods', all on the same features in one run.

    python benchmarks/quality.py                      the quick tier: at most 40 minutes on 2 cores
    python benchmarks/quality.py --tier full          every set whole, 5 seeds: days
    python benchmarks/quality.py --tier full --seeds 2     the first two seeds only
    python benchmarks/quality.py --report             only the table and the plot, from what was run
    python benchmarks/quality.py --methods skscan --again     those cells once more

Each cell (set, method, seed) is run in a process with a time limit, and its result is added to
docs/benchmarks/quality-TIER.jsonl; a run that was broken off goes on where it stood. Beside it the
table (.md) and the plot (.svg) are written. Methods whose package is not installed
(`pip install '.[bench]'`) are recorded as unavailable.

Features are those of the embedded backbone EfficientNet-Lite0, which was trained on ImageNet WITH
labels (STL-10's images come from ImageNet), or pixels where the name of the set says so. Their
extraction is not part of any time given here. Labels of the sets serve the scores alone.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)
FOLDER = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


def main() -> None:
    """Run what is not finished of a tier, then write the table and the plot."""
    options = parse_arguments()
    from quality_parts.methods import METHODS
    from quality_parts.problems import PROBLEMS
    from quality_parts.report import write_report
    from quality_parts.results import Cell, Record, ResultsFile
    from quality_parts.run import open_cells, run_cells
    from quality_parts.tiers import TIERS

    check_names("--methods", options.methods, METHODS)
    check_names("--sets", options.sets, PROBLEMS)
    results = ResultsFile(options.results or FOLDER / f"quality-{options.tier}.jsonl")
    tier = TIERS[options.tier]
    if not options.report:
        cells = list(tier.cells(options.methods or METHODS, options.sets or PROBLEMS))
        if options.seeds is not None:
            cells = [cell for cell in cells if cell.seed < options.seeds]
        if not options.again:
            cells = open_cells(cells, results, options.retry)
        there = available({cell.problem for cell in cells})
        cells = [cell for cell in cells if cell.problem in there]
        for variable in THREAD_VARIABLES:  # workers inherit them before they load any library
            os.environ[variable] = str(options.threads)
        count = iter(range(1, len(cells) + 1))

        def tell(cell: Cell, record: Record) -> None:
            told = f"{100 * record['accuracy']:.1f} %" if "accuracy" in record else record["reason"]
            print(f"{next(count)}/{len(cells)} {' | '.join(map(str, cell))}: {told}", flush=True)

        run_cells(
            cells,
            METHODS,
            results,
            n_samples=tier.n_samples,
            limit=options.limit or tier.limit,
            minutes=options.minutes or tier.minutes,
            jobs=options.jobs,
            tell=tell,
        )
    for path in write_report(results, options.tier, METHODS):
        print(path)


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tier", choices=["quick", "full"], default="quick")
    parser.add_argument("--methods", nargs="+", metavar="METHOD", help="only these")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="only these")
    parser.add_argument("--seeds", type=positive, help="at most so many seeds")
    parser.add_argument("--report", action="store_true", help="run nothing, only write the report")
    parser.add_argument("--again", action="store_true", help="also what was run before")
    parser.add_argument("--retry", action="store_true", help="also what failed before")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time (default: 2)")
    parser.add_argument("--threads", type=int, default=1, help="threads for each (default: 1)")
    parser.add_argument("--limit", type=float, help="seconds for a cell")
    parser.add_argument("--minutes", type=float, help="for the whole run")
    parser.add_argument("--results", type=Path, help="file of results; the report lies beside it")
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def check_names(argument: str, names: list[str] | None, known: dict[str, object]) -> None:
    """Exit with the names that can be chosen from, where one is not among them."""
    for name in names or ():
        if name not in known:
            sys.exit(f"{argument} got {name!r}; choose from: {'; '.join(known)}")


def available(names: set[str]) -> set[str]:
    """Load each set once, so that its features are extracted; return those that are there."""
    from datasets import MissingDataError
    from quality_parts.problems import PROBLEMS

    there = set()
    for name in PROBLEMS:
        if name in names:
            try:
                PROBLEMS[name].load()
            except MissingDataError as error:
                print(f"{name}: not run, {error}", file=sys.stderr)
            else:
                there.add(name)
    return there


if __name__ == "__main__":
    main()
