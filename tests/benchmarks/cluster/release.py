"""A release of the local profile behind the cluster's gateway, and changes of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.e2e.cluster.node import Cluster
from tests.e2e.cluster.releases import install

__all__ = ["GATEWAY", "NAMESPACE", "PORTS", "RELEASE", "Release"]

NAMESPACE: Final = "fraud-bench"
RELEASE: Final = "fraud"
DEPLOYMENT: Final = f"deployment/{RELEASE}-scoring"
#: The cluster's Gateway, as routes name it.
GATEWAY: Final = {"name": "gateway", "namespace": "gateway", "httpListener": "http", "grpcListener": "grpc"}
#: The service's own.
PORTS: Final = {"http": 3000, "grpc": 3001}
_WAIT_SECONDS: Final = 300.0
#: Kills the processes that serve, within a pod.
_KILL_WORKERS: Final = """
import os, pathlib, signal
for folder in pathlib.Path("/proc").glob("[0-9]*"):
    if b"_bentoml_impl.worker" in (folder / "cmdline").read_bytes():
        os.kill(int(folder.name), signal.SIGKILL)
        break
"""


class Release:
    """A release that is installed, and what can be done to it.

    Parameters
    ----------
    cluster
        Where it runs.
    values
        Over those of the local profile.
    """

    def __init__(self, cluster: Cluster, values: dict[str, Any]) -> None:
        self.cluster = cluster
        self._values = values

    def install(self, *, settings: dict[str, int] | None = None, **scoring: Any) -> None:
        """Install it, or change values of scoring, or settings of the service; what is not given is as at first."""
        values = self._values | {
            "global": {
                **self._values["global"],
                "settings": {**self._values["global"]["settings"], **(settings or {})},
            },
            "scoring": {**self._values["scoring"], **scoring},
        }
        # The number of pods may be another's, who scaled: `kubectl scale`, or an autoscaler that is gone.
        install(self.cluster, RELEASE, NAMESPACE, values, "--force-conflicts")
        self._settle()

    def address(self, component: str) -> str:
        """Of a Service of its."""
        found = self.cluster.get("service", f"{RELEASE}-{component}", namespace=NAMESPACE)
        return str(found["spec"]["clusterIP"])

    def records_url(self) -> str:
        """Of the database, for who is in the cluster's network but does not know its names."""
        (secret,) = (
            base64.b64decode(value).decode()
            for name, value in self.cluster.get("secret", f"{RELEASE}-secrets", namespace=NAMESPACE)["data"].items()
            if name == "records-url"
        )
        return secret.replace(f"{RELEASE}-postgresql", self.address("postgresql"))

    def pods(self, component: str = "scoring") -> list[dict[str, Any]]:
        """Pods of a component, those that end included."""
        selector = f"--selector=app.kubernetes.io/component={component}"
        return list(self.cluster.get("pods", selector, namespace=NAMESPACE)["items"])

    def replicas(self) -> int:
        """Pods of scoring that are ready."""
        return int(self.cluster.get(DEPLOYMENT, namespace=NAMESPACE)["status"].get("readyReplicas", 0))

    # Changes

    def restart(self) -> None:
        """New pods one after the other."""
        self._kubectl("rollout", "restart", DEPLOYMENT)
        self._settle()

    def scale(self, replicas: int) -> None:
        """Another number of pods."""
        self._kubectl("scale", DEPLOYMENT, f"--replicas={replicas}")
        self._settle()

    def rollback(self) -> None:
        """The revision before."""
        self.cluster.helm("rollback", RELEASE, "--namespace", NAMESPACE, "--wait")
        self._settle()

    def evict(self) -> None:
        """Each pod in turn leaves, as a drain of its node has it, as soon as the budget lets it."""
        for pod in [pod["metadata"]["name"] for pod in self.pods()]:
            metadata = {"name": pod, "namespace": NAMESPACE}
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump(eviction, file)
                file.flush()
                self._kubectl("create", "--raw", path, "-f", file.name)
            self._settle()

    def kill_worker(self) -> None:
        """kill -9 of a process that serves, in one pod."""
        pod = self.pods()[0]["metadata"]["name"]
        self._kubectl("exec", pod, "--", "python", "-c", _KILL_WORKERS)
        # It is started anew at once; nothing in the cluster tells.
        time.sleep(10)

    def kill_container(self) -> None:
        """kill -9 of all processes of one pod, from the node, which is this machine."""
        uid = self.pods()[0]["metadata"]["uid"]
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"pod{uid}" in (folder / "cgroup").read_text() and b"bentoml" in (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
        self._until(lambda: self.replicas() < len(self.pods()))
        self._settle()

    def delete_pod(self, component: str) -> None:
        """The pod of a part of which there is one goes, and comes anew."""
        (pod,) = self.pods(component)
        self._kubectl("delete", "pod", pod["metadata"]["name"])
        kind = f"statefulset/{RELEASE}-{component}"
        self._kubectl("rollout", "status", kind, seconds=_WAIT_SECONDS)

    def _kubectl(self, *arguments: str, seconds: float = _WAIT_SECONDS) -> str:
        return self.cluster.kubectl(*arguments, namespace=NAMESPACE, seconds=seconds)

    def _settle(self) -> None:
        """Wait until the pods that are to be there are ready, and no other is left."""
        self._kubectl("rollout", "status", DEPLOYMENT)
        wanted = self.cluster.get(DEPLOYMENT, namespace=NAMESPACE)["spec"]["replicas"]
        self._until(lambda: len(self.pods()) == wanted == self.replicas())

    def _until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + _WAIT_SECONDS
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"pods are not as they should be after {_WAIT_SECONDS:.0f} s")
            time.sleep(0.5)
