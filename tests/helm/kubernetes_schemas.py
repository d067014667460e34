"""Kubernetes' own schemas of the kinds that the chart uses, closed, so that a misspelt field is an error.

``python -m tests.helm.kubernetes_schemas`` reads them from the API server of the current kubeconfig (``/openapi/v3``)
and writes ``kubernetes_schemas.json.gz`` anew.
"""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

__all__ = ["check"]

FILE: Final = Path(__file__).with_suffix(".json.gz")
#: Groups that the chart has objects of. KEDA's and the Prometheus operator's kinds are not in a plain cluster.
_GROUPS: Final = (
    "api/v1",
    "apis/apps/v1",
    "apis/autoscaling/v2",
    "apis/batch/v1",
    "apis/gateway.networking.k8s.io/v1",
    "apis/networking.k8s.io/v1",
    "apis/policy/v1",
    "apis/rbac.authorization.k8s.io/v1",
)
_KINDS: Final = frozenset(
    {
        *("ConfigMap", "Secret", "Service", "ServiceAccount", "PersistentVolumeClaim", "Pod", "PodTemplate"),
        *("Deployment", "StatefulSet", "Job", "CronJob", "HorizontalPodAutoscaler", "PodDisruptionBudget"),
        *("NetworkPolicy", "Ingress", "HTTPRoute", "GRPCRoute", "Role", "RoleBinding"),
    }
)
#: Kubernetes' way to say: any key.
_OPEN: Final = "x-kubernetes-preserve-unknown-fields"


def check(item: Mapping[str, Any]) -> list[str]:
    """What is wrong with an object; empty when nothing is, None's place being a kind that no schema is kept of."""
    validator = _validators().get((item["apiVersion"], item["kind"]))
    if validator is None:
        return [f"there is no schema of {item['apiVersion']} {item['kind']}"]
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(item)]


@cache
def _validators() -> dict[tuple[str, str], Any]:
    kept = json.loads(gzip.decompress(FILE.read_bytes()))
    return {
        (version, kind): jsonschema_rs.Draft202012Validator(
            {"$ref": f"#/components/schemas/{name}", "components": {"schemas": kept["schemas"]}}
        )
        for version, kind, name in kept["kinds"]
    }


def _closed(node: Any) -> Any:
    """The schema with every object closed that names its properties."""
    if isinstance(node, list):
        return [_closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: _closed(item) for key, item in node.items() if key not in {"description", "default"} and key[:2] != "x-"
    }
    # The parts of allOf would each refuse the others' fields: the API server's are single references.
    if "properties" in node and "additionalProperties" not in node and not node.get(_OPEN):
        kept["additionalProperties"] = False
    if node.get("x-kubernetes-int-or-string") or node.get("format") == "int-or-string":
        return {"type": ["integer", "string"]}
    return kept


def _write() -> None:
    schemas: dict[str, Any] = {}
    kinds = []
    for group in _GROUPS:
        text = subprocess.run(
            ["kubectl", "get", "--raw", f"/openapi/v3/{group}"], check=True, capture_output=True, text=True
        ).stdout
        found = json.loads(text)["components"]["schemas"]
        for name, schema in found.items():
            schemas[name] = _named(schema, name)
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                version = f"{kind['group']}/{kind['version']}" if kind["group"] else kind["version"]
                if kind["kind"] in _KINDS and version == group.removeprefix("apis/").removeprefix("api/"):
                    kinds.append((version, kind["kind"], name))
    used: dict[str, Any] = {}
    waiting = [name for _, _, name in kinds]
    while waiting:
        name = waiting.pop()
        if name not in used:
            used[name] = schemas[name]
            waiting += _references(schemas[name])
    text = json.dumps({"kinds": sorted(kinds), "schemas": used}, sort_keys=True)
    FILE.write_bytes(gzip.compress(text.encode(), mtime=0))


def _named(schema: dict[str, Any], name: str) -> Any:
    # Quantities are numbers or text, whatever the document says.
    if name.endswith(("api.resource.Quantity", "IntOrString")):
        return {"type": ["string", "number", "integer"]}
    return _closed(schema)


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [name for item in node for name in _references(item)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
    return own + [name for item in node.values() for name in _references(item)]


if __name__ == "__main__":
    _write()
