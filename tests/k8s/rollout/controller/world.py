"""A release in a played cluster: two Deployments, two routes, revisions in a file, and a controller of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from k8s.cluster import connect
from k8s.helm import Helm
from k8s.rollout.controller import Controller
from k8s.rollout.plan import Plan, Step
from k8s.rollout.record import ModelRef, Rollout
from k8s.rollout.serve import make_controller
from k8s.rollout.start import begin
from k8s.rollout.state import Stored, load
from tests.k8s.rollout.controller.played import PlayedApi
from tests.ports import free_port

__all__ = ["QUICK", "World", "make_world"]

#: Goes on by itself without any evidence: what is tested is how.
QUICK: Final = Plan(
    steps=(
        Step(weight=0, shortest_seconds=0, longest_seconds=0.01, minimum_requests=0, when_inconclusive="advance"),
        Step(weight=30, shortest_seconds=0, longest_seconds=0.01, minimum_requests=0, when_inconclusive="advance"),
    ),
    look_seconds=0.01,
)
_NOBODY: Final = {"repository": "", "tag": "", "artifact": ""}
VALUES: Final[dict[str, Any]] = {
    "scoring": {
        "rollout": {"stage": "none", "weight": 0, "name": ""},
        "champion": {**_NOBODY, "tag": "1"},
        "challenger": _NOBODY,
        "expose": {"kind": "gateway"},
    }
}


@dataclass
class World:
    """The release, and its controller.

    Parameters
    ----------
    folder
        Of Helm's revisions.
    """

    api: PlayedApi
    folder: Path
    controller: Controller

    def begin(self, plan: Plan = QUICK) -> Stored:
        """Begin a rollout."""
        helm = self.controller.carrier.helm
        return begin(self.controller.cluster, helm, "fraud", ModelRef(tag="2"), plan, "anna@bank", "first")

    def stored(self) -> Stored:
        """What is stored."""
        return load(self.controller.cluster, "fraud")

    def until_over(self, most: int = 200) -> Rollout:
        """Look until the rollout has ended."""
        for _ in range(most):
            found = self.controller.tick()
            if found is not None and found.over:
                return found
        raise AssertionError(f"not over after {most} looks: {self.stored().current}")

    def until(self, step: int, most: int = 50) -> Rollout:
        """Look until a step has begun."""
        for _ in range(most):
            found = self.controller.tick()
            if found is not None and found.step == step and found.step_began is not None and found.intent is None:
                return found
        raise AssertionError(f"step {step} did not begin within {most} looks: {self.stored().current}")

    def revisions(self) -> list[dict[str, Any]]:
        """Helm's, the oldest first."""
        found: list[dict[str, Any]] = json.loads((self.folder / "revisions.json").read_text())
        return found

    def add_revision(self, values: Mapping[str, Any], status: str = "deployed", updated: str = "") -> None:
        """One that somebody else makes."""
        last = self.revisions()[-1]
        more = {"revision": last["revision"] + 1, "updated": updated or last["updated"], "status": status}
        (self.folder / "revisions.json").write_text(
            json.dumps([*self.revisions(), {**more, "description": "by hand", "values": dict(values)}])
        )


def deployment(component: str, replicas: int = 1, ready: int = 1) -> dict[str, Any]:
    """A Deployment of a side."""
    return {
        "metadata": {"name": f"fraud-{component}", "generation": 1, "labels": labels(component)},
        "spec": {"replicas": replicas},
        "status": {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": ready},
    }


def labels(component: str) -> dict[str, str]:
    """Labels of an object of the chart."""
    return {
        "app.kubernetes.io/name": "fraud-platform",
        "app.kubernetes.io/instance": "fraud",
        "app.kubernetes.io/component": component,
    }


def _route(port: int) -> dict[str, Any]:
    champion, challenger = ({"name": f"fraud-{name}", "port": port} for name in ("scoring", "scoring-challenger"))
    return {
        "metadata": {"name": "fraud-scoring", "labels": labels("scoring")},
        "spec": {
            "rules": [
                {"matches": [{"headers": [{"name": "x-fraud-bucket", "value": "07"}]}], "backendRefs": [challenger]},
                {"matches": [{"headers": [{"name": "x-fraud-bucket", "value": "08"}]}], "backendRefs": [champion]},
                {"backendRefs": [{**champion, "weight": 70}, {**challenger, "weight": 30}]},
            ]
        },
    }


def make_world(api: PlayedApi, address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world, with KUBECONFIG set already; no Prometheus answers."""
    programs = folder / "bin"
    programs.mkdir()
    (programs / "helm").write_text((Path(__file__).parent / "helm_files.py").read_text())
    (programs / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("HELM_FILES", str(folder))
    monkeypatch.setenv("HELM_TOLD", address)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    first = {"revision": 1, "updated": "2026-05-01T00:00:00+00:00", "status": "deployed", "description": "Install"}
    (folder / "revisions.json").write_text(json.dumps([{**first, "values": VALUES}]))
    apps, gateway = ("/apis/apps/v1/namespaces/fraud", "/apis/gateway.networking.k8s.io/v1/namespaces/fraud")
    for component in ("scoring", "scoring-challenger"):
        api.put(f"{apps}/deployments/fraud-{component}", deployment(component))
    for kind, port in (("httproutes", 3000), ("grpcroutes", 3001)):
        api.put(f"{gateway}/{kind}/fraud-scoring", _route(port))
    cluster = connect()
    helm = Helm(cluster.namespace)
    return World(api, folder, make_controller(cluster, helm, "fraud", "chart", f"http://127.0.0.1:{free_port()}"))
