"""Rollouts on a real cluster: a challenger whose image is missing, one that is aborted; Helm tells the same story."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import install, local_values, restricted_namespace, stand_ins, until, writable_volumes
from tests.e2e.cluster.rollouts import RELEASE, rollout, rollout_command, same_story, status
from tests.fraud.server import ROOT
from tests.helm.charts import CHART

PLAN = {"steps": [{"weight": 0, "shortest_seconds": 3600}, {"weight": 50}], "look_seconds": 1}


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, images: Images) -> Iterator[str]:
    stand_ins(cluster)
    with restricted_namespace(cluster, "fraud-rollout") as name, writable_volumes():
        install(cluster, RELEASE, name, local_values(images))
        yield name


@pytest.fixture
def controller(cluster: Cluster, namespace: str) -> Iterator[subprocess.Popen[str]]:
    """`rollout run` on this machine; without a Prometheus that it reaches, so nothing moves by itself."""
    arguments = ("run", "--release", RELEASE, "--prometheus", "http://127.0.0.1:9", "--port", "0")
    with subprocess.Popen(
        rollout_command(*arguments, namespace=namespace), cwd=ROOT, env=dict(cluster.environ), text=True
    ) as process:
        yield process
        process.terminate()


def _start(cluster: Cluster, namespace: str, folder: Path, name: str, *challenger: str) -> None:
    (folder / "plan.yaml").write_text(yaml.safe_dump(PLAN))
    given = ("--plan", str(folder / "plan.yaml"), "--name", name, "--chart", str(CHART))
    rollout(cluster, namespace, "start", "--release", RELEASE, *challenger, *given)


@pytest.mark.usefixtures("controller")
def test_a_missing_image_is_rolled_back(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    _start(cluster, namespace, tmp_path, "missing", "--tag", "nowhere")
    until(lambda: status(cluster, namespace)["phase"] == "rolled_back", "the rollback")
    ended = status(cluster, namespace)
    assert "nowhere" in ended["changes"][-1]["reason"]
    same_story(cluster, namespace, ended)
    values = json.loads(cluster.helm("get", "values", RELEASE, "--namespace", namespace, "--all", "--output", "json"))
    assert values["scoring"]["rollout"] == {"stage": "none", "weight": 0, "name": ""}
    events = cluster.get("events", namespace=namespace)["items"]
    assert {"RolloutRollingBack", "RolloutRolledBack"} <= {item["reason"] for item in events}


@pytest.mark.usefixtures("controller")
def test_an_abort(cluster: Cluster, namespace: str, images: Images, tmp_path: Path) -> None:
    # The same image by its whole name is another challenger to the chart.
    _start(cluster, namespace, tmp_path, "aborted", "--repository", f"{images.prefix}/fraud-scoring")
    until(lambda: status(cluster, namespace)["stage"] == "shadow", "the shadow")
    rollout(cluster, namespace, "abort", "--why", "enough")
    until(lambda: status(cluster, namespace)["phase"] == "aborted", "the end")
    same_story(cluster, namespace, status(cluster, namespace))
    names = [item["metadata"]["name"] for item in cluster.get("deployments", namespace=namespace)["items"]]
    assert f"{RELEASE}-scoring" in names
    assert f"{RELEASE}-scoring-challenger" not in names
