"""What every database of the records has to be before it is used: made, upgraded, durable."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, event, select

import bentos.fraud.jobs.tables  # noqa: F401 - they are in the same database
from bentos.core.errors import Unavailable
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.records.database import open_database, upgrade
from bentos.fraud.records.failures import translated
from bentos.fraud.records.filters import Filters
from bentos.fraud.records.identifiers import packed_event
from bentos.fraud.records.labels import GivenLabel, apply_labels
from bentos.fraud.records.metadata import METADATA
from bentos.fraud.records.pending import any_overlooked, join_pending
from bentos.fraud.records.quality import count_quality
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import LABEL_OUTBOX, LABEL_SOURCES, PREDICTIONS
from tests.contracts.recorded import all_ids, deliver
from tests.fraud.records.predicted import Book, now, opened, predicted
from tests.fraud.requests import transaction


def test_tables_are_those_of_the_migrations(book: Book) -> None:
    with book.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_an_upgrade_may_be_repeated(book: Book) -> None:
    book.keep(predicted("t-1"))
    upgrade(book.settings)
    assert all_ids(book) == ["t-1"]


def test_upgrades_at_once_wait_for_each_other(settings: RecordsSettings) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(upgrade, [settings] * 4))
    with opened(settings) as book:
        assert book.keep(predicted("t-1")) == []


def test_what_was_there_before_an_upgrade_is_told(settings: RecordsSettings) -> None:
    upgrade(settings, "0002")
    packed = packed_event(Pseudonyms("").event(transaction(transaction_id="t-1")))
    database = open_database(settings)
    with database.begin() as connection:
        old = LABEL_OUTBOX.insert().values(id=7, transaction_id="t-1", event=packed, label_time=1000)
        connection.execute(old)
    database.close()
    with opened(settings) as book:
        assert deliver(book) == [1000]
        assert deliver(book) == []


def test_each_database_has_a_source_of_its_own(settings: RecordsSettings, tmp_path: Path) -> None:
    found = []
    for chosen in (settings, RecordsSettings(home=tmp_path / "other")):
        upgrade(chosen)
        with opened(chosen) as book, book.database.read() as connection:
            found.append(connection.execute(select(LABEL_SOURCES.c.source)).scalar_one())
    assert found[0] != found[1]
    assert [len(source) for source in found] == [16, 16]


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_an_upgrade_takes_as_long_as_it_takes(settings: RecordsSettings) -> None:
    limits = []

    @event.listens_for(Engine, "before_cursor_execute")
    def look(_connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if "CREATE TABLE predictions" in statement:
            limits.append(cursor.connection.execute("SHOW statement_timeout").fetchone()[0])

    try:
        upgrade(settings)
    finally:
        event.remove(Engine, "before_cursor_execute", look)
    assert limits == ["0"]


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_a_server_that_does_not_wait_for_its_disk_is_told_to(settings: RecordsSettings) -> None:
    upgrade(settings)
    database = open_database(settings)
    with database.begin() as connection:
        name = connection.exec_driver_sql("SELECT current_database()").scalar_one()
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    database.close()
    database = open_database(settings)
    for _ in range(2):
        with database.begin() as connection:
            found = [connection.exec_driver_sql(f"SHOW {name}").scalar_one() for name in _NEEDED]
            assert found == ["on", "read committed"]
    database.close()


_NEEDED = ("synchronous_commit", "transaction_isolation")


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_nobody_else_reads_the_file(settings: RecordsSettings) -> None:
    with opened(settings) as book:
        book.keep(predicted("t-1"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in (settings.home / "serving").glob("records.db*")}
    assert modes.keys() >= {"records.db", "records.db-wal"}
    assert set(modes.values()) == {0o600}


def test_a_question_that_takes_too_long_is_ended(settings: RecordsSettings) -> None:
    with opened(settings.model_copy(update={"records_timeout_seconds": 0.5})) as book:
        endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        with pytest.raises(Unavailable, match="ask for less"), translated(), book.database.read() as connection:
            connection.exec_driver_sql(endless)
        # The connection is as it was.
        assert book.queries.status()["predictions"] == 0
        with book.database.begin() as connection:
            connection.exec_driver_sql("DELETE FROM claims")


@pytest.mark.parametrize("settings", ["sqlite"], indirect=True)
def test_sqlite_reads_no_more_than_it_has_to(book: Book) -> None:
    plans: dict[str, list[str]] = {}

    @event.listens_for(book.database.engine, "before_cursor_execute")
    def look(_connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            plans[statement] = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values).fetchall()]

    def asked(question: Callable[[Connection], object]) -> str:
        plans.clear()
        with book.database.read() as connection:
            question(connection)
        return "; ".join(step for plan in plans.values() for step in plan)

    # Not all labels, when none waits; not all predictions, for the few that have a label.
    assert "USING INDEX labels_pending" in asked(lambda connection: join_pending(connection, book.identifiers, ["t-1"]))
    assert "USING INDEX labels_pending" in asked(lambda connection: any_overlooked(connection, 0))
    assert "SCAN predictions" not in asked(lambda connection: count_quality(connection, 0))
    assert "SCAN predictions" not in asked(
        lambda _: book.queries.predictions(Filters(label="fraud"), 10, features=False)
    )
    assert "USING INDEX predictions_flagged" in asked(
        lambda _: book.queries.predictions(Filters(decision="flagged"), 10, features=False)
    )


@pytest.mark.parametrize("settings", ["postgresql"], indirect=True)
def test_postgresql_looks_labels_up_without_statistics(book: Book) -> None:
    book.keep(predicted("t-0"))
    columns = ", ".join(column.name for column in PREDICTIONS.columns if column.name not in ("id", "transaction_id"))
    many = f"SELECT 't-' || number, {columns} FROM predictions, generate_series(1, 20000) AS number"  # noqa: S608
    plans: list[str] = []

    @event.listens_for(book.database.engine, "before_cursor_execute")
    def look(_connection: Any, cursor: Any, statement: str, values: Any, *_: Any) -> None:
        if statement.startswith("SELECT found"):
            plans.extend(row[0] for row in cursor.connection.execute(f"EXPLAIN {statement}", values).fetchall())

    with book.database.begin() as connection:
        # In one transaction nobody analyses them before they are looked for.
        connection.exec_driver_sql(f"INSERT INTO predictions (transaction_id, {columns}) {many}")
        given = [GivenLabel(f"t-{number}", "fraud", 1000) for number in range(64)]
        applied = apply_labels(connection, book.identifiers, given, now())
    assert not any(one.outcome.pending for one in applied)
    assert "Index" in " ".join(plans)
    assert "Seq Scan on predictions" not in " ".join(plans)
