"""A records database, and jobs in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from bentos.fraud.jobs.desk import Desk
from bentos.fraud.jobs.leases import Leases
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.open import open_desk
from bentos.fraud.records.database import Database, open_database, upgrade
from bentos.fraud.settings import ScoringSettings
from tests.servers.postgresql import PostgresServer, running_postgres
from tests.servers.s3 import S3, running_s3

#: Leases of tests that let them pass.
SHORT_SECONDS = 0.2
SMALL_BYTES = 1000


@pytest.fixture(scope="package")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL."""
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="package")
def s3() -> Iterator[S3]:
    """A server of S3's protocol."""
    with running_s3() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> ScoringSettings:
    """Settings of a server that does no jobs itself, with a database of either kind."""
    url = None
    if request.param == "postgresql":
        url = SecretStr(request.getfixturevalue("postgres").new_database())
    return ScoringSettings(home=tmp_path / "home", job_processes=0, records_url=url)


@pytest.fixture
def database(settings: ScoringSettings) -> Iterator[Database]:
    """A new database."""
    upgrade(settings)
    opened = open_database(settings)
    yield opened
    opened.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    """Its jobs."""
    return Ledger(database)


@pytest.fixture
def leases(database: Database) -> Leases:
    """The same for workers, with leases that soon pass."""
    return Leases(database, SHORT_SECONDS, SMALL_BYTES)


@pytest.fixture
def desk(settings: ScoringSettings, database: Database) -> Iterator[Desk]:
    """Where jobs are handed in."""
    opened = open_desk(settings, database)
    yield opened
    opened.close()
