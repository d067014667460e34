"""The records database: SQLite on one machine, PostgreSQL for many. SQLAlchemy and alembic are opened here."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from bentos.core.errors import ConfigError, Unavailable
from bentos.fraud.records.settings import RecordsSettings

__all__ = ["Database", "open_database", "upgrade"]

_DRIVERS: Final = ("sqlite", "postgresql+psycopg")
_FILE: Final = "records.db"
_MIGRATIONS: Final = Path(__file__).parent / "migrations"
#: Any number that nobody else locks in this database.
_UPGRADE_LOCK: Final = 0x6672617564
_CONNECTIONS: Final = 4
#: Of SQLite's machine between two looks at the clock, some hundred microseconds.
_STEPS: Final = 10_000
#: A commit waits for the disk, whatever the server or the role says; each statement sees what is committed by then.
_POSTGRESQL_DURABLE: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_POSTGRESQL_NOW: Final = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS bigint)"
#: 8 MiB of pages stay in memory, and the write-ahead log is copied back every 16 MiB: as the indexes grow, each page of
#: theirs is written less often. A fifth of the time of a record.
_SQLITE_SPEED: Final = ("cache_size=-8192", "wal_autocheckpoint=4000")


class Database:
    """A process's connections.

    Parameters
    ----------
    engine
        Of SQLite or PostgreSQL.
    timeout_seconds
        How long a question may take.
    """

    def __init__(self, engine: Engine, timeout_seconds: float) -> None:
        self.engine = engine
        self._timeout_seconds = timeout_seconds
        self.is_sqlite = engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that writes: committed, on disk, when the block ends well, else undone.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database fails.
        """
        with self.engine.connect() as connection:
            if self.is_sqlite:
                # Who reads first and writes later would be refused when another has written in between.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            with connection.begin() if not self.is_sqlite else _ended(connection):
                yield connection

    @contextlib.contextmanager
    def read(self, *, patient: bool = False) -> Iterator[Connection]:
        """A connection to read from.

        Parameters
        ----------
        patient
            Whether a question may take as long as it takes: nobody waits for its answer.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database fails, or a question takes too long.
        """
        with self.engine.connect() as connection:
            if self.is_sqlite and not patient:
                with _interrupted(connection, time.monotonic() + self._timeout_seconds):
                    yield connection
                return
            if patient and not self.is_sqlite:
                connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            yield connection

    def now(self, connection: Connection) -> int:
        """Microseconds since 1970 UTC, by the one clock that all who use this database share."""
        if self.is_sqlite:
            return time.time_ns() // 1000
        now: int = connection.exec_driver_sql(_POSTGRESQL_NOW).scalar_one()
        return now

    def check(self) -> str | None:
        """What is wrong with it, None when nothing is."""
        try:
            with self.read() as connection:
                connection.execute(text("SELECT 1"))
        except SQLAlchemyError as error:
            return f"the records database does not answer: {type(error).__name__}"
        return None

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


@contextlib.contextmanager
def _interrupted(connection: Connection, until: float) -> Iterator[None]:
    """End SQLite's work on a question, which knows no limit of its own."""
    driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    try:
        yield
    finally:
        driver.set_progress_handler(None, 0)


@contextlib.contextmanager
def _ended(connection: Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


def open_database(settings: RecordsSettings) -> Database:
    """Make a process's connections; none is opened before it is used.

    Raises
    ------
    ConfigError
        When the URL is of another kind of database, or no URL.
    """
    url, seconds = _url(settings), settings.records_timeout_seconds
    if url.get_backend_name() != "sqlite":
        options = f"-c statement_timeout={int(seconds * 1000)} -c lock_timeout={int(seconds * 1000)}"
        engine = create_engine(
            url,
            pool_size=_CONNECTIONS,
            pool_timeout=seconds,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED",
            # What has not been acknowledged by then is lost: a machine that is gone says nothing.
            connect_args={
                "connect_timeout": max(2, int(seconds)),
                "tcp_user_timeout": int(2000 * seconds),
                "options": options,
            },
            hide_parameters=True,
        )
        event.listen(engine, "connect", _durable_server)
        return Database(engine, seconds)
    engine = create_engine(url, connect_args={"timeout": seconds}, hide_parameters=True)
    event.listen(engine, "connect", _durable)
    return Database(engine, seconds)


def _durable_server(connection: Any, _record: object) -> None:
    connection.execute(_POSTGRESQL_DURABLE)
    connection.commit()


def _durable(connection: Any, _record: object) -> None:
    # SQLAlchemy's transactions begin explicitly; the driver's own way would begin them too late.
    connection.isolation_level = None
    # What is removed is overwritten, whoever removes it: free pages would keep what an erasure never finds again.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", *_SQLITE_SPEED):
        connection.execute(f"PRAGMA {pragma}").close()


def _url(settings: RecordsSettings) -> URL:
    if settings.records_url is None:
        return URL.create("sqlite", database=str((settings.home / "serving" / _FILE).absolute()))
    try:
        url = make_url(settings.records_url.get_secret_value())
    except ArgumentError:
        # Its text holds the URL, and with it a password.
        raise ConfigError("FRAUD_RECORDS_URL is no database URL; allowed: postgresql+psycopg://...") from None
    if url.drivername not in _DRIVERS:
        raise ConfigError(f"FRAUD_RECORDS_URL is of {url.drivername}; allowed: {', '.join(_DRIVERS)}")
    return url


def upgrade(settings: RecordsSettings, revision: str = "head") -> None:
    """Bring the database's tables up to this program's, one process at a time; nothing to do is quick.

    Parameters
    ----------
    settings
        Of the records.
    revision
        Up to which migration.

    Raises
    ------
    Unavailable
        When the database fails.
    ConfigError
        When the URL is of another kind of database.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with contextlib.closing(open_database(settings)) as database:
        try:
            with _alone(database, settings), database.engine.connect() as connection:
                if not database.is_sqlite:
                    # An index over all predictions takes as long as it takes.
                    connection.exec_driver_sql("SET statement_timeout = 0")
                    connection.commit()
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
        except (SQLAlchemyError, OSError) as error:
            reason = type(error).__name__ if isinstance(error, SQLAlchemyError) else str(error)
            raise Unavailable(f"the records database cannot be prepared: {reason}") from error


@contextlib.contextmanager
def _alone(database: Database, settings: RecordsSettings) -> Iterator[None]:
    if not database.is_sqlite:
        with database.engine.connect() as connection, connection.begin():
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
            yield
        return
    folder = settings.home / "serving"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(folder / f"{_FILE}.upgrade", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # SQLite would make it readable by all; its journal gets the same mode.
        os.close(os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        yield
    finally:
        os.close(lock)
