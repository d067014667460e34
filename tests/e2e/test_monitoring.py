"""A real Prometheus looks at the real service, with the chart's rules: faults are found, and queries find something."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from k8s.monitoring.files import RULES, made_files
from k8s.monitoring.objectives import Objectives
from tests.fraud.artifacts import make_champion
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server, environment, running_server
from tests.servers.prometheus import Prometheus, running_prometheus
from tests.servers.redis import RedisServer, running_redis
from tests.waiting import eventually

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: Five minutes are five seconds, an hour is a minute.
OBJECTIVES = Objectives(time_scale=1 / 60)
#: Of the process that moves rollouts, and of what a challenger in shadow adds: not of a server by itself.
ELSEWHERE = {
    "fraud_rollout_weight",
    "fraud_rollout_gate",
    "fraud_shadow_pairs_total",
    "fraud_shadow_dropped_total",
}


@dataclass
class Platform:
    """What is watched, and who watches."""

    server: Server
    redis: RedisServer
    prometheus: Prometheus
    database: Path
    paying: threading.Event

    def post(self, path: str, body: Any) -> int:
        """Status of a call."""
        return httpx.post(f"{self.server.url}{path}", json=body, timeout=60).status_code


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A server with two workers and features in Redis, a Prometheus, and somebody who pays all the time."""
    folder = tmp_path_factory.mktemp("monitoring")
    home = folder / "home"
    make_champion(home)
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(running_redis(folder))
        environ = environment(
            home,
            workers=2,
            FRAUD_FEATURE_STORE="redis",
            FRAUD_REDIS_URL=redis.url,
            FRAUD_RECORDS_TIMEOUT_SECONDS="1",
            FRAUD_QUALITY_INTERVAL_SECONDS="1",
            FRAUD_JOB_PROCESSES="1",
            FRAUD_DRIFT_MINIMUM_ROWS="50",
        )
        server = stack.enter_context(running_server(environ, log=home / "server.log"))
        rules = made_files(OBJECTIVES)[RULES]
        target = server.url.removeprefix("http://")
        prometheus = stack.enter_context(running_prometheus(folder / "prometheus", [target], rules))
        paying, stopped = threading.Event(), threading.Event()
        paying.set()
        thread = threading.Thread(target=_pay, args=(server.url, paying, stopped))
        thread.start()
        stack.callback(thread.join)
        stack.callback(stopped.set)
        stack.callback(paying.set)
        yield Platform(server, redis, prometheus, home / "serving" / "records.db", paying)


def _pay(url: str, paying: threading.Event, stopped: threading.Event) -> None:
    number = 0
    with httpx.Client(base_url=url, timeout=60) as client:
        while not stopped.wait(0.03):
            paying.wait()
            number += 1
            payment = transaction_json(
                transaction_id=f"payment-{number}",
                customer_id=f"customer-{number % 50}",
                amount=float(number % 97) * 40,
                timestamp=datetime.now(UTC).isoformat(),
            )
            # The server ends before its payer does.
            with contextlib.suppress(httpx.TransportError):
                client.post("/predict", json=payment)


def wanted() -> dict[str, list[str]]:
    """Expressions of each rule, panel and runbook."""
    found: dict[str, list[str]] = {}
    for path, text in made_files(OBJECTIVES).items():
        if path == RULES:
            for group in yaml.safe_load(text)["groups"]:
                for rule in group["rules"]:
                    found[rule.get("alert") or rule["record"]] = [rule["expr"]]
        else:
            for panel in json.loads(text)["panels"]:
                chosen = [
                    target["expr"]
                    .replace("$namespace", "fraud")
                    .replace("$release", "fraud")
                    .replace("$__rate_interval", "10s")
                    for target in panel["targets"]
                ]
                found[f"{path.stem}: {panel['title']}"] = chosen
    for file in (ROOT / "docs" / "runbooks").glob("*.md"):
        found[file.name] = re.findall(r"^q '(.*)'\s*$", file.read_text(), re.MULTILINE)
    return found


def metrics_of(expression: str) -> set[str]:
    """The service's metrics in an expression; those that rules record are not the service's."""
    return set(re.findall(r"(?<![\w:])fraud_\w+", expression))


def test_what_rules_and_dashboards_ask_for_is_there(platform: Platform) -> None:
    """Every metric is in a real scrape, Prometheus understands every query, and every panel has something to show."""
    prometheus = platform.prometheus
    assert platform.post("/feedback", _labels()) in (200, 202)
    asked = wanted()
    known = set.union(*(metrics_of(one) for expressions in asked.values() for one in expressions))
    assert len(known) > 20
    eventually(lambda: known - ELSEWHERE <= prometheus.names())
    assert known & ELSEWHERE == ELSEWHERE
    eventually(lambda: {"release:fraud_errors:ratio_rate3d"} <= prometheus.names())
    for name, expressions in asked.items():
        assert expressions or name.endswith(".md"), f"{name} asks for nothing"
        for expression in expressions:
            prometheus.query(expression)
            if ": " in name and not metrics_of(expression) & ELSEWHERE:
                assert eventually(lambda one=expression: prometheus.query(one)), f"{name} shows nothing: {expression}"


def _labels() -> list[dict[str, Any]]:
    now = datetime.now(UTC).isoformat()
    rows = [(f"payment-{number}", "fraud" if number % 2 else "legitimate") for number in range(1, 90)]
    return [{"transaction_id": name, "label": label, "label_time": now} for name, label in rows]


def test_faults_are_found_while_they_last(platform: Platform) -> None:
    prometheus = platform.prometheus
    eventually(lambda: prometheus.query("sum(increase(fraud_predictions_total[60s])) > 100"))
    faults = {"FraudDegraded", "FraudDependencyDown", "FraudErrorBudgetFast", "FraudServiceDown"}
    assert not faults & prometheus.firing()

    # The feature store goes.
    platform.redis.kill()
    eventually(lambda: {"FraudDegraded", "FraudDependencyDown"} <= prometheus.firing())
    platform.redis.start()
    eventually(lambda: not {"FraudDegraded", "FraudDependencyDown"} & prometheus.firing())

    # The database takes no labels.
    with contextlib.closing(sqlite3.connect(platform.database, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        labels = [{"transaction_id": f"unknown-{number}", "label": "fraud"} for number in range(12)]
        statuses = {platform.post("/feedback", label) for label in labels}
        assert statuses == {503}
        eventually(lambda: "FraudErrorBudgetFast" in prometheus.firing())
        database.execute("ROLLBACK")

    # Nobody pays any more.
    platform.paying.clear()
    eventually(lambda: "FraudNoTraffic" in prometheus.firing())
    platform.paying.set()
    eventually(lambda: "FraudNoTraffic" not in prometheus.firing())


def test_a_server_that_is_gone_is_missed(platform: Platform) -> None:
    platform.paying.clear()
    assert "FraudServiceDown" not in platform.prometheus.firing()
    platform.server.process.terminate()
    eventually(lambda: {"FraudServiceDown", "FraudPodDown"} <= platform.prometheus.firing())
