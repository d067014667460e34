"""A played API server and a client of it; metrics of both sides, and a real Prometheus that scrapes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from k8s.cluster import Cluster, connect
from k8s.rollout.reading import Prometheus
from tests.k8s.api import kubeconfig
from tests.k8s.rollout.controller.played import PlayedApi
from tests.k8s.rollout.controller.world import World, make_world
from tests.ports import free_port
from tests.servers.prometheus import running_prometheus


@pytest.fixture
def api() -> PlayedApi:
    return PlayedApi()


@pytest.fixture
def cluster(api: PlayedApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    with api.serving() as address:
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path, address)))
        yield connect()


@pytest.fixture
def world(api: PlayedApi, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return make_world(api, cluster.address, tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[CollectorRegistry], Prometheus]]:
    """Metrics of a champion and a challenger, and a Prometheus that scrapes both."""
    registries, servers, ports = [CollectorRegistry(), CollectorRegistry()], [], []
    for registry in registries:
        ports.append(free_port())
        servers.append(start_http_server(ports[-1], addr="127.0.0.1", registry=registry))
    targets = [f"127.0.0.1:{port}" for port in ports]
    with running_prometheus(tmp_path_factory.mktemp("p") / "prometheus", targets, "groups: []\n") as prometheus:
        yield registries, Prometheus(prometheus.url, "fraud", "fraud")
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()
