"""What clients of a release notice while it is changed: ``python -m tests.benchmarks.cluster``.

Installs the local profile, without its other parts, behind the shared cluster's gateway, and sends HTTP and gRPC
requests at a steady rate from inside of the cluster's network, without retries, through each change. Needs what
``make test-cluster`` needs, and its images on the node (tests/e2e/cluster/conftest.py names the variables).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np

from bentos.protos._generated.fraud.v1 import fraud_pb2
from tests.benchmarks.load.generator import Client, Generator, Protocol, constant, write_requests
from tests.benchmarks.load.traffic import grpc_requests, http_requests, transactions
from tests.e2e.cluster.images import Images
from tests.e2e.cluster.node import Cluster, find_cluster
from tests.e2e.cluster.releases import install, local_values, restricted_namespace, stand_ins, writable_volumes

NAMESPACE: Final = "fraud-bench"
RELEASE: Final = "fraud"
#: The gateway's listeners, in the cluster's network.
PORTS: Final[dict[Protocol, int]] = {"http": 80, "grpc": 81}
#: Before a change begins and after it is done, so that both are seen.
_CALM_SECONDS: Final = 5.0
_WAIT_SECONDS: Final = 300.0


def send(protocol: Protocol, rate: float, ended: Path) -> dict[str, Any]:
    """Send requests to the gateway of this network until a file is there; what became of them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies = transactions()
        if protocol == "http":
            requests = http_requests(bodies, "flagged")
        else:
            requests = grpc_requests(bodies, fraud_pb2.EXPLAIN_FLAGGED)
        client = Client(PORTS[protocol], write_requests(requests, folder / "requests"), protocol, connections=16)
        generator = Generator(folder)
        counts: dict[str, int] = {}
        latencies = []
        # A run of the generator has a fixed length: many short ones reach to the end of the change.
        while not ended.exists():
            run = generator.open_loop(client, constant(rate, _CALM_SECONDS))
            latencies.append(run.latencies())
            for status, count in run.counts().items():
                counts[status] = counts.get(status, 0) + count
        milliseconds = np.percentile(np.concatenate(latencies), [50, 99]) * 1e3
        return {"counts": counts, "p50_ms": round(milliseconds[0], 1), "p99_ms": round(milliseconds[1], 1)}


class Bench:
    """A release, and changes of it under load.

    Parameters
    ----------
    cluster
        Where it runs.
    values
        Of the release, over those of the local profile.
    rate
        Requests a second of each protocol.
    """

    def __init__(self, cluster: Cluster, values: dict[str, Any], rate: float) -> None:
        self._cluster = cluster
        self._values = values
        self._rate = rate

    def changes(self) -> dict[str, Callable[[], object]]:
        """Changes by name, in the order in which they can follow each other."""
        return {
            "nothing": lambda: time.sleep(_CALM_SECONDS),
            "rolling update": self._restart,
            "scaling 1, 4, 1": lambda: [self._scale(replicas) for replicas in (4, 1)],
            "helm upgrade of a value": lambda: self.install(batch_size=32),
            "helm rollback": lambda: self._cluster.helm("rollback", RELEASE, "--namespace", NAMESPACE, "--wait"),
            "eviction of each of 2 pods": self._evict,
        }

    def install(self, **settings: int) -> None:
        """Install the release, or change its settings."""
        values = self._values | {"global": {**self._values["global"], "settings": settings}}
        install(self._cluster, RELEASE, NAMESPACE, values)

    def measure(self, change: Callable[[], object]) -> dict[str, Any]:
        """What clients of both protocols noticed during a change."""
        with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(2) as pool:
            ended = Path(name) / "ended"
            sending = {protocol: pool.submit(self._send, protocol, ended) for protocol in PORTS}
            try:
                time.sleep(_CALM_SECONDS)
                change()
                time.sleep(_CALM_SECONDS)
            finally:
                ended.touch()
            return {protocol: sent.result() for protocol, sent in sending.items()}

    def _send(self, protocol: str, ended: Path) -> Any:
        command = [sys.executable, "-m", __spec__.name, "--send", protocol, "--rate", str(self._rate)]
        return json.loads(self._cluster.execute(*command, "--until", str(ended), seconds=_WAIT_SECONDS))

    def _restart(self) -> None:
        self._cluster.kubectl("rollout", "restart", f"deployment/{RELEASE}-scoring", namespace=NAMESPACE)
        self._settle()

    def _scale(self, replicas: int) -> None:
        deployment = f"deployment/{RELEASE}-scoring"
        self._cluster.kubectl("scale", deployment, f"--replicas={replicas}", namespace=NAMESPACE)
        self._settle()

    def _settle(self) -> None:
        """Wait until the pods that are to be there are, and no other."""
        deployment = f"deployment/{RELEASE}-scoring"
        self._cluster.kubectl("rollout", "status", deployment, namespace=NAMESPACE, seconds=_WAIT_SECONDS)
        wanted = self._cluster.get(deployment, namespace=NAMESPACE)["spec"]["replicas"]
        while len(self._pods()) != wanted:
            time.sleep(0.5)

    def _pods(self) -> list[str]:
        selector = "--selector=app.kubernetes.io/component=scoring"
        pods = self._cluster.get("pods", selector, namespace=NAMESPACE)["items"]
        return [pod["metadata"]["name"] for pod in pods]

    def _evict(self) -> None:
        self._scale(2)
        for pod in self._pods():
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
            path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
            with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
                json.dump(eviction | {"metadata": {"name": pod, "namespace": NAMESPACE}}, file)
                file.flush()
                self._cluster.kubectl("create", "--raw", path, "-f", file.name)
            self._settle()


def main() -> None:
    """Measure, or with ``--send`` be the client of one protocol."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=150.0, help="requests a second of each protocol")
    parser.add_argument("--send", choices=tuple(PORTS), help=argparse.SUPPRESS)
    parser.add_argument("--until", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.send:
        print(json.dumps(send(given.send, given.rate, given.until)))
        return
    cluster = find_cluster()
    stand_ins(cluster)
    images = Images(os.environ.get("FRAUD_E2E_IMAGE_PREFIX", "localhost"), os.environ.get("FRAUD_E2E_IMAGE_TAG", "e2e"))
    parts = {part: {"enabled": False} for part in ("dashboard", "mlflow", "monitoring")}
    gateway = {"name": "gateway", "namespace": "gateway", "httpListener": "http", "grpcListener": "grpc"}
    values = local_values(images) | parts | {"scoring": {"expose": {"kind": "gateway", "gateway": gateway}}}
    bench = Bench(cluster, values, given.rate)
    with restricted_namespace(cluster, NAMESPACE), writable_volumes():
        started = time.monotonic()
        bench.install()
        cluster.helm("test", RELEASE, "--namespace", NAMESPACE)
        print(f"install until helm test passes: {time.monotonic() - started:.0f} s", flush=True)
        for name, change in bench.changes().items():
            for protocol, seen in bench.measure(change).items():
                print(f"{name:<28} {protocol:<5} {seen}", flush=True)


if __name__ == "__main__":
    main()
