"""Releases of the chart for tests: images of the test run, stand-ins for public servers, a namespace of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster
from tests.helm.charts import CHART

__all__ = ["STAND_INS", "install", "local_values", "restricted_namespace", "stand_ins", "writable_volumes"]

STAND_INS: Final = ("redis", "postgresql", "prometheus", "alertmanager")
_SERVERS: Final = Path(__file__).parent / "servers"
_BUILD_SECONDS: Final = 1200
#: Where the shared cluster's provisioner puts volumes.
_VOLUMES: Final = Path("/tmp/hostpath_pv")  # noqa: S108


def stand_ins(cluster: Cluster) -> None:
    """Bring images with Debian's Redis, PostgreSQL, Prometheus and Alertmanager onto the nodes."""
    if os.environ.get("FRAUD_E2E_IMAGES_LOADED") == "1":
        return
    builder = cluster.environ.get("IMAGE_BUILDER", "docker")
    # The packages are one layer of all four.
    layers = ["--layers"] if builder == "buildah" else []
    names = []
    for server in STAND_INS:
        names.append(f"localhost/stand-in-{server}:e2e")
        ended = subprocess.run(
            [builder, "build", *layers, "--target", server, "--tag", names[-1], str(_SERVERS)],
            env=dict(cluster.environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_BUILD_SECONDS,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout[-4000:]
    cluster.load(names)


def local_values(images: Images) -> dict[str, Any]:
    """What makes the local profile run on images that nothing was pulled for; Grafana's cannot be had."""
    return {
        "global": {
            "images": {
                "registry": images.prefix,
                **{part: {"tag": images.tag} for part in ("scoring", "workers", "dashboard")},
                **{server: {"repository": f"stand-in-{server}", "tag": "e2e"} for server in ("redis", "postgresql")},
            }
        },
        "monitoring": {
            "prometheus": {"repository": "stand-in-prometheus", "tag": "e2e"},
            "alertmanager": {"repository": "stand-in-alertmanager", "tag": "e2e"},
            "grafana": {"enabled": False},
        },
    }


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
