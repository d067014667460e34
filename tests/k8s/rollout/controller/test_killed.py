"""kill -9 of the controller at each of its calls, to the cluster and of Helm."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import threading

import pytest

from k8s.cluster import connect
from k8s.helm import Helm
from k8s.rollout.serve import make_controller
from tests.k8s.rollout.controller.played import PlayedApi
from tests.k8s.rollout.controller.world import World

FORK = multiprocessing.get_context("fork")
STORY = [
    "Install",
    "rollout first #1: step 1 of 2, shadow",
    "rollout first #2: step 2 of 2, 30 %",
    "rollout first #3: champion becomes the challenger's model",
    "rollout first #4: promoted",
]
PHASES = [("running", 0, 0), ("running", 0, 0), ("running", 1, 30), ("promoting", 1, 30), ("promoted", 1, 0)]


class _Killer:
    """Kills a process before the n-th call that it, or its Helm, makes is answered."""

    def __init__(self, api: PlayedApi) -> None:
        self._lock = threading.Lock()
        self.pid, self.left = 0, -1
        self.calls = 0
        api.before = self._before

    def _before(self, _method: str, _path: str) -> None:
        with self._lock:
            self.calls += 1
            self.left -= 1
            if self.left == 0 and self.pid:
                os.kill(self.pid, signal.SIGKILL)


def _with_own_connections(world: World) -> World:
    """The same with new connections: one that was shared with who was killed may hold an answer to him, or none."""
    url = world.controller.observer.prometheus.url
    controller = make_controller(connect(), Helm("fraud"), "fraud", "chart", url)
    return dataclasses.replace(world, controller=controller)


def _be_controller(world: World) -> None:
    _with_own_connections(world).until_over()


def _run(world: World, killer: _Killer, after: int) -> int | None:
    """Be a controller in a process of its own; its exit code, negative when killed."""
    process = FORK.Process(target=_be_controller, args=(world,))
    with killer._lock:
        killer.left = after
        process.start()
        killer.pid = process.pid or 0
    process.join(60)
    with killer._lock:
        # What others call from now on is nobody's end.
        killer.pid = 0
    return process.exitcode


def _check(world: World) -> None:
    current = world.stored().current
    assert current is not None
    assert (current.phase, current.stage, current.weight, current.intent) == ("promoted", "none", 0, None)
    assert [(change.phase, change.step, change.weight) for change in current.changes] == PHASES
    revisions = world.revisions()
    assert [item["description"] for item in revisions] == STORY
    assert [change.revision for change in current.changes] == [1, 2, 3, 4, 5]
    weights = [item["values"]["scoring"]["rollout"]["weight"] for item in revisions]
    assert weights == [0, 0, 30, 30, 0]
    assert revisions[-1]["values"]["scoring"]["champion"]["tag"] == "2"


@pytest.mark.slow
def test_killed_at_every_call(world: World, api: PlayedApi) -> None:
    fresh = dict(api.objects), (world.folder / "revisions.json").read_text()
    killer = _Killer(api)
    kills = 0
    while True:
        api.objects = dict(fresh[0])
        (world.folder / "revisions.json").write_text(fresh[1])
        _with_own_connections(world).begin()
        code = _run(world, killer, after=kills + 1)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
        assert _run(world, killer, after=-1) == 0, f"killed before call {kills}"
        _check(_with_own_connections(world))
    _check(_with_own_connections(world))
    # Each intent takes several calls: the test would be worth little if the killing stopped early.
    assert kills > 5 * len(STORY)
