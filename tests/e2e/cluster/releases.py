"""Releases of the chart for tests: images of the test run, stand-ins for public servers, a namespace of their own."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.helm.charts import CHART

__all__ = [
    "STAND_INS",
    "install",
    "least",
    "local_values",
    "restricted_namespace",
    "stand_ins",
    "until",
    "writable_volumes",
]

STAND_INS: Final = ("stores", "prometheus", "alertmanager")
_SERVERS: Final = Path(__file__).parent / "servers"
_PATIENCE_SECONDS: Final = 300
#: Where the shared cluster's provisioner puts volumes.
_VOLUMES: Final = Path("/tmp/hostpath_pv")  # noqa: S108


def stand_ins(cluster: Cluster) -> None:
    """Bring images with Debian's Redis, PostgreSQL, Prometheus and Alertmanager onto the nodes."""
    if os.environ.get("FRAUD_E2E_IMAGES_LOADED") == "1":
        return
    names = [f"localhost/stand-in-{server}:e2e" for server in STAND_INS]
    for server, name in zip(STAND_INS, names, strict=True):
        cluster.build(name, "--target", server, str(_SERVERS))
    cluster.load(names)


def local_values(images: Images) -> dict[str, Any]:
    """What makes the local profile run on images that nothing was pulled for; Grafana's cannot be had."""
    return {
        "global": {
            "images": {
                "registry": images.prefix,
                **{part: {"tag": images.tag} for part in ("scoring", "workers", "dashboard")},
                **{server: {"repository": "stand-in-stores", "tag": "e2e"} for server in ("redis", "postgresql")},
            }
        },
        "monitoring": {
            "prometheus": {"repository": "stand-in-prometheus", "tag": "e2e"},
            "alertmanager": {"repository": "stand-in-alertmanager", "tag": "e2e"},
            "grafana": {"enabled": False},
        },
    }


def least(images: Images, **scoring: Any) -> dict[str, Any]:
    """Values of a release with embedded stores and one pod, for the default profile: the least that scores.

    Parameters
    ----------
    scoring
        Values of the service.
    """
    resources = {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}}
    return {
        "global": {"images": local_values(images)["global"]["images"]},
        "scoring": {"resources": resources, **scoring},
        **{part: {"enabled": False} for part in ("dashboard", "mlflow", "monitoring")},
    }


def until(look: Callable[[], Any], what: str) -> Any:
    """What a look finds, waited for."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        if found := look():
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what} did not come about in {_PATIENCE_SECONDS} s")


@contextlib.contextmanager
def restricted_namespace(cluster: Cluster, name: str) -> Iterator[str]:
    """A namespace that enforces the restricted Pod Security profile, removed at the end."""
    cluster.kubectl("delete", "namespace", name, "--ignore-not-found", seconds=300)
    labels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    cluster.kubectl(
        "create", manifest={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    )
    try:
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--ignore-not-found", seconds=300)


@contextlib.contextmanager
def writable_volumes() -> Iterator[None]:
    """Open volumes to pods while the block runs.

    The built-in provisioner of the shared cluster makes folders that only root may enter, and kubelet changes the group
    of no host path; what provisions volumes elsewhere does one or the other.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            for folder in _VOLUMES.glob("*"):
                with contextlib.suppress(OSError):
                    folder.chmod(0o777)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def install(
    cluster: Cluster,
    release: str,
    namespace: str,
    values: Mapping[str, Any],
    *arguments: str,
    profile: str | None = "local",
) -> str:
    """``helm upgrade --install --wait``; what it prints."""
    files = [f"--values={CHART / f'values-{profile}.yaml'}"] if profile else []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as given:
        json.dump(values, given)
        given.flush()
        return cluster.helm(
            *("upgrade", "--install", release, str(CHART), "--namespace", namespace, "--wait", "--timeout=8m"),
            *files,
            f"--values={given.name}",
            *arguments,
        )
