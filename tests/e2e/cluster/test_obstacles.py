"""What is in a release's way, and what it says then: at install time, or by an event, a log, or its test."""

from __future__ import annotations

import contextlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import install, least, until

RELEASE = "fraud"


def _messages(cluster: Cluster, namespace: str) -> str:
    return "\n".join(event.get("message", "") for event in cluster.get("events", namespace=namespace)["items"])


def test_a_secret_that_is_not_there_is_asked_for(cluster: Cluster, images: Images, empty: str) -> None:
    values = least(images)
    values["global"] |= {"records": {"database": "postgresql"}, "postgresql": {"existingSecret": "records"}}
    with pytest.raises(AssertionError, match='there is no secret "records" in namespace "fraud-try"; create it with'):
        install(cluster, RELEASE, empty, values, profile=None)
    cluster.kubectl("create", "secret", "generic", "records", "--from-literal=url=postgresql://x", namespace=empty)
    with pytest.raises(
        AssertionError, match='the secret "records" in namespace "fraud-try" has no entry "records-url"'
    ):
        install(cluster, RELEASE, empty, values, profile=None)
    assert cluster.helm("list", "--namespace", empty, "--output", "json").strip() == "[]"


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        ({"champion": {"tag": "missing"}}, "fraud-scoring:missing"),
        ({"resources": {"requests": {"cpu": "50m", "memory": "1000Gi"}}}, "Insufficient memory"),
    ],
    ids=["no such image", "too little memory"],
)
def test_a_pod_that_cannot_start_fails_the_install_and_says_why(
    cluster: Cluster, images: Images, empty: str, scoring: dict[str, Any], message: str
) -> None:
    values = least(images, **scoring)
    if "resources" in scoring:
        values["scoring"]["resources"] = {"requests": scoring["resources"]["requests"], "limits": {"memory": "1000Gi"}}
    with pytest.raises(AssertionError, match="not ready"):
        install(cluster, RELEASE, empty, values, "--timeout=20s", profile=None)
    until(lambda: message in _messages(cluster, empty), f"an event with {message!r}")
    (status,) = json.loads(cluster.helm("list", "--namespace", empty, "--output", "json"))
    assert status["status"] == "failed"


def test_a_database_that_cannot_be_reached_fails_the_test_of_the_release(
    cluster: Cluster, images: Images, empty: str
) -> None:
    """Payments are scored without records, so the pod is ready; whoever installs is told all the same."""
    url = "postgresql+psycopg://user:password@nowhere.invalid/name"
    cluster.kubectl("create", "secret", "generic", "records", f"--from-literal=records-url={url}", namespace=empty)
    values = least(images)
    values["global"] |= {"records": {"database": "postgresql"}, "postgresql": {"existingSecret": "records"}}
    install(cluster, RELEASE, empty, values, profile=None)
    with pytest.raises(AssertionError, match="failed"):
        cluster.helm("test", RELEASE, "--namespace", empty)
    told = cluster.kubectl("logs", f"{RELEASE}-test", namespace=empty)
    assert "the service works without: records" in told
    assert "password" not in told


@pytest.mark.long
def test_keys_that_cannot_be_read_fail_the_install_and_the_log_says_why(
    cluster: Cluster, images: Images, empty: str
) -> None:
    entries = {"keys.json": "no keys", "dashboard-key": "x", "test-key": "x"}
    literals = [f"--from-literal={name}={value}" for name, value in entries.items()]
    cluster.kubectl("create", "secret", "generic", "keys", *literals, namespace=empty)
    values = least(images)
    values["global"] |= {"access": {"existingSecret": "keys"}}
    with pytest.raises(AssertionError, match="not ready"):
        install(cluster, RELEASE, empty, values, "--timeout=20s", profile=None)

    def told() -> bool:
        """Between two starts there is no log."""
        try:
            log = cluster.kubectl("logs", f"deployment/{RELEASE}-scoring", namespace=empty)
        except AssertionError:
            return False
        return "/etc/fraud/keys/keys.json is no file of API keys" in log

    until(told, "a log that says so")


@pytest.mark.long
def test_a_volume_that_is_full_ends_the_pod_and_an_event_says_so(cluster: Cluster, images: Images, empty: str) -> None:
    """Where a pod writes is bounded; the kubelet says which bound it was, sometimes only after the pod was ready."""
    values = least(images, persistence={"enabled": False, "size": "64Ki"})
    with contextlib.suppress(AssertionError):
        install(cluster, RELEASE, empty, values, "--timeout=60s", profile=None)
    message = 'Usage of EmptyDir volume "home" exceeds the limit "64Ki"'
    until(lambda: message in _messages(cluster, empty), f"an event with {message!r}")


@pytest.mark.long
def test_an_upgrade_while_another_runs_is_refused(cluster: Cluster, images: Images, empty: str) -> None:
    install(cluster, RELEASE, empty, least(images), profile=None)

    def never_ready() -> None:
        waiting = least(images, champion={"tag": "missing"})
        with pytest.raises(AssertionError, match="not ready"):
            install(cluster, RELEASE, empty, waiting, "--timeout=60s", profile=None)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(never_ready)
        until(lambda: "pending-upgrade" in _states(cluster, empty), "an upgrade that waits")
        with pytest.raises(AssertionError, match=r"another operation \(install/upgrade/rollback\) is in progress"):
            install(cluster, RELEASE, empty, least(images), profile=None)
        first.result()
    # The one before served meanwhile, where two may not serve at once it is brought back.
    cluster.helm("rollback", RELEASE, "1", "--namespace", empty, "--wait")
    assert "metrics count both" in cluster.helm("test", RELEASE, "--namespace", empty, "--logs")


def _states(cluster: Cluster, namespace: str) -> set[str]:
    listed = json.loads(cluster.helm("list", "--all", "--namespace", namespace, "--output", "json"))
    return {item["status"] for item in listed}
