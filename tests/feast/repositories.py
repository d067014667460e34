"""Feast repositories that are made and applied as a team does it, and then copied for each test."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.store import FeatureStore
from bentos.fraud.store.feast_repository import SETTINGS_FILE, OnlineStore, write_repository
from bentos.fraud.store.feast_store import FeastPlace, FeastStore
from bentos.fraud.store.file import now_microseconds
from tests.servers.redis import RedisServer, running_redis

__all__ = [
    "HAS_FEAST",
    "NEEDS_FEAST",
    "SECRET",
    "applied",
    "apply_repository",
    "feast_redis",
    "feast_repository",
    "open_feast",
]

HAS_FEAST = importlib.util.find_spec("feast") is not None
NEEDS_FEAST = pytest.mark.skipif(not HAS_FEAST, reason="Feast has an environment of its own: make feast")
SECRET = Pseudonyms("secret")


def open_feast(place: str, names: Pseudonyms = SECRET, clock: Callable[[], int] = now_microseconds) -> FeatureStore:
    """The store of a repository; a machine that tests keep busy is no reason for defaults."""
    return FeastStore(FeastPlace(Path(place), Path(place) / "lock", timeout_seconds=30.0), names, clock)


@pytest.fixture(scope="session")
def feast_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for repositories alone: each empties it."""
    with running_redis(tmp_path_factory.mktemp("feast-redis")) as server:
        yield server


@pytest.fixture(scope="session")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the repositories that were applied, one of each online store once it was asked for."""
    return tmp_path_factory.mktemp("feast")


@pytest.fixture
def feast_repository(request: pytest.FixtureRequest, applied: Path, tmp_path: Path) -> Callable[[OnlineStore], Path]:
    """Makes a repository whose online store is empty; one of each a test."""

    def make(online: OnlineStore) -> Path:
        server: RedisServer | None = request.getfixturevalue("feast_redis") if online == "redis" else None
        if not (applied / online).exists():
            apply_repository(applied / online, online, server)
        if server is not None:
            with Redis.from_url(server.url) as client:
                client.flushall()
        folder = tmp_path / f"feast-{online}"
        shutil.copytree(applied / online, folder)
        return folder

    return make


def apply_repository(folder: Path, online: OnlineStore, server: RedisServer | None) -> None:
    """Make a repository and apply it, as a team does."""
    write_repository(folder, SECRET.fingerprint(), "fraud_tests", online)
    if server is not None:
        settings = folder / SETTINGS_FILE
        text = settings.read_text().replace("127.0.0.1:6379", f"127.0.0.1:{server.port}")
        settings.write_text(text.replace("timeout=1", "timeout=30"))
    feast = Path(sys.executable).with_name("feast")
    done = subprocess.run([feast, "apply"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
