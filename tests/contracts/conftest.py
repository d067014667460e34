"""Feature stores and databases of records that are empty, one of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.store import FeatureStore
from tests.contracts.feature_stores import BACKENDS, Opener
from tests.feast.repositories import applied, feast_redis, feast_repository  # noqa: F401 - fixtures
from tests.fraud.records.predicted import Book
from tests.fraud.records.predicted import opened as open_book
from tests.servers.postgresql import PostgresServer, running_postgres
from tests.servers.redis import RedisServer, running_redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for all of them."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Name of a kind."""
    return str(request.param)


@pytest.fixture
def place(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that is empty, as its opener takes it."""
    if backend == "embedded":
        return str(tmp_path)
    if backend.startswith("feast"):
        return str(request.getfixturevalue("feast_repository")(backend.removeprefix("feast-")))
    return f"{request.getfixturevalue('redis_server').url} {{{tmp_path.name}}}:"


@pytest.fixture
def opened(backend: str, place: str) -> Iterator[Opener]:
    """Opens the same store as often as asked, as each worker does."""
    stores: list[FeatureStore] = []

    def open_store(**how: Any) -> FeatureStore:
        stores.append(BACKENDS[backend](place, **how))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A server for all of them."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> RecordsSettings:
    """Of an empty database."""
    options: dict[str, Any] = {"home": tmp_path}
    if request.param == "postgresql":
        options["records_url"] = request.getfixturevalue("postgres").new_database()
    return RecordsSettings(**options)


@pytest.fixture
def book(settings: RecordsSettings) -> Iterator[Book]:
    """The records."""
    with open_book(settings) as book:
        yield book
