"""``python -m tests.benchmarks.load``: load on the service and on its peers, each alone in turn, all in one run."""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from tests.benchmarks.load.bench import Bench, Plan
from tests.benchmarks.load.machine import about_machine
from tests.benchmarks.load.page import write_page
from tests.benchmarks.load.parts import PARTS
from tests.benchmarks.load.reach import reach_table
from tests.benchmarks.load.report import as_text
from tests.benchmarks.load.results import Results


def main() -> None:
    """Measure, print the tables, write page and pictures."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a short look: numbers that mean little")
    parser.add_argument("--only", choices=tuple(PARTS), nargs="+", help="parts to measure (default: all)")
    parser.add_argument("--seconds", type=int, help="of each closed loop (default: 8)")
    parser.add_argument("--repeat", type=int, help="times that everything is measured, for a median (default: 3)")
    parser.add_argument(
        "--output", type=Path, help="folder of the page and its images (default: docs, after a whole run only)"
    )
    parser.add_argument("--results", type=Path, help="file to write all measurements to, JSON")
    parser.add_argument("--draw", type=Path, metavar="RESULTS", help="measure nothing; make page and images of these")
    options = parser.parse_args()
    if options.draw:
        results = Results.read(options.draw)
    else:
        plan = Plan(seconds=2, half_seconds=5, overload_seconds=5) if options.quick else Plan()
        if options.seconds:
            plan = replace(plan, seconds=options.seconds)
        repeats = options.repeat or (1 if options.quick else 3)
        results = Results(about_machine(plan, repeats))
        _measure(results, plan, tuple(options.only or PARTS), repeats)
        if options.results:
            results.write(options.results)
    print()
    print(as_text(results))
    print()
    print("\n".join(reach_table(results)))
    if options.output or not (options.quick or options.only):
        write_page(results, options.output or Path("docs"))


def _measure(results: Results, plan: Plan, parts: tuple[str, ...], repeats: int) -> None:
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory(prefix="load-") as folder:
        bench = Bench(Path(folder), plan, results, say)
        # Repeats outside, so that a machine that drifts does so for all.
        for repeat in range(repeats):
            for part in parts:
                PARTS[part](bench, repeat)


if __name__ == "__main__":
    main()
