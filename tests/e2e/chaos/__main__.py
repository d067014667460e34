"""Ten minutes of kills: ``python -m tests.e2e.chaos [--minutes 10] [--world production|embedded|both]``.

Kills one part of the service after the other, at random, under constant load, and prints what became of everything that
was acknowledged, and how long predictions took while each part was away. Exit code 1 when anything was lost or doubled.
Everything is written to a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from tests.e2e.chaos.checks import Verdict, check, settle
from tests.e2e.chaos.load import Story, load
from tests.e2e.chaos.worlds import World, embedded_world, production_world

#: The product's own, which the tests' servers have raised.
DEADLINE_MILLISECONDS: Final = 250
#: Seconds between kills, and that a server is away.
PAUSES: Final = (2.0, 6.0)
AWAY: Final = (0.5, 6.0)
WORLDS: Final[dict[str, Callable[..., contextlib.AbstractContextManager[World]]]] = {
    "embedded": embedded_world,
    "production": production_world,
}


@dataclass
class Kills:
    """What was killed, and when it was away, ``time.monotonic()``."""

    counts: Counter[str] = field(default_factory=Counter)
    away: list[tuple[str, float, float]] = field(default_factory=list)


def main() -> int:
    """Run, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of load, shared by the worlds")
    parser.add_argument("--world", choices=[*WORLDS, "both"], default="both")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    random.seed(options.seed)
    names = list(WORLDS) if options.world == "both" else [options.world]
    return max(_run(name, 60 * options.minutes / len(names)) for name in names)


def _run(name: str, seconds: float) -> int:
    with (
        tempfile.TemporaryDirectory(prefix="fraud-chaos-") as folder,
        WORLDS[name](Path(folder), FRAUD_DEADLINE_MILLISECONDS=str(DEADLINE_MILLISECONDS)) as world,
    ):
        kills = Kills()
        print(f"{name}: {seconds / 60:.1f} minutes", flush=True)
        with load(world.server.url) as story:
            _kill(world, kills, time.monotonic() + seconds)
        try:
            settle(world, story)
            verdict = check(world, story)
        except AssertionError:
            _print_load(story, kills)
            traceback.print_exc()
            print(f"{name}: FAILED")
            return 1
        _print_load(story, kills)
        _print_verdict(verdict)
        print(f"{name}: nothing lost, nothing doubled\n", flush=True)
    return 0


def _kill(world: World, kills: Kills, until: float) -> None:
    while time.monotonic() < until:
        time.sleep(random.uniform(*PAUSES))  # noqa: S311
        target = random.choice(world.targets)  # noqa: S311
        started = time.monotonic()
        bring_back = target.kill()
        time.sleep(random.uniform(*AWAY))  # noqa: S311
        bring_back()
        kills.counts[target.name] += 1
        kills.away.append((target.name, started, time.monotonic()))
    # The last one comes back under load too.
    time.sleep(PAUSES[1])


def _print_load(story: Story, kills: Kills) -> None:
    for call, counts in story.statuses.items():
        answers = ", ".join(f"{status or 'none'}: {count:,}" for status, count in sorted(counts.items()))
        print(f"  {call:<15} {answers}")
    times = np.array(story.latencies)
    print(f"  {'while away':<15} {'kills':>5} {'payments':>9} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}")
    is_away = np.zeros(len(times), bool)
    for name, count in sorted(kills.counts.items()):
        chosen = np.zeros(len(times), bool)
        for target, start, end in kills.away:
            if target == name:
                chosen |= (times[:, 0] >= start) & (times[:, 0] < end)
        is_away |= chosen
        _print_latencies(name, str(count), times[chosen, 1])
    _print_latencies("nothing", "", times[~is_away, 1])


def _print_latencies(name: str, count: str, seconds: np.ndarray) -> None:
    if len(seconds):
        p50, p99, most = np.percentile(seconds, [50, 99, 100]) * 1000
        print(f"  {name:<15} {count:>5} {len(seconds):>9,} {p50:>8.1f} {p99:>8.1f} {most:>8.1f}")


def _print_verdict(verdict: Verdict) -> None:
    print(
        f"  payments: {verdict.sent:,} sent, {verdict.recorded:,} answered with features and {verdict.degraded:,}"
        f" without; {verdict.kept:,} count in the features, each once; {verdict.sent - verdict.kept:,} do not, all of"
        " them answered without features"
    )
    print(f"  labels: {verdict.labels:,} acknowledged, all there once")
    print(f"  jobs: {verdict.jobs:,} accepted, all complete, {verdict.rows:,} rows scored, each once")


if __name__ == "__main__":
    sys.exit(main())
