"""Challengers on a real cluster, under steady load: a good one is promoted, a bad one of each kind is rolled back."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.benchmarks.cluster.release import GATEWAY
from tests.e2e.cluster.challengers import build_challengers, tag_of
from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import install, local_values, restricted_namespace, stand_ins, until, writable_volumes
from tests.e2e.cluster.rollouts import RELEASE, rollout, rollout_command, same_story, status
from tests.fraud.server import ROOT
from tests.helm.charts import CHART

#: Requests a second of each protocol.
RATE: Final = 60.0
PORTS: Final = {"http": 80, "grpc": 81}
PLAN: Final = {
    "look_seconds": 1,
    "steps": [
        {"weight": 0, "shortest_seconds": 5, "longest_seconds": 45, "when_inconclusive": "advance"},
        {"weight": 50, "shortest_seconds": 5, "longest_seconds": 60, "when_inconclusive": "advance"},
        {"weight": 100, "shortest_seconds": 5, "longest_seconds": 10, "when_inconclusive": "advance"},
    ],
}
#: Until a rollout has ended.
PATIENCE_SECONDS: Final = 420.0


@dataclass
class Routes:
    """What customers got: the challenger's weight at each change of the routes, ``time.time()``."""

    changes: list[tuple[float, int]] = field(default_factory=list)

    def see(self, route: dict[str, Any]) -> None:
        """Note the weight of a route."""
        weights = [
            backend["weight"]
            for rule in route["spec"]["rules"]
            for backend in rule.get("backendRefs", ())
            if "challenger" in backend["name"]
        ]
        weight = max(weights, default=0)
        if not self.changes or self.changes[-1][1] != weight:
            self.changes.append((time.time(), weight))

    @property
    def most(self) -> int:
        """The largest weight."""
        return max((weight for _, weight in self.changes), default=0)


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    stand_ins(cluster)
    build_challengers(cluster, images, tmp_path_factory.mktemp("challengers"))
    values = local_values(images)
    values["global"]["queue"] = {"broker": "none"}
    # Pods, clients and the cluster itself share a few cores.
    values["global"]["settings"] = {"redis_timeout_milliseconds": 200, "deadline_milliseconds": 1000}
    values["scoring"] = {"expose": {"kind": "gateway", "gateway": GATEWAY}}
    values |= {part: {"enabled": False} for part in ("dashboard", "mlflow", "workers")}
    values["monitoring"]["scrapeSeconds"] = 1
    with restricted_namespace(cluster, "fraud-challengers") as name, writable_volumes():
        install(cluster, RELEASE, name, values)
        yield name


@pytest.fixture
def prometheus(cluster: Cluster, namespace: str) -> Iterator[str]:
    """The release's own, as this machine reaches it."""
    service = f"service/{RELEASE}-prometheus"
    with subprocess.Popen(
        ["kubectl", "--namespace", namespace, "port-forward", service, ":9090"],
        env=dict(cluster.environ),
        stdout=subprocess.PIPE,
        text=True,
    ) as forward:
        assert forward.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", forward.stdout.readline())
        assert found, "kubectl port-forward names no port"
        yield f"http://127.0.0.1:{found.group(1)}"
        forward.terminate()


@pytest.fixture
def controller(cluster: Cluster, namespace: str, prometheus: str) -> Iterator[None]:
    """`rollout run` on this machine."""
    arguments = ("run", "--release", RELEASE, "--prometheus", prometheus, "--port", "0")
    with subprocess.Popen(
        rollout_command(*arguments, namespace=namespace), cwd=ROOT, env=dict(cluster.environ)
    ) as process:
        yield
        process.terminate()


