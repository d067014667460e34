"""Renders the chart as ``helm install`` would, without a cluster."""

from __future__ import annotations

import functools
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from bentos.core.settings import TrainingSettings, load_settings

__all__ = ["CHART", "GATEWAY_KINDS", "OPERATOR_KINDS", "PROFILES", "failure", "find", "pods", "render", "run_helm"]

CHART: Final = Path(__file__).parents[2] / "helm" / "fraud-platform"
GATEWAY_KINDS: Final = ("gateway.networking.k8s.io/v1/HTTPRoute", "gateway.networking.k8s.io/v1/GRPCRoute")
OPERATOR_KINDS: Final = ("monitoring.coreos.com/v1/ServiceMonitor", "monitoring.coreos.com/v1/PrometheusRule")
#: Arguments of each profile.
PROFILES: Final[dict[str, tuple[str, ...]]] = {
    "default": (),
    "local": ("--values", str(CHART / "values-local.yaml")),
    "production": ("--values", str(CHART / "values-production.yaml")),
}
_SECONDS: Final = 120


@functools.cache
def _find_helm() -> str | None:
    """``helm`` on PATH, else the one of the shared cluster, which is there once that has been up."""
    named = os.environ.get("FRAUD_SHARED_CLUSTER")
    shared = Path(named) if named else load_settings(TrainingSettings).shared_data.parent / "cluster" / "cluster"
    path = os.environ.get("PATH", "")
    if shutil.which("helm") is None and shared.is_file():
        script = f'eval "$({shlex.quote(str(shared.resolve()))} env)" && printf %s "$PATH"'
        path = subprocess.run(
            ["bash", "-c", script], capture_output=True, text=True, timeout=_SECONDS, check=True
        ).stdout
    return shutil.which("helm", path=path)


def run_helm(*arguments: str, values: Mapping[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``helm``; values are JSON on standard input."""
    helm = _find_helm()
    if helm is None:
        pytest.skip("helm is neither on PATH nor in the shared cluster: the chart cannot be rendered")
    more = ["--values", "-"] if values is not None else []
    # What the caller's cluster knows must not matter.
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "HELM"))}
    return subprocess.run(
        [helm, *arguments, *more],
        env=environ,
        input=None if values is None else json.dumps(values),
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def _template(
    values: Mapping[str, Any] | None, profile: str, release: str, kinds: Sequence[str]
) -> subprocess.CompletedProcess[str]:
    available = [f"--api-versions={kind}" for kind in kinds]
    return run_helm(
        *("template", release, str(CHART), "--namespace", "fraud"), *PROFILES[profile], *available, values=values
    )


def render(
    values: Mapping[str, Any] | None = None,
    *,
    profile: str = "default",
    release: str = "fraud",
    kinds: Sequence[str] = GATEWAY_KINDS,
) -> list[dict[str, Any]]:
    """Objects of a release.

    Parameters
    ----------
    values
        Put over those of the profile.
    profile
        One of ``PROFILES``.
    release
        Its name.
    kinds
        What the cluster knows beside Kubernetes' own, as version/kind.
    """
    ended = _template(values, profile, release, kinds)
    assert ended.returncode == 0, ended.stderr
    return [item for item in yaml.safe_load_all(ended.stdout) if item]


def failure(
    values: Mapping[str, Any] | None = None,
    *,
    profile: str = "default",
    release: str = "fraud",
    kinds: Sequence[str] = GATEWAY_KINDS,
) -> str:
    """What is said when a release is refused."""
    ended = _template(values, profile, release, kinds)
    assert ended.returncode != 0, "these values were taken"
    return ended.stderr


def find(objects: Sequence[Mapping[str, Any]], kind: str, name: str) -> dict[str, Any]:
    """The only object of a kind and name."""
    found = [item for item in objects if item["kind"] == kind and item["metadata"]["name"] == name]
    names = [item["metadata"]["name"] for item in objects if item["kind"] == kind]
    assert len(found) == 1, f"no {kind} {name} among {names}"
    return dict(found[0])


def pods(objects: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name of the owner and spec of every pod that a release has."""
    for item in objects:
        if item["kind"] == "Pod":
            yield item["metadata"]["name"], item["spec"]
        elif item["kind"] == "PodTemplate":
            yield item["metadata"]["name"], item["template"]["spec"]
        elif item["kind"] == "CronJob":
            yield item["metadata"]["name"], item["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        elif "template" in item.get("spec", {}):
            yield item["metadata"]["name"], item["spec"]["template"]["spec"]
