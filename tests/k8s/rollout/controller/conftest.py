"""A played API server, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from k8s.cluster import Cluster, connect
from tests.k8s.api import kubeconfig
from tests.k8s.rollout.controller.played import PlayedApi
from tests.k8s.rollout.controller.world import World, make_world


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