@contextlib.contextmanager
def _customers(cluster: Cluster, folder: Path) -> Iterator[dict[str, Future[dict[str, Any]]]]:
    """Steady load through the gateway until the block ends; what each protocol's client saw."""
    ended = folder / "ended"

    def send(protocol: str) -> dict[str, Any]:
        options = {"protocol": protocol, "rate": RATE, "until": str(ended), "address": "127.0.0.1"}
        done = subprocess.run(
            [
                *(*cluster.inside, sys.executable, "-m", "tests.benchmarks.cluster.sending", "steady"),
                json.dumps(options | {"port": PORTS[protocol]}),
            ],
            cwd=ROOT,
            env=dict(cluster.environ),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        seen: dict[str, Any] = json.loads(done.stdout)
        return seen

    with ThreadPoolExecutor(len(PORTS)) as pool:
        sending = {protocol: pool.submit(send, protocol) for protocol in PORTS}
        try:
            yield sending
        finally:
            ended.touch()


@contextlib.contextmanager
def _watched(cluster: Cluster, namespace: str) -> Iterator[Routes]:
    routes, ended = Routes(), threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            for item in cluster.get("httproutes", namespace=namespace)["items"]:
                routes.see(item)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield routes
    finally:
        ended.set()
        watcher.join()


@dataclass
class Outcome:
    """How a rollout went."""

    rollout: dict[str, Any]
    routes: Routes
    seen: dict[str, dict[str, Any]]

    @property
    def failed(self) -> int:
        """Requests that customers lost."""
        return sum(sum(client["failed"].values()) for client in self.seen.values())

    def rolled_back_after(self) -> float:
        """Seconds from the verdict until no customer reached the challenger."""
        verdict = datetime.fromisoformat(self.rollout["looks"][-1]["at"]).timestamp()
        gone = [at for at, weight in self.routes.changes if weight == 0 and at >= verdict]
        return max(0.0, gone[0] - verdict) if gone else 0.0


def _start(cluster: Cluster, namespace: str, folder: Path, name: str, tag: str, plan: dict[str, Any]) -> None:
    (folder / "plan.yaml").write_text(yaml.safe_dump(plan))
    given = ("--plan", str(folder / "plan.yaml"), "--name", name, "--chart", str(CHART))
    rollout(cluster, namespace, "start", "--release", RELEASE, "--tag", tag, *given)


def _ended(cluster: Cluster, namespace: str) -> dict[str, Any]:
    end = time.monotonic() + PATIENCE_SECONDS
    while (now := status(cluster, namespace))["phase"] not in ("promoted", "rolled_back", "aborted"):
        assert time.monotonic() < end, json.dumps(now, indent=1)[-6000:]
        time.sleep(1)
    return now


def _roll_out(cluster: Cluster, namespace: str, folder: Path, name: str, tag: str) -> Outcome:
    with _customers(cluster, folder) as sending, _watched(cluster, namespace) as routes:
        time.sleep(5)
        _start(cluster, namespace, folder, name, tag, PLAN)
        now = _ended(cluster, namespace)
        time.sleep(5)
    outcome = Outcome(now, routes, {protocol: sent.result() for protocol, sent in sending.items()})
    print(name, now["phase"], json.dumps(outcome.seen), [(round(at), weight) for at, weight in routes.changes])
    for change in now["changes"]:
        print("  ", change["at"], change["phase"], change["weight"], change["revision"], change["reason"])
    same_story(cluster, namespace, now)
    return outcome


@pytest.mark.usefixtures("controller")
def test_an_abort_takes_the_traffic_first(cluster: Cluster, namespace: str, images: Images, tmp_path: Path) -> None:
    plan = {"look_seconds": 1, "steps": [{"weight": 50, "shortest_seconds": 3600}]}
    with _customers(cluster, tmp_path) as sending, _watched(cluster, namespace) as routes:
        _start(cluster, namespace, tmp_path, "aborted", tag_of(images, "good"), plan)
        until(lambda: routes.most == 50, "traffic of the challenger")
        asked = time.time()
        rollout(cluster, namespace, "abort", "--why", "enough")
        now = _ended(cluster, namespace)
        time.sleep(5)
    gone, weight = routes.changes[-1]
    print(f"abort: weight 0 {gone - asked:.1f} s after the command was given; ended {now['ended']}")
    assert (now["phase"], weight) == ("aborted", 0)
    assert [sent.result()["failed"] for sent in sending.values()] == [{}, {}]
    same_story(cluster, namespace, now)


@pytest.mark.usefixtures("controller")
def test_a_good_challenger_is_promoted(cluster: Cluster, namespace: str, images: Images, tmp_path: Path) -> None:
    outcome = _roll_out(cluster, namespace, tmp_path, "good", tag_of(images, "good"))
    assert outcome.rollout["phase"] == "promoted"
    assert outcome.failed == 0
    assert outcome.routes.most == 100
    deployments = {item["metadata"]["name"]: item for item in cluster.get("deployments", namespace=namespace)["items"]}
    (container,) = deployments[f"{RELEASE}-scoring"]["spec"]["template"]["spec"]["containers"]
    assert container["image"].endswith(tag_of(images, "good"))
    assert f"{RELEASE}-scoring-challenger" not in deployments


@pytest.mark.usefixtures("controller")
@pytest.mark.parametrize(
    ("name", "most"),
    # Seen in the shadow, before a customer is; or with the customers that it gets.
    [("shifted", 0), ("slow", 50), ("failing", 50), ("crashing", 0)],
)
def test_a_bad_challenger_is_rolled_back(
    cluster: Cluster, namespace: str, images: Images, tmp_path: Path, name: str, most: int
) -> None:
    outcome = _roll_out(cluster, namespace, tmp_path, name, tag_of(images, name))
    assert outcome.rollout["phase"] == "rolled_back"
    assert outcome.routes.most == most
    if outcome.routes.most:
        print(f"{name}: weight 0 {outcome.rolled_back_after():.1f} s after the verdict")
    if name != "failing":
        # One that is slow refuses what it could not answer in time.
        own = {"429", "refused"} if name == "slow" else set()
        assert {status for client in outcome.seen.values() for status in client["failed"]} <= own
    names = [item["metadata"]["name"] for item in cluster.get("deployments", namespace=namespace)["items"]]
    assert f"{RELEASE}-scoring-challenger" not in names
