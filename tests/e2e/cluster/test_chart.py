"""The chart on a real cluster: installed, tested, changed, taken back, removed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.e2e.cluster.connections import Connections
from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import (
    install,
    least,
    local_values,
    restricted_namespace,
    stand_ins,
    until,
    writable_volumes,
)
from tests.helm.charts import CHART
from tests.helm.policies import allows

RELEASE = "fraud"
NAMESPACE = "fraud-chart"


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

    ended = until(state, f"the end of job {job}")
    assert (ended["status"], ended["rows_done"], ended["rows_failed"]) == ("completed", 50, 0), ended
    log = cluster.kubectl("logs", f"deployment/{RELEASE}-workers", namespace=namespace)
    assert job in log


def test_prometheus_watches_and_its_rules_load(cluster: Cluster, namespace: str) -> None:
    address = cluster.get("service", f"{RELEASE}-prometheus", namespace=namespace)["spec"]["clusterIP"]

    def query(path: str) -> Any:
        return json.loads(cluster.execute("curl", "--silent", "--globoff", f"http://{address}:9090/api/v1/{path}"))

    until(
        lambda: query('query?query=up{job="fraud-scoring",release="fraud"}==1')["data"]["result"], "a scrape of the pod"
    )
    groups = query("rules")["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    written = yaml.safe_load((CHART / "charts/monitoring/files/rules.yaml").read_text())["groups"]
    expected = {rule.get("alert", rule.get("record")) for group in written for rule in group["rules"]}
    assert {rule["name"] for group in groups for rule in group["rules"]} == expected
    assert until(lambda: query("alertmanagers")["data"]["activeAlertmanagers"], "an Alertmanager")


def test_alertmanager_is_told(cluster: Cluster, namespace: str) -> None:
    address = cluster.get("service", f"{RELEASE}-alertmanager", namespace=namespace)["spec"]["clusterIP"]
    told = json.loads(cluster.execute("curl", "--silent", f"http://{address}:9093/api/v2/status"))
    assert told["versionInfo"]["version"]
    assert "route" in told["config"]["original"]


def test_the_dashboard_is_served_and_asks_the_service(cluster: Cluster, namespace: str) -> None:
    address = cluster.get("service", f"{RELEASE}-dashboard", namespace=namespace)["spec"]["clusterIP"]
    page = cluster.execute("curl", "--silent", "--fail", f"http://{address}:8501/")
    assert "<title>" in page
    look = (
        "import os; from bentos.client import FraudClient; "
        "print(FraudClient(os.environ['FRAUD_DASHBOARD_SERVICE_URL']).health().status)"
    )
    deployment = f"deployment/{RELEASE}-dashboard"
    assert cluster.kubectl("exec", deployment, "--", "python", "-c", look, namespace=namespace).strip() == "ok"


def test_mlflow_is_served_by_its_name_only(cluster: Cluster, namespace: str) -> None:
    name = f"{RELEASE}-mlflow"
    address = cluster.get("service", name, namespace=namespace)["spec"]["clusterIP"]
    search = f"http://{address}:5000/api/2.0/mlflow/experiments/search?max_results=5"
    found = json.loads(cluster.execute("curl", "--silent", "--fail", "--header", f"host: {name}:5000", search))
    assert [item["name"] for item in found["experiments"]] == ["Default"]
    code = ("--output", "/dev/null", "--write-out", "%{http_code}")
    assert cluster.execute("curl", "--silent", *code, "--header", "host: elsewhere.example", search) == "403"


def test_every_connection_matches_a_policy(cluster: Cluster, namespace: str) -> None:
    """The test node enforces no policies, so what pods really do is compared with what they may."""
    seen = Connections(cluster, namespace)
    tested = threading.Thread(target=lambda: cluster.helm("test", RELEASE, "--namespace", namespace))
    tested.start()
    while tested.is_alive():
        seen.look()
    tested.join()
    test_the_dashboard_is_served_and_asks_the_service(cluster, namespace)
    seen.look()
    assert seen.components() >= {
        ("scoring", "redis"),
        ("scoring", "postgresql"),
        ("workers", "redis"),
        ("workers", "postgresql"),
        ("mlflow", "postgresql"),
        ("prometheus", "scoring"),
        ("dashboard", "scoring"),
    }
    policies = cluster.get("networkpolicy", namespace=namespace)["items"]
    assert [flow for flow in seen.flows if not allows(policies, flow.source, flow.target, flow.port)] == []


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


def test_two_releases_in_one_namespace_and_one_name_in_two(
    cluster: Cluster, namespace: str, images: Images, empty: str
) -> None:
    """With keys, as they are by default; the first release of this name runs in another namespace."""
    assert namespace != empty
    for release in (RELEASE, "other"):
        install(cluster, release, empty, least(images), profile=None)
    for release in (RELEASE, "other"):
        assert "metrics count both" in cluster.helm("test", release, "--namespace", empty, "--logs")
    for release in ("other", RELEASE):
        cluster.helm("uninstall", release, "--namespace", empty, "--wait")
    left = cluster.get("all,configmap,secret,pvc,networkpolicy,serviceaccount,pdb,ingress", namespace=empty)["items"]
    assert {(item["kind"], item["metadata"]["name"]) for item in left} == {
        ("ConfigMap", "kube-root-ca.crt"),
        ("ServiceAccount", "default"),
    }
