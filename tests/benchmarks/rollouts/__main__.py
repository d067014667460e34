"""Simulated rollouts, their tables and picture.

``python -m tests.benchmarks.rollouts`` measures everything, which takes about ten minutes of one core, and writes
docs/rollout_verdicts.md's tables and docs/images/rollouts.png. ``--only`` makes some of the measurements anew, and
``--pages`` none: what was measured before is in the folder of results.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

from tests.benchmarks.rollouts.measure import MEASUREMENTS, measure
from tests.benchmarks.rollouts.page import write_page
from tests.benchmarks.rollouts.picture import draw


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rollouts", type=int, default=2_000, help="of each measurement")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path("var/rollouts"), help="folder of what was measured")
    parser.add_argument("--only", action="append", metavar="BEGINNING", help="of the names of measurements; repeatable")
    parser.add_argument("--pages", action="store_true", help="write what was measured before")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where page and picture are")
    chosen = parser.parse_args(arguments)
    names = [name for name in MEASUREMENTS if name.startswith(tuple(chosen.only or ("",)))]
    for name in [] if chosen.pages else names:
        before = time.process_time()
        measure(name, chosen.rollouts, chosen.seed + 1_000 * list(MEASUREMENTS).index(name), chosen.results)
        print(f"{name}: {time.process_time() - before:.1f} s of CPU", flush=True)
    if not chosen.only:
        write_page(chosen.results, chosen.docs / "rollout_verdicts.md")
        draw(chosen.results, chosen.docs / "images" / "rollouts.png")


if __name__ == "__main__":
    main()
