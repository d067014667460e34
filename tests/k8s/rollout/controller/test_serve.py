"""The controller as a process: its Lease, its metrics in a real Prometheus, a cluster that is away."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from bentos.core.errors import Conflict
from k8s.rollout.lease import Lease
from k8s.rollout.record import Rollout
from k8s.rollout.serve import serve
from k8s.rollout.state import request
from k8s.rollout.telemetry import Telemetry
from tests.k8s.rollout.controller.played import PlayedApi
from tests.k8s.rollout.controller.world import World
from tests.k8s.rollout.made import EMPTY, block, side
from tests.ports import free_port
from tests.servers.prometheus import Prometheus, running_prometheus
from tests.waiting import eventually

LEASE = "/apis/coordination.k8s.io/v1/namespaces/fraud/leases/fraud-rollout"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that follow each other, and a Lease that is lost soon."""
    monkeypatch.setattr("k8s.rollout.serve._TICK_SECONDS", 0.02)
    monkeypatch.setattr("k8s.rollout.serve.Lease", functools.partial(Lease, seconds=2))


class _Server:
    """`serve` in a thread, with what it shows and how it ends."""

    def __init__(self, world: World, port: int = 0, *, ends: bool = False) -> None:
        self.shown: list[Rollout] = []
        self.ended: Rollout | None = None
        self.error: BaseException | None = None

        def run() -> None:
            try:
                cluster: Any = world.controller.cluster
                options: dict[str, Any] = {"ends": ends, "show": self.shown.append}
                self.ended = serve(world.controller, cluster, CollectorRegistry(), port, **options)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.error = error

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def over(self) -> None:
        """Wait for its end."""
        self.thread.join(60)
        assert not self.thread.is_alive()


@pytest.fixture
def started(world: World, api: PlayedApi) -> Iterator[Callable[..., _Server]]:
    """Starts servers, which another controller ends."""
    servers: list[_Server] = []

    def start(port: int = 0, *, ends: bool = False) -> _Server:
        servers.append(_Server(world, port, ends=ends))
        return servers[-1]

    yield start
    api.before = lambda _method, _path: None
    for server in servers:
        if server.thread.is_alive():
            _take_away(api)
            server.over()


def _take_away(api: PlayedApi) -> None:
    """Let another controller have the Lease, for good."""
    lease = eventually(lambda: api.objects.get(LEASE))
    spec = {**lease["spec"], "holderIdentity": "other-1", "renewTime": "2999-01-01T00:00:00.000000Z"}
    api.put(LEASE, {"metadata": {"name": "fraud-rollout"}, "spec": spec})


def _told(prometheus: Prometheus, expression: str) -> float | None:
    found = prometheus.query(expression)
    return float(found[0]["value"][1]) if found else None


def test_it_ends_with_the_rollout_and_lets_the_next_one_in(world: World, started: Callable[..., _Server]) -> None:
    world.begin()
    server = started(ends=True)
    server.over()
    assert server.error is None
    assert server.ended is not None
    assert server.ended.phase == server.shown[-1].phase == "promoted"
    assert [phase for phase in ("running", "promoting", "promoted") if phase in {item.phase for item in server.shown}]
    assert world.api.get(LEASE)["spec"]["holderIdentity"] == ""


def test_prometheus_sees_where_it_is_until_it_is_told_to_stop(
    world: World, api: PlayedApi, started: Callable[..., _Server], tmp_path: Path
) -> None:
    port = free_port()
    with running_prometheus(tmp_path / "prometheus", [f"127.0.0.1:{port}"], "groups: []\n") as prometheus:
        world.begin()
        server = started(port)
        eventually(lambda: _told(prometheus, 'fraud_rollout_phase{phase="promoted"}') == 1)
        # It waits for the next one.
        assert server.thread.is_alive()
        assert _told(prometheus, "sum(fraud_rollout_phase)") == 1
        assert (_told(prometheus, "fraud_rollout_weight"), _told(prometheus, "fraud_rollout_step")) == (0, 2)
        assert (_told(prometheus, "time() - fraud_rollout_look_timestamp_seconds") or 1e9) < 3600
        assert _told(prometheus, 'up{namespace="fraud"}') == 1
        _take_away(api)
        server.over()
        assert isinstance(server.error, Conflict)
        assert "another controller has it" in str(server.error)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_it_waits_for_a_controller_that_lives(
    world: World, api: PlayedApi, started: Callable[..., _Server], caplog: pytest.LogCaptureFixture
) -> None:
    world.begin()
    other = Lease(world.controller.cluster, "fraud-rollout", seconds=3600)
    assert other.acquire() == ""
    server = started(ends=True)
    eventually(lambda: f"{other.holder} is the release's controller; waiting until it ends" in caplog.text)
    assert server.shown == []
    other.release()
    server.over()
    assert server.ended is not None
    assert caplog.text.count("waiting until it ends") == 1


def test_a_cluster_that_is_away_is_told_once_and_waited_for(
    world: World, api: PlayedApi, started: Callable[..., _Server], caplog: pytest.LogCaptureFixture
) -> None:
    server = started()
    eventually(lambda: LEASE in api.objects)
    refused = []

    def broken(_method: str, path: str) -> None:
        if path.endswith("/configmaps"):
            refused.append(path)
            raise ConnectionResetError

    api.before = broken
    eventually(lambda: len(refused) > 3)
    assert server.thread.is_alive()
    api.before = lambda _method, _path: None
    world.begin()
    eventually(lambda: server.shown and server.shown[-1].phase == "promoted")
    assert caplog.text.count("does not answer") == 1


def test_what_a_person_asks_is_obeyed_while_it_serves(world: World, started: Callable[..., _Server]) -> None:
    world.begin()
    request(world.controller.cluster, world.stored(), "abort", "anna@bank", "a mistake")
    server = started(ends=True)
    server.over()
    assert server.ended is not None
    assert (server.ended.phase, server.ended.changes[-1].by) == ("aborted", "anna@bank")


def test_verdicts_are_gauges_that_stay(world: World) -> None:
    from k8s.rollout.gates import judge

    registry = CollectorRegistry()
    telemetry = Telemetry(registry)

    def shown(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(f"fraud_rollout_{name}", labels)

    bad = judge(EMPTY.seen(block(0, side(50_000), side(10_000, errors=0.2))))
    world.begin()
    current = world.stored().current
    assert current is not None
    assert shown("gate", gate="errors", verdict="fail") is None
    telemetry.show(current.model_copy(update={"verdicts": bad, "weight": 25, "step": 3, "phase": "rolling_back"}))
    for gate in bad:
        values = [shown("gate", gate=gate.gate, verdict=verdict) for verdict in ("pass", "fail", "inconclusive")]
        assert sorted(values) == [0, 0, 1]  # type: ignore[type-var]
        assert shown("gate", gate=gate.gate, verdict=gate.outcome) == 1
    assert any(gate.outcome == "fail" for gate in bad)
    assert (shown("weight"), shown("step"), shown("phase", phase="rolling_back")) == (25, 4, 1)
    assert (shown("phase", phase="running"), shown("look_timestamp_seconds")) == (0, 0)
    # After the end the verdicts tell why.
    telemetry.show(current.model_copy(update={"verdicts": (), "weight": 0, "phase": "rolled_back"}))
    assert (shown("weight"), shown("phase", phase="rolled_back"), shown("phase", phase="rolling_back")) == (0, 1, 0)
    assert any(shown("gate", gate=gate.gate, verdict="fail") == 1 for gate in bad)
