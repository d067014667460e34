"""What values become: settings, sides of a rollout, routes, policies, secrets."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from bentos.core.settings import load_settings
from bentos.fraud.access.keys import read_keys
from bentos.fraud.settings import ScoringSettings
from tests.helm.charts import CHART, GATEWAY_KINDS, OPERATOR_KINDS, find, pods, render
from tests.helm.policies import allows
from tests.helm.test_chart import CANARY, GATEWAY, OPTIONS, SHARED


def _environment(container: dict[str, Any]) -> dict[str, str]:
    return {item["name"]: item.get("value", "<secret>") for item in container["env"]}


def _container(objects: list[dict[str, Any]], name: str) -> dict[str, Any]:
    spec = next(spec for owner, spec in pods(objects) if owner == name)
    return dict(spec["containers"][0])


def test_settings_reach_server_and_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "batch_size": 128,
        "job_sources": ["s3://payments/", "file:///srv/in/"],
        "job_total_limit_bytes": 50_000_000_000,
        "trace_ratio": 0.25,
        "access_log": False,
        "prediction_log": "flagged",
    }
    objects = render({"global": {"settings": settings}}, profile="local")
    for owner in ("fraud-scoring", "fraud-workers"):
        for name, value in _environment(_container(objects, owner)).items():
            if value != "<secret>":
                monkeypatch.setenv(name, value)
        read = load_settings(ScoringSettings)
        assert read.job_sources == tuple(settings["job_sources"])  # type: ignore[arg-type]
        assert {name: getattr(read, name) for name in settings if name != "job_sources"} == {
            name: value for name, value in settings.items() if name != "job_sources"
        }
        assert read.feature_store == "redis"
        assert read.home == Path("/var/lib/fraud")
        assert read.allow_unauthenticated


def test_secrets_are_referred_to_never_shown() -> None:
    objects = render(profile="production")
    assert [item["metadata"]["name"] for item in objects if item["kind"] == "Secret"] == ["fraud-secrets"]
    # Grafana's is the only one that production leaves to the chart.
    assert set(find(objects, "Secret", "fraud-secrets")["data"]) == {"admin-password"}
    references = {
        item["name"]: item["valueFrom"]["secretKeyRef"]
        for item in _container(objects, "fraud-scoring")["env"]
        if "valueFrom" in item
    }
    assert references == {
        "FRAUD_REDIS_URL": {"name": "fraud-redis", "key": "redis-url"},
        "FRAUD_RECORDS_URL": {"name": "fraud-records", "key": "records-url"},
        "FRAUD_QUEUE_URL": {"name": "fraud-queue", "key": "queue-url"},
        "FRAUD_PSEUDONYM_KEY": {"name": "fraud-pseudonyms", "key": "pseudonym-key"},
    }


def test_made_keys_are_keys(tmp_path: Path) -> None:
    secret = {
        name: base64.b64decode(value).decode()
        for name, value in find(render(), "Secret", "fraud-secrets")["data"].items()
    }
    file = tmp_path / "keys.json"
    file.write_text(secret["keys.json"])
    keys = {key.name: key for key in read_keys(file).keys}
    assert {name: key.roles for name, key in keys.items()} == {
        "dashboard": ("score", "feedback"),
        "test": ("score",),
        "operator": ("score", "feedback", "admin"),
    }
    for name, key in keys.items():
        assert key.sha256 == hashlib.sha256(secret[f"{name}-key"].encode()).hexdigest()


def test_one_pod_ends_before_the_next_where_files_are_its_own() -> None:
    assert find(render(), "Deployment", "fraud-scoring")["spec"]["strategy"] == {"type": "Recreate"}
    shared = find(render(OPTIONS["several"]), "Deployment", "fraud-scoring")["spec"]
    assert shared["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@pytest.mark.parametrize("kind", ["hpa", "keda"])
def test_no_replicas_under_an_autoscaler(kind: str) -> None:
    objects = render(OPTIONS[kind], kinds=(*GATEWAY_KINDS, "keda.sh/v1alpha1"))
    assert "replicas" not in find(objects, "Deployment", "fraud-scoring")["spec"]
    scaler = find(objects, {"hpa": "HorizontalPodAutoscaler", "keda": "ScaledObject"}[kind], "fraud-scoring")
    assert scaler["spec"]["scaleTargetRef"]["name"] == "fraud-scoring"
    if kind == "keda":
        query = scaler["spec"]["triggers"][0]["metadata"]["query"]
        assert query == 'sum(fraud_queue_depth{namespace="fraud",release="fraud"})'


def test_probes_mean_different_things() -> None:
    container = _container(render(), "fraud-scoring")
    assert container["startupProbe"]["grpc"] == {"port": 3001}
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_a_budget_only_over_several_pods() -> None:
    assert not [item for item in render() if item["kind"] == "PodDisruptionBudget"]
    assert find(render(OPTIONS["several"]), "PodDisruptionBudget", "fraud-scoring")["spec"]["maxUnavailable"] == 1


# --- rollouts ---------------------------------------------------------------------------------------------------------


def _canary(weight: int, name: str = "first") -> list[dict[str, Any]]:
    scoring = {**CANARY["scoring"], "expose": GATEWAY, "rollout": {"stage": "canary", "weight": weight, "name": name}}
    return render({"global": SHARED, "scoring": scoring})


def _buckets(objects: list[dict[str, Any]], kind: str = "HTTPRoute") -> dict[str, set[str]]:
    """Buckets that each Service gets by header, after looking at what else the route says."""
    sides: dict[str, set[str]] = {"fraud-scoring": set(), "fraud-scoring-challenger": set()}
    for rule in find(objects, kind, "fraud-scoring")["spec"]["rules"]:
        assert len(rule.get("matches", [])) <= 64
        for match in rule.get("matches", []):
            if "headers" in match:
                (header,) = match["headers"]
                assert header["name"] == "x-fraud-bucket"
                sides[rule["backendRefs"][0]["name"]].add(header["value"])
    return sides


@pytest.mark.parametrize("kind", ["HTTPRoute", "GRPCRoute"])
def test_a_growing_weight_only_moves_buckets_to_the_challenger(kind: str) -> None:
    every = {f"{number:02d}" for number in range(100)}
    before: set[str] = set()
    for weight in (0, 1, 10, 50, 64, 65, 100):
        sides = _buckets(_canary(weight), kind)
        moved = sides["fraud-scoring-challenger"]
        assert len(moved) == weight
        assert moved | sides["fraud-scoring"] == every
        assert not moved & sides["fraud-scoring"]
        assert before <= moved
        before = moved


def test_another_rollout_begins_with_other_customers() -> None:
    first, second = (_buckets(_canary(10, name))["fraud-scoring-challenger"] for name in ("first", "second"))
    assert first != second


def test_weights_split_what_has_no_bucket_and_many_go_to_the_champion() -> None:
    for kind, port in (("HTTPRoute", 3000), ("GRPCRoute", 3001)):
        rules = find(_canary(25), kind, "fraud-scoring")["spec"]["rules"]
        (rest,) = [rule for rule in rules if "matches" not in rule]
        assert [(ref["name"], ref["port"], ref["weight"]) for ref in rest["backendRefs"]] == [
            ("fraud-scoring", port, 75),
            ("fraud-scoring-challenger", port, 25),
        ]
        (many,) = [rule for rule in rules if any({"path", "method"} & set(match) for match in rule.get("matches", []))]
        assert [ref["name"] for ref in many["backendRefs"]] == ["fraud-scoring"]


def test_without_a_gateway_numbers_of_pods_split() -> None:
    objects = render(CANARY)
    champion, challenger = (
        find(objects, "Deployment", name)["spec"] for name in ("fraud-scoring", "fraud-scoring-challenger")
    )
    assert (champion["replicas"], challenger["replicas"]) == (3, 1)
    selector = find(objects, "Service", "fraud-scoring")["spec"]["selector"]
    for side in (champion, challenger):
        assert selector.items() <= side["template"]["metadata"]["labels"].items()


def test_with_a_gateway_the_services_keep_the_sides_apart() -> None:
    objects = _canary(25)
    for name, other in (("fraud-scoring", "fraud-scoring-challenger"), ("fraud-scoring-challenger", "fraud-scoring")):
        selector = find(objects, "Service", name)["spec"]["selector"]
        labels = {
            side: find(objects, "Deployment", side)["spec"]["template"]["metadata"]["labels"] for side in (name, other)
        }
        assert selector.items() <= labels[name].items()
        assert not selector.items() <= labels[other].items()


def test_sides_have_their_images_and_roles() -> None:
    objects = _canary(25)
    champion, challenger = (_container(objects, name) for name in ("fraud-scoring", "fraud-scoring-challenger"))
    assert (champion["image"], challenger["image"]) == ("fraud-scoring:0.1.0", "fraud-scoring:2")
    assert _environment(champion)["FRAUD_ROLE"] == "champion"
    assert _environment(challenger)["FRAUD_ROLE"] == "challenger"


def test_a_challenger_in_the_shadow_answers_nobody() -> None:
    values = {**OPTIONS["shadow"], "scoring": {**OPTIONS["shadow"]["scoring"], "expose": GATEWAY}}
    objects = render(values)
    container = _container(objects, "fraud-scoring-challenger")
    assert _environment(container)["FRAUD_ARTIFACT"] == "/var/lib/fraud-artifacts/2"
    for kind in ("HTTPRoute", "GRPCRoute"):
        (rule,) = find(objects, kind, "fraud-scoring")["spec"]["rules"]
        assert [ref["name"] for ref in rule["backendRefs"]] == ["fraud-scoring"]
    labels = find(objects, "Deployment", "fraud-scoring-challenger")["spec"]["template"]["metadata"]["labels"]
    assert not find(objects, "Service", "fraud-scoring")["spec"]["selector"].items() <= labels.items()


@pytest.mark.parametrize("guarded", [True, False])
def test_the_champion_sends_copies_in_the_shadow_stage_alone(guarded: bool) -> None:
    shared = {**OPTIONS["shadow"]["global"], "access": {"allowUnauthenticated": not guarded}}
    for stage in ("shadow", "canary"):
        rollout = {"stage": stage, "name": "first"}
        values = {"global": shared, "scoring": {"rollout": rollout, "challenger": {"tag": "2"}, "replicas": 2}}
        objects = render(values)
        champion, challenger = (
            {entry["name"]: entry for entry in _container(objects, name)["env"]}
            for name in ("fraud-scoring", "fraud-scoring-challenger")
        )
        assert not {"FRAUD_SHADOW_URL", "FRAUD_SHADOW_API_KEY"} & set(challenger)
        if stage == "canary":
            assert not {"FRAUD_SHADOW_URL", "FRAUD_SHADOW_API_KEY"} & set(champion)
            continue
        service = find(objects, "Service", "fraud-scoring-challenger")
        (port,) = (entry["port"] for entry in service["spec"]["ports"] if entry["name"] == "grpc")
        assert champion["FRAUD_SHADOW_URL"]["value"] == f"grpc://{service['metadata']['name']}:{port}"
        assert ("FRAUD_SHADOW_API_KEY" in champion) is guarded
        if guarded:
            assert champion["FRAUD_SHADOW_API_KEY"]["valueFrom"]["secretKeyRef"]["key"] == "test-key"


# --- monitoring and policies ------------------------------------------------------------------------------------------


def _monitored(objects: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Services that an operator's Prometheus scrapes, by its job; their ports are there."""
    found = {}
    for monitor in (item for item in objects if item["kind"] == "ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        labels = {item["targetLabel"]: item["replacement"] for item in endpoint["relabelings"]}
        assert labels["release"] == "fraud"
        chosen = [
            item
            for item in objects
            if item["kind"] == "Service"
            and monitor["spec"]["selector"]["matchLabels"].items() <= item["metadata"]["labels"].items()
        ]
        assert all(endpoint["port"] in {port["name"] for port in item["spec"]["ports"]} for item in chosen)
        found[labels["job"]] = [item["metadata"]["name"] for item in chosen]
    return found


def test_the_operator_scrapes_the_controller_of_rollouts_too() -> None:
    """By the same jobs and labels as the chart's own Prometheus."""
    servers = [{"cidr": "10.0.0.1/32", "port": 6443}]
    values = {
        "dashboard": {"prometheusUrl": "none"},
        "rollouts": {"enabled": True, "apiServers": servers, "prometheusUrl": "http://prometheus:9090"},
    }
    found = _monitored(render(values, kinds=(*GATEWAY_KINDS, *OPERATOR_KINDS)))
    assert found == {"fraud-scoring": ["fraud-scoring-pods"], "fraud-rollouts": ["fraud-rollouts"]}
    own = (CHART / "charts/monitoring/files/prometheus.yml").read_text()
    assert all(f"job_name: {job}\n" in own for job in found)


def test_the_operator_s_objects_where_its_kinds_are() -> None:
    values = {"dashboard": {"prometheusUrl": "none"}, "monitoring": {"operatorLabels": {"release": "watcher"}}}
    objects = render(values, kinds=(*GATEWAY_KINDS, *OPERATOR_KINDS))
    monitor = find(objects, "ServiceMonitor", "fraud-monitoring")
    assert monitor["metadata"]["labels"]["release"] == "watcher"
    assert _monitored(objects) == {"fraud-scoring": ["fraud-scoring-pods"], "fraud-rollouts": []}
    rules = find(objects, "PrometheusRule", "fraud-monitoring")["spec"]
    assert rules == yaml.safe_load((CHART / "charts/monitoring/files/rules.yaml").read_text())
    assert not [owner for owner, _ in pods(objects) if owner in {"fraud-prometheus", "fraud-grafana"}]


def test_every_address_in_the_environment_is_a_service_and_a_flow() -> None:
    """Who is told an address may call it: both policies have the flow."""
    objects = render(profile="local")
    services = {item["metadata"]["name"]: item["spec"] for item in objects if item["kind"] == "Service"}
    urls = {
        ("fraud-dashboard", "fraud-scoring", 3000),
        ("fraud-dashboard", "fraud-mlflow", 5000),
        ("fraud-dashboard", "fraud-prometheus", 9090),
    }
    environment = " ".join(_environment(_container(objects, "fraud-dashboard")).values())
    for _, target, port in urls:
        assert f"http://{target}:{port}" in environment
    reached = {
        *urls,
        ("fraud-scoring", "fraud-redis", 6379),
        ("fraud-scoring", "fraud-postgresql", 5432),
        ("fraud-workers", "fraud-redis", 6379),
        ("fraud-workers", "fraud-postgresql", 5432),
        ("fraud-mlflow", "fraud-postgresql", 5432),
        ("fraud-prometheus", "fraud-scoring", 3000),
        ("fraud-prometheus", "fraud-alertmanager", 9093),
        ("fraud-grafana", "fraud-prometheus", 9090),
        ("fraud-test", "fraud-scoring", 3001),
    }
    for source, target, port in reached:
        assert port in {item["port"] for item in services[target]["ports"]}
        assert allows(objects, _labels(objects, source), _labels(objects, target), port), (source, target, port)
    assert not allows(objects, _labels(objects, "fraud-dashboard"), _labels(objects, "fraud-redis"), 6379)
    assert not allows(objects, _labels(objects, "fraud-mlflow"), _labels(objects, "fraud-scoring"), 3000)


def test_the_controller_of_rollouts_is_asked_for_and_reaches_what_it_needs() -> None:
    assert not [item for item in render() if item["metadata"]["name"].startswith("fraud-rollouts")]
    values = {"rollouts": {"enabled": True, "apiServers": [{"cidr": "10.0.0.1/32", "port": 6443}]}}
    objects = render(values)
    controller, prometheus = _labels(objects, "fraud-rollouts"), _labels(objects, "fraud-prometheus")
    assert allows(objects, controller, prometheus, 9090)
    assert allows(objects, prometheus, controller, 8000)
    assert not allows(objects, controller, _labels(objects, "fraud-scoring"), 3000)
    api = find(objects, "NetworkPolicy", "fraud-rollouts-api")["spec"]
    assert api["podSelector"]["matchLabels"].items() <= controller.items()
    assert api["egress"][0]["to"] == [{"ipBlock": {"cidr": "10.0.0.1/32"}}]
    container = _container(objects, "fraud-rollouts")
    assert _environment(container)["FRAUD_ROLLOUT_PROMETHEUS"] == "http://fraud-prometheus:9090"
    assert "FRAUD_RECORDS_URL" not in _environment(container)
    shared = render(values, profile="local")
    records = [
        [item for item in _container(shared, owner)["env"] if item["name"] == "FRAUD_RECORDS_URL"]
        for owner in ("fraud-scoring", "fraud-rollouts")
    ]
    assert records[0] == records[1] != []
    assert allows(shared, _labels(shared, "fraud-rollouts"), _labels(shared, "fraud-postgresql"), 5432)
    assert not allows(shared, _labels(shared, "fraud-rollouts"), _labels(shared, "fraud-redis"), 6379)
    rules = find(objects, "Role", "fraud-rollouts")["rules"]
    # Whatever the chart makes, Helm has to patch; nothing is allowed of what it does not make.
    allowed = {resource for rule in rules for resource in rule["resources"] if "patch" in rule["verbs"]}
    made = {f"{item['kind'].lower()}s".replace("ys", "ies") for item in objects if item["kind"] != "Pod"}
    assert made <= allowed
    assert not [rule for rule in rules if {"escalate", "bind", "*"} & set(rule["verbs"])]


API = [{"cidr": "10.0.0.1/32", "port": 6443}]


def _rights(objects: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (*rule["resources"], *rule["verbs"], *rule.get("resourceNames", ()))
        for rule in find(objects, "Role", "fraud-dashboard")["rules"]
    ]


def test_the_dashboard_may_see_rollouts_and_ask_for_them_when_told() -> None:
    objects = render({"dashboard": {"rollouts": {"enabled": True, "apiServers": API}}})
    # What the page does: k8s.rollout.state lists by label, and patches the one that the controller made.
    assert _rights(objects) == [("configmaps", "list"), ("configmaps", "patch", "fraud-rollout")]
    binding = find(objects, "RoleBinding", "fraud-dashboard")
    assert binding["roleRef"]["name"] == "fraud-dashboard"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "fraud-dashboard", "namespace": "fraud"}]
    settings = _environment(_container(objects, "fraud-dashboard"))
    assert settings["FRAUD_DASHBOARD_RELEASE"] == "fraud"
    assert settings["FRAUD_DASHBOARD_NAMESPACE"] == "fraud"
    policy = find(objects, "NetworkPolicy", "fraud-dashboard-api")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= _labels(objects, "fraud-dashboard").items()
    assert policy["egress"] == [
        {"ports": [{"port": 6443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
    ]
    values = {"dashboard": {"rollouts": {"enabled": True, "readOnly": True, "apiServers": API}}}
    assert _rights(render(values)) == [("configmaps", "list")]


def test_the_dashboard_names_the_config_map_as_the_controller_does() -> None:
    values = {"dashboard": {"rollouts": {"enabled": True, "apiServers": API}}}
    for release in ("fraud", "fraud.blue", "r" * 53):
        objects = render(values, release=release)
        # k8s.rollout.objects takes its prefix from the name of scoring.
        scoring = next(
            item["metadata"]["name"]
            for item in objects
            if item["kind"] == "Deployment" and item["metadata"]["labels"]["app.kubernetes.io/component"] == "scoring"
        )
        roles = [item for item in objects if item["kind"] == "Role"]
        assert roles[0]["rules"][1]["resourceNames"] == [f"{scoring.removesuffix('-scoring')}-rollout"]


def test_a_dashboard_that_was_not_told_has_no_part_in_rollouts() -> None:
    objects = render()
    assert not [item for item in objects if item["kind"] in ("Role", "RoleBinding")]
    assert not [item for item in objects if item["metadata"]["name"] == "fraud-dashboard-api"]
    assert not [name for name in _environment(_container(objects, "fraud-dashboard")) if "RELEASE" in name]
    assert not next(spec for owner, spec in pods(objects) if owner == "fraud-dashboard")["automountServiceAccountToken"]
    # Read-only, said without the rest, gives no rights either.
    assert _fixed(render({"dashboard": {"rollouts": {"readOnly": True}}})) == _fixed(objects)


def _fixed(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what each rendering makes up anew."""
    return [item for item in objects if item["kind"] != "Secret"]


def _labels(objects: list[dict[str, Any]], owner: str) -> dict[str, str]:
    for item in objects:
        if item["metadata"]["name"] == owner and item["kind"] == "Pod":
            return dict(item["metadata"]["labels"])
        if item["metadata"]["name"] == owner and "template" in item.get("spec", {}):
            return dict(item["spec"]["template"]["metadata"]["labels"])
    raise AssertionError(f"no pods of {owner}")


def test_a_registry_is_put_before_what_names_none() -> None:
    values = {
        "global": {"images": {"registry": "localhost", "workers": {"repository": "r.example:5000/trained"}}},
        "scoring": {"champion": {"repository": "banks/fraud-scoring@sha256:" + "0" * 64}},
    }
    images = {owner: spec["containers"][0]["image"] for owner, spec in pods(render(values, profile="local"))}
    assert images["fraud-redis"].startswith("docker.io/library/redis:")
    assert images["fraud-prometheus"].startswith("docker.io/prom/prometheus:")
    assert images["fraud-mlflow"].startswith("r.example:5000/trained:")
    assert images["fraud-dashboard"].startswith("localhost/fraud-dashboard:")
    assert images["fraud-scoring"] == "localhost/banks/fraud-scoring@sha256:" + "0" * 64
