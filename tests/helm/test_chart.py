"""The chart renders: lint, profiles, objects by Kubernetes' own schemas, pods that the restricted profile admits."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from scripts.chart_values import OWNED_SETTINGS, main, settings_schema
from tests.helm.charts import CHART, GATEWAY_KINDS, OPERATOR_KINDS, PROFILES, find, pods, render, run_helm
from tests.helm.kubernetes_schemas import check

#: What does not come with Kubernetes or Gateway API, and is checked by hand below.
OTHERS_KINDS = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
SHARED: dict[str, Any] = {
    "features": {"store": "redis"},
    "redis": {"existingSecret": "redis"},
    "records": {"database": "postgresql"},
    "postgresql": {"existingSecret": "records"},
    "jobs": {"url": "s3://jobs/"},
}
CANARY: dict[str, Any] = {
    "global": SHARED,
    "scoring": {
        "replicas": 4,
        "rollout": {"stage": "canary", "weight": 25, "name": "first"},
        "challenger": {"tag": "2"},
    },
}
GATEWAY: dict[str, Any] = {"kind": "gateway", "gateway": {"name": "gateway", "namespace": "gateway"}}
#: Each once, over the default profile.
OPTIONS: dict[str, dict[str, Any]] = {
    "several": {"global": SHARED, "scoring": {"replicas": 3}},
    "hpa": {"global": SHARED, "scoring": {"autoscaling": {"kind": "hpa"}}},
    "keda": {"global": SHARED, "scoring": {"autoscaling": {"kind": "keda"}}},
    "gateway": {"scoring": {"expose": GATEWAY}},
    "ingress": {
        "scoring": {
            "expose": {
                "kind": "ingress",
                "hostnames": ["fraud.example.com"],
                "ingress": {
                    "className": "nginx",
                    "tlsSecret": "certificate",
                    "annotations": {"a/b": "c"},
                    "grpcAnnotations": {"nginx.ingress.kubernetes.io/backend-protocol": "GRPC"},
                },
            }
        },
        "dashboard": {
            "expose": {"kind": "ingress", "hostnames": ["dashboard.example.com"]},
            "login": {"existingSecret": "login"},
        },
    },
    "canary by pods": CANARY,
    "canary by routes": {**CANARY, "scoring": {**CANARY["scoring"], "expose": GATEWAY}},
    "shadow": {
        "global": SHARED,
        "scoring": {"rollout": {"stage": "shadow", "name": "first"}, "challenger": {"artifact": "2"}}
        | {"artifacts": {"existingClaim": "artifacts"}},
    },
    "operator": {"monitoring": {"kind": "operator"}, "dashboard": {"prometheusUrl": "none"}},
    "receivers": {
        "monitoring": {"alertmanager": {"slack": {"existingSecret": "a"}, "pagerDuty": {"existingSecret": "b"}}}
    },
    "nothing beside": {
        "dashboard": {"enabled": False},
        "mlflow": {"enabled": False},
        "monitoring": {"enabled": False},
    },
    "no volumes": {
        "scoring": {"persistence": {"enabled": False}},
        "mlflow": {"persistence": {"enabled": False}},
        "monitoring": {"prometheus": {"persistence": {"enabled": False}}, "alertmanager": {"existingSecret": "a"}},
    },
    "scheduling": {
        "global": {
            "nodeSelector": {"pool": "fraud"},
            "tolerations": [{"key": "fraud", "operator": "Exists", "effect": "NoSchedule"}],
            "podAnnotations": {"a/b": "c"},
            "images": {"registry": "r.example.com", "pullSecrets": ["pull"]},
        },
        "scoring": {"priorityClassName": "payments", "processes": 2, "service": {"type": "NodePort"}},
    },
    "policies": {
        "global": {
            "networkPolicy": {
                "clientNamespaceLabels": {"team": "payments"},
                "external": [{"cidr": "10.0.0.0/8", "ports": [443]}],
            }
        }
    },
    "retraining": {
        "jobs": {
            "retraining": {"enabled": True, "transactions": "claim://payments/transactions.parquet"},
            "training": {"signingSecret": "signing", "priorityClassName": "low"},
            "bulk": {"priorityClassName": "low"},
        },
        "scoring": {"champion": {"tag": "7", "artifact": "7"}, "artifacts": {"existingClaim": "artifacts"}},
    },
    "rollouts": {"rollouts": {"enabled": True, "apiServers": [{"cidr": "10.0.0.1/32", "port": 6443}]}},
    "dashboard's rollouts": {
        "dashboard": {"rollouts": {"enabled": True, "apiServers": [{"cidr": "10.0.0.1/32", "port": 6443}]}}
    },
    "no policies": {"global": {"networkPolicy": {"enabled": False}}},
}
KINDS = (*GATEWAY_KINDS, "keda.sh/v1alpha1")


def _option_kinds(option: str) -> tuple[str, ...]:
    return (*KINDS, *OPERATOR_KINDS) if option == "operator" else KINDS


def test_lint() -> None:
    for arguments in PROFILES.values():
        ended = run_helm("lint", "--strict", str(CHART), *(("--kube-version", "1.34.0")), *arguments)
        assert ended.returncode == 0 or "Gateway" in ended.stdout + ended.stderr, ended.stdout + ended.stderr


def _problems(objects: list[dict[str, Any]]) -> list[str]:
    return [
        f"{item['kind']} {item['metadata']['name']}: {problem}"
        for item in objects
        if item["kind"] not in OTHERS_KINDS
        for problem in check(item)
    ]


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_fits_kubernetes_schemas(profile: str) -> None:
    assert _problems(render(profile=profile)) == []


@pytest.mark.parametrize("option", OPTIONS)
def test_option_fits_kubernetes_schemas(option: str) -> None:
    objects = render(OPTIONS[option], kinds=_option_kinds(option))
    assert _problems(objects) == []
    _check_identity(objects)
    _check_restricted(objects)


def test_a_misspelt_field_is_found() -> None:
    service = find(render(), "Service", "fraud-scoring")
    service["spec"]["prots"] = []
    assert check(service) == ["spec: Additional properties are not allowed ('prots' was unexpected)"]


@pytest.mark.parametrize("profile", PROFILES)
def test_pods_are_restricted_and_named(profile: str) -> None:
    objects = render(profile=profile)
    _check_identity(objects)
    _check_restricted(objects)


def _check_identity(objects: list[dict[str, Any]]) -> None:
    """One name, one namespace, the common labels; selectors that an upgrade leaves alone."""
    keys = Counter((item["kind"], item["metadata"]["name"]) for item in objects)
    assert {key for key, count in keys.items() if count > 1} == set()
    for item in objects:
        metadata = item["metadata"]
        assert metadata["namespace"] == "fraud", metadata
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/instance"] == "fraud"
        assert {"app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"} <= set(labels)
        if item["kind"] in {"Deployment", "StatefulSet"}:
            selector = item["spec"]["selector"]["matchLabels"]
            assert set(selector) == {f"app.kubernetes.io/{key}" for key in ("name", "instance", "component")}
            assert selector.items() <= item["spec"]["template"]["metadata"]["labels"].items()


def _check_restricted(objects: list[dict[str, Any]]) -> None:
    accounts = {item["metadata"]["name"]: item for item in objects if item["kind"] == "ServiceAccount"}
    # Only who has rights talks to the cluster: the controller of rollouts, and the dashboard when it shows them.
    entitled = {subject["name"] for item in objects if item["kind"] == "RoleBinding" for subject in item["subjects"]}
    assert entitled <= {"fraud-rollouts", "fraud-dashboard"}
    seen = 0
    for owner, spec in pods(objects):
        seen += 1
        assert spec["automountServiceAccountToken"] is (spec["serviceAccountName"] in entitled), owner
        assert accounts[spec["serviceAccountName"]]["automountServiceAccountToken"] is False, owner
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"] + spec.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, owner
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, owner
            assert "memory" in container["resources"]["limits"], owner
    assert seen > 0


def test_names_of_a_long_release() -> None:
    release = "r" * 53
    other = f"{'r' * 52}x"
    names = {}
    for name in (release, other):
        objects = render(CANARY, release=name)
        names[name] = {item["metadata"]["name"] for item in objects}
        assert max(map(len, names[name])) <= 52
    assert not names[release] & names[other]


def test_a_name_of_60_characters() -> None:
    objects = render({"global": {"fullnameOverride": "f" * 60}})
    assert max(len(item["metadata"]["name"]) for item in objects) <= 52
    assert _problems(objects) == []


def test_a_release_with_a_dot() -> None:
    assert _problems(render(release="fraud.blue")) == []


def test_schemas_and_table_are_current(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["chart_values.py", "--check"])
    assert main() == 0, capsys.readouterr().err


def test_schemas_are_closed() -> None:
    def open_objects(node: Any, place: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        found = []
        if node.get("type") == "object" and node.get("additionalProperties", True) is True:
            found.append(place)
        for name, item in (*node.get("properties", {}).items(), ("[]", node.get("items"))):
            found += open_objects(item, f"{place}.{name}")
        return found

    parts = {"dashboard", "mlflow", "monitoring", "rollouts", "scoring", "workers"}
    parent = open_objects(json.loads((CHART / "values.schema.json").read_text()), "")
    # Subcharts look at their own.
    assert set(parent) == {f".{part}" for part in parts}
    for part in parts:
        schema = json.loads((CHART / "charts" / part / "values.schema.json").read_text())
        # The parent looks at global.
        assert open_objects(schema, "") == [".global"]


def test_owned_settings_exist() -> None:
    from bentos.fraud.settings import ScoringSettings

    assert set(ScoringSettings.model_fields) >= OWNED_SETTINGS
    assert set(settings_schema()["properties"]) == set(ScoringSettings.model_fields) - OWNED_SETTINGS
