"""Commands of rollouts, for tests on a cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any, Final

from tests.e2e.cluster.node import Cluster
from tests.fraud.server import ROOT

__all__ = ["RELEASE", "rollout", "rollout_command", "same_story", "status"]

RELEASE: Final = "fraud"
_SECONDS: Final = 300


def rollout_command(*arguments: str, namespace: str) -> list[str]:
    """A command line of ``k8s rollout``."""
    return [sys.executable, "-m", "k8s", "rollout", *arguments, "--namespace", namespace]


def rollout(cluster: Cluster, namespace: str, *arguments: str) -> str:
    """What a command prints."""
    return subprocess.run(
        rollout_command(*arguments, namespace=namespace),
        cwd=ROOT,
        env=dict(cluster.environ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=_SECONDS,
    ).stdout


def status(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """The rollout under way, or the last one."""
    read: dict[str, Any] = json.loads(rollout(cluster, namespace, "status", "--output", "json"))
    return read


def same_story(cluster: Cluster, namespace: str, told: dict[str, Any]) -> None:
    """`helm history` has the revisions that the rollout tells of, and no other of it."""
    history = json.loads(cluster.helm("history", RELEASE, "--namespace", namespace, "--output", "json"))
    helm = {item["revision"] for item in history if item["description"].startswith(f"rollout {told['name']} ")}
    began = told["changes"][0]["revision"]
    own = {item["revision"] for item in told["changes"] if (item["revision"] or 0) > began}
    assert helm == own, (own, [(item["revision"], item["status"], item["description"]) for item in history])
