"""Whatever is killed under load: nothing acknowledged is lost, and nothing counts twice.

Payments, labels and jobs are sent all the time, and what gets no answer is sent again. Parts of the service are killed
with -9 one after the other and come back. The long form is ``make chaos``.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.chaos.checks import check, settle
from tests.e2e.chaos.load import load
from tests.e2e.chaos.worlds import World, embedded_world, production_world

pytestmark = pytest.mark.slow

#: Seconds between kills, and that a server is away.
PAUSE: Final = 1.5
AWAY: Final = 1.0


def test_killed_workers_lose_and_double_nothing(tmp_path: Path) -> None:
    with embedded_world(tmp_path) as world:
        _kill_and_check(world, rounds=2, everything_is_recorded=True)


def test_killed_servers_behind_it_lose_and_double_nothing(tmp_path: Path) -> None:
    with production_world(tmp_path) as world:
        _kill_and_check(world, rounds=1, everything_is_recorded=False)


def _kill_and_check(world: World, *, rounds: int, everything_is_recorded: bool) -> None:
    with load(world.server.url) as story:
        for _ in range(rounds):
            for target in random.sample(world.targets, len(world.targets)):
                time.sleep(PAUSE)
                bring_back = target.kill()
                time.sleep(AWAY)
                bring_back()
        time.sleep(PAUSE)
    settle(world, story)
    verdict = check(world, story)
    assert verdict.recorded + verdict.degraded == verdict.sent
    assert verdict.labels > 0
    assert verdict.jobs > 0
    if everything_is_recorded:
        assert verdict.kept == verdict.sent
    else:
        assert verdict.degraded > 0
