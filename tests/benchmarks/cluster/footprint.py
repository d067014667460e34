"""What a release takes: time to install, image, start and memory of a pod."""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any, Final

from tests.benchmarks.cluster.release import NAMESPACE, RELEASE, Release
from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import install

__all__ = ["measure_install", "measure_pod"]

#: The kubelet measures memory every few seconds.
_MEMORY_SECONDS: Final = 30


def measure_install(cluster: Cluster, values: dict[str, Any]) -> dict[str, Any]:
    """Install the whole local profile into an empty namespace; seconds until ``helm test`` has passed, and the pods."""
    begun = time.monotonic()
    install(cluster, RELEASE, NAMESPACE, values)
    installed = time.monotonic()
    cluster.helm("test", RELEASE, "--namespace", NAMESPACE)
    tested = time.monotonic()
    pods = cluster.get("pods", namespace=NAMESPACE)["items"]
    return {
        "install_seconds": round(installed - begun),
        "until_test_passes_seconds": round(tested - begun),
        "pods": sorted(pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in pods),
    }


def measure_pod(release: Release, images: Images) -> dict[str, Any]:
    """Size of the scoring image on the node, resident bytes of its pod as it is, seconds until a new one is ready.

    Kubernetes tells times in whole seconds.
    """
    cluster = release.cluster
    (pod,) = release.pods()
    node = pod["spec"]["nodeName"]
    memory = _memory(cluster, node, pod["metadata"]["name"])
    release.restart()
    (pod,) = release.pods()
    (container,) = pod["status"]["containerStatuses"]
    (ready,) = (item for item in pod["status"]["conditions"] if item["type"] == "Ready")
    found = cluster.get("node", node)["status"]["images"]
    (size,) = {item["sizeBytes"] for item in found if images.scoring in (item.get("names") or [])}
    started = container["state"]["running"]["startedAt"]
    return {
        "image_bytes": size,
        "ready_seconds": (_time(ready["lastTransitionTime"]) - _time(started)).total_seconds(),
        "resident_bytes": memory["rssBytes"],
        "working_set_bytes": memory["workingSetBytes"],
    }


def _memory(cluster: Cluster, node: str, pod: str) -> dict[str, int]:
    """What the kubelet has measured of a pod lately."""
    time.sleep(_MEMORY_SECONDS)
    summary = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary"))
    (found,) = (item for item in summary["pods"] if item["podRef"]["name"] == pod)
    memory: dict[str, int] = found["memory"]
    return memory


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
