"""Which pods talk to each other: read from their kernels' tables of TCP connections."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tests.e2e.cluster.node import Cluster

__all__ = ["Connections", "Flow"]

_COMPONENT: Final = "app.kubernetes.io/component"
#: State of a socket that waits for others to connect (include/net/tcp_states.h).
_LISTENS: Final = "0A"


class _Socket(NamedTuple):
    local_port: int
    address: str
    port: int
    state: str


@dataclass(frozen=True)
class Flow:
    """A connection that a pod of the namespace made.

    Parameters
    ----------
    source, target
        Labels; none of what is no pod of the namespace.
    address, port
        Of the target's pod, or as the source has them where there is no such pod.
    """

    source: dict[str, str]
    target: dict[str, str]
    address: str
    port: int

    def __hash__(self) -> int:
        return hash((*sorted(self.source.items()), self.address, self.port))


class Connections:
    """Connections that pods of a namespace made, as long as somebody looks.

    Parameters
    ----------
    cluster
        It runs there.
    namespace
        Whose pods are looked at.
    """

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._labels: dict[str, dict[str, str]] = {}
        self.flows: set[Flow] = set()

    def components(self) -> set[tuple[str, str]]:
        """Who called whom, by component."""
        return {(flow.source[_COMPONENT], flow.target.get(_COMPONENT, flow.address)) for flow in self.flows}

    def look(self) -> None:
        """Note the connections that there are, and those that have just ended, as either side has them."""
        pods = self._cluster.get("pods", namespace=self._namespace)["items"]
        services = self._cluster.get("services", namespace=self._namespace)["items"]
        self._labels |= {
            pod["status"]["podIP"]: dict(pod["metadata"]["labels"]) for pod in pods if "podIP" in pod["status"]
        }
        for pod in pods:
            own = dict(pod["metadata"]["labels"])
            running = [
                item["name"] for item in pod["status"].get("containerStatuses", []) if "running" in item["state"]
            ]
            for container in running:
                for socket, called in self._open(pod["metadata"]["name"], container):
                    if called:
                        target, port = _behind(socket.address, socket.port, services, self._labels)
                        self.flows.add(Flow(own, target, socket.address, port))
                    elif source := self._labels.get(socket.address):
                        # From elsewhere come the gateway and the kubelet.
                        self.flows.add(Flow(source, own, pod["status"]["podIP"], socket.local_port))

    def _open(self, pod: str, container: str) -> Iterator[tuple[_Socket, bool]]:
        """Sockets to others, and whether this pod called."""
        read = ("exec", pod, "--container", container, "--", "cat", "/proc/net/tcp", "/proc/net/tcp6")
        try:
            table = self._cluster.kubectl(*read, namespace=self._namespace)
        except AssertionError:
            # It has ended meanwhile; what tests a release is there for seconds.
            return
        sockets = list(_sockets(table))
        listens = {socket.local_port for socket in sockets if socket.state == _LISTENS}
        for socket in sockets:
            if socket.state != _LISTENS and not ipaddress.ip_address(socket.address).is_loopback:
                yield socket, socket.local_port not in listens


def _sockets(table: str) -> Iterator[_Socket]:
    """Lines of /proc/net/tcp: addresses are hexadecimal, each group of four octets with the last one first."""
    for line in table.splitlines():
        words = line.split()
        if len(words) < 4 or ":" not in words[1]:
            continue
        (_, local_port), (address, port) = (words[index].split(":") for index in (1, 2))
        groups = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
        parsed = ipaddress.ip_address(b"".join(groups))
        mapped = getattr(parsed, "ipv4_mapped", None)
        yield _Socket(int(local_port, 16), str(mapped or parsed), int(port, 16), words[3])


def _behind(
    address: str, port: int, services: list[dict[str, Any]], labels: dict[str, dict[str, str]]
) -> tuple[dict[str, str], int]:
    """Labels of a pod that an address leads to, and its port: a Service's is what the caller sees."""
    for service in services:
        if service["spec"]["clusterIP"] == address:
            selector = service["spec"]["selector"]
            return next((item for item in labels.values() if selector.items() <= item.items()), selector), port
    return labels.get(address, {}), port
