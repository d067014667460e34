"""The chart on a real cluster: installed, tested, changed, taken back, removed; and what it says when it cannot."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import install, local_values, restricted_namespace, stand_ins, writable_volumes

RELEASE = "fraud"
NAMESPACE = "fraud-chart"
#: Embedded stores and one pod: the least that scores.
LEAST = {part: {"enabled": False} for part in ("dashboard", "mlflow", "monitoring")}
_PATIENCE_SECONDS = 180


def _until(look: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come about in {_PATIENCE_SECONDS} s")


def _messages(cluster: Cluster, namespace: str) -> str:
    return "\n".join(event.get("message", "") for event in cluster.get("events", namespace=namespace)["items"])


@pytest.fixture(scope="module")
def values(cluster: Cluster, images: Images) -> dict[str, Any]:
    """What a release of the local profile needs here."""
    stand_ins(cluster)
    return local_values(images)


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, values: dict[str, Any]) -> Iterator[str]:
    """A namespace with the local profile in it."""
    with restricted_namespace(cluster, NAMESPACE) as name, writable_volumes():
        install(cluster, RELEASE, name, values)
        yield name


@pytest.fixture
def empty(cluster: Cluster) -> Iterator[str]:
    """A namespace of one test."""
    with restricted_namespace(cluster, "fraud-try") as name, writable_volumes():
        yield name


def _least(images: Images, **scoring: Any) -> dict[str, Any]:
    resources = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    return {
        "global": {"images": local_values(images)["global"]["images"]},
        "scoring": {"resources": resources, **scoring},
        **LEAST,
    }


def test_it_scores_over_both_transports_and_counts(cluster: Cluster, namespace: str) -> None:
    told = cluster.helm("test", RELEASE, "--namespace", namespace, "--logs")
    assert f"http://{RELEASE}-scoring:3000: " in told
    assert f"grpc://{RELEASE}-scoring:3001: " in told
    assert "metrics count both" in told


def test_a_worker_does_a_batch_job(cluster: Cluster, namespace: str) -> None:
    address = cluster.get("service", f"{RELEASE}-scoring", namespace=namespace)["spec"]["clusterIP"]
    columns = "customer_id,merchant_id,amount,timestamp\n"
    rows = "".join(f"c{row},m1,{row}.5,2026-05-30T03:12:00+02:00\n" for row in range(50))
    upload = ("--header", "content-type: text/csv", "--data-binary", "@-")
    url = f"http://{address}:3000"
    answer = cluster.execute("curl", "--silent", *upload, f"{url}/predict_batch", text=columns + rows)
    job = json.loads(answer)["job_id"]

    def state() -> Any:
        found = json.loads(cluster.execute("curl", "--silent", f"{url}/job_status/{job}"))
        return found if found["status"] in {"completed", "failed", "cancelled"} else None

    ended = _until(state, f"the end of job {job}")
    assert (ended["status"], ended["rows_done"], ended["rows_failed"]) == ("completed", 50, 0), ended
    log = cluster.kubectl("logs", f"deployment/{RELEASE}-workers", namespace=namespace)
    assert job in log


def test_prometheus_watches_and_its_rules_load(cluster: Cluster, namespace: str) -> None:
    address = cluster.get("service", f"{RELEASE}-prometheus", namespace=namespace)["spec"]["clusterIP"]

    def query(path: str) -> Any:
        return json.loads(cluster.execute("curl", "--silent", "--globoff", f"http://{address}:9090/api/v1/{path}"))

    _until(
        lambda: query('query?query=up{job="fraud-scoring",release="fraud"}==1')["data"]["result"], "a scrape of the pod"
    )
    groups = query("rules")["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    assert {rule["name"] for group in groups for rule in group["rules"]} >= {"FraudServiceDown", "FraudErrors"}
    assert _until(lambda: query("alertmanagers")["data"]["activeAlertmanagers"], "an Alertmanager")


def test_a_value_is_changed_and_taken_back(cluster: Cluster, namespace: str, values: dict[str, Any]) -> None:
    def secret() -> Any:
        return cluster.get("secret", f"{RELEASE}-secrets", namespace=namespace)["data"]

    before = secret()
    install(cluster, RELEASE, namespace, values | {"global": {**values["global"], "settings": {"batch_size": 32}}})
    assert {"name": "FRAUD_BATCH_SIZE", "value": "32"} in _environment(cluster, namespace)
    # Passwords that were made once stay.
    assert secret() == before
    cluster.helm("rollback", RELEASE, "--namespace", namespace, "--wait")
    assert "FRAUD_BATCH_SIZE" not in {item["name"] for item in _environment(cluster, namespace)}
    assert secret() == before
    test_it_scores_over_both_transports_and_counts(cluster, namespace)


def _environment(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    (pod,) = _serving(cluster, namespace)
    return list(pod["spec"]["containers"][0]["env"])


def _serving(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    selector = "--selector=app.kubernetes.io/component=scoring"
    pods = cluster.get("pods", selector, namespace=namespace)["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def test_no_pod_has_a_token(cluster: Cluster, namespace: str) -> None:
    pods = cluster.get("pods", namespace=namespace)["items"]
    assert pods
    for pod in pods:
        assert not [volume for volume in pod["spec"]["volumes"] if "projected" in volume], pod["metadata"]["name"]


def test_two_releases_in_one_namespace_and_one_name_in_two(cluster: Cluster, images: Images, empty: str) -> None:
    """With keys, as they are by default; the first release of this name runs in another namespace."""
    for release in (RELEASE, "other"):
        install(cluster, release, empty, _least(images), profile=None)
    for release in (RELEASE, "other"):
        assert "metrics count both" in cluster.helm("test", release, "--namespace", empty, "--logs")
    for release in ("other", RELEASE):
        cluster.helm("uninstall", release, "--namespace", empty, "--wait")
    left = cluster.get("all,configmap,secret,pvc,networkpolicy,serviceaccount,pdb,ingress", namespace=empty)["items"]
    assert {(item["kind"], item["metadata"]["name"]) for item in left} == {
        ("ConfigMap", "kube-root-ca.crt"),
        ("ServiceAccount", "default"),
    }


def test_a_secret_that_is_not_there_is_asked_for(cluster: Cluster, images: Images, empty: str) -> None:
    values = _least(images)
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
    values = _least(images, **scoring)
    if "resources" in scoring:
        values["scoring"]["resources"] = {"requests": scoring["resources"]["requests"], "limits": {"memory": "1000Gi"}}
    with pytest.raises(AssertionError, match="not ready"):
        install(cluster, RELEASE, empty, values, "--timeout=20s", profile=None)
    _until(lambda: message in _messages(cluster, empty), f"an event with {message!r}")
    (status,) = json.loads(cluster.helm("list", "--namespace", empty, "--output", "json"))
    assert status["status"] == "failed"


def test_a_database_that_cannot_be_reached_fails_the_test_of_the_release(
    cluster: Cluster, images: Images, empty: str
) -> None:
    """Payments are scored without records, so the pod is ready; whoever installs is told all the same."""
    url = "postgresql+psycopg://user:password@nowhere.invalid/name"
    cluster.kubectl("create", "secret", "generic", "records", f"--from-literal=records-url={url}", namespace=empty)
    values = _least(images)
    values["global"] |= {"records": {"database": "postgresql"}, "postgresql": {"existingSecret": "records"}}
    install(cluster, RELEASE, empty, values, profile=None)
    with pytest.raises(AssertionError, match="failed"):
        cluster.helm("test", RELEASE, "--namespace", empty)
    told = cluster.kubectl("logs", f"{RELEASE}-test", namespace=empty)
    assert "the service works without: records" in told
    assert "password" not in told
