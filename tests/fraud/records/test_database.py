"""The database itself: how it is opened, and a server that goes away and comes back."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.records.database import open_database, upgrade
from bentos.fraud.records.settings import RecordsSettings
from tests.fraud.records.conftest import Worker
from tests.fraud.requests import transaction_json
from tests.servers.postgresql import PostgresServer, running_postgres


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that the test may stop."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def worker_settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Of a worker on that server, if the test has one."""
    if "own_postgres" not in request.fixturenames:
        return {}
    return {"records_url": request.getfixturevalue("own_postgres").new_database(), "records_timeout_seconds": 2}


def test_sqlite_syncs_every_commit(tmp_path: Path) -> None:
    settings = RecordsSettings(home=tmp_path)
    upgrade(settings)
    database = open_database(settings)
    with database.read() as connection:
        found = {name: connection.execute(text(f"PRAGMA {name}")).scalar_one() for name in _PRAGMAS}
    database.close()
    assert found == _PRAGMAS


#: 2 is FULL.
_PRAGMAS = {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000}


def test_an_upgrade_that_is_killed_leaves_nothing_half_done(tmp_path: Path) -> None:
    settings = RecordsSettings(home=tmp_path)
    process = multiprocessing.get_context("spawn").Process(target=_killed_upgrade, args=(settings,))
    process.start()
    process.join()
    assert process.exitcode == -9
    upgrade(settings)
    database = open_database(settings)
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM leases")).scalar_one() == 1
    database.close()


def _killed_upgrade(settings: RecordsSettings) -> None:
    @event.listens_for(Engine, "before_cursor_execute")
    def kill(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "CREATE TABLE label_history" in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    upgrade(settings)


@pytest.mark.parametrize("url", ["mysql://host/name", "no url", "postgresql://host/name"])
def test_other_databases_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="FRAUD_RECORDS_URL"):
        open_database(RecordsSettings(home=tmp_path, records_url=url))


def test_a_password_is_not_told(tmp_path: Path) -> None:
    settings = RecordsSettings(home=tmp_path, records_url="postgresql+psycopg://u:secret@127.0.0.1:1/name")
    assert "secret" not in repr(settings)
    with pytest.raises(Unavailable) as refused:
        upgrade(settings)
    assert "secret" not in str(refused.value)


def test_a_server_goes_away_and_comes_back(own_postgres: PostgresServer, worker: Worker) -> None:
    def predict(name: str) -> int:
        return worker.http.post("/predict", json=transaction_json(transaction_id=name)).status_code

    assert predict("t-1") == 200
    worker.until(worker.kept)
    own_postgres.stop()
    assert predict("t-2") == 200
    refused = worker.http.post("/feedback", json={"transaction_id": "t-1", "label": "fraud"})
    assert refused.status_code == 503
    assert int(refused.headers["retry-after"]) >= 1
    assert "127.0.0.1" not in refused.text
    assert worker.http.get("/predictions").status_code == 503

    def state() -> str:
        return str(worker.http.get("/health").json()["dependencies"]["records"]["status"])

    worker.until(lambda: state() == "failing")
    assert worker.http.get("/readyz").status_code == 200
    assert predict("t-3") == 200
    own_postgres.start()
    worker.until(lambda: state() == "ok")
    assert worker.http.post("/feedback", json={"transaction_id": "t-1", "label": "fraud"}).status_code == 200
    worker.until(lambda: {one["transaction_id"] for one in worker.kept()} == {"t-1", "t-2", "t-3"})
    assert worker.metric("fraud_log_dropped_total") == 0


def test_a_worker_starts_without_its_database(
    own_postgres: PostgresServer, stopped_postgres: None, worker: Worker
) -> None:
    answer = worker.http.post("/predict", json=transaction_json(transaction_id="t-1"))
    assert answer.status_code == 200
    worker.until(lambda: worker.application.records.trouble)
    own_postgres.start()
    # The tables are made then.
    worker.until(lambda: worker.http.get("/predictions").status_code == 200)
    worker.until(worker.kept)
    worker.until(lambda: worker.application.records.trouble is None)


@pytest.fixture
def stopped_postgres(own_postgres: PostgresServer, worker_settings: dict[str, Any]) -> None:
    """Stop it before there is a worker."""
    assert worker_settings
    own_postgres.stop()
