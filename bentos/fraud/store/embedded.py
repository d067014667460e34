"""The feature store of a single machine: one SQLite file that all workers share."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bentos.core.errors import ArtifactIncompatible, DataError, Unavailable
from bentos.core.features.definitions import FEATURE_SCHEMA, FEATURES
from bentos.core.features.history import CATEGORY, CUSTOMER, KINDS, MERCHANT, KeyKind
from bentos.core.features.online import Past, feature_rows
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.core.features.snapshot import Snapshot
from bentos.core.features.state import Event, KeyState
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.store.base import FeatureRow

__all__ = ["EmbeddedStore"]

_LOGGER = logging.getLogger(__name__)
_BUSY_SECONDS: Final = 2.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS state (key BLOB PRIMARY KEY, data BLOB NOT NULL);
"""


class EmbeddedStore:
    """States in SQLite, in write-ahead mode: readers never wait, writers take turns.

    A write survives the end of any process; a power cut may take the last ones, which is no more than the contract
    of recording promises (labels and jobs are kept elsewhere).

    Parameters
    ----------
    path
        Database file; made when there is none.
    pseudonyms
        The hash of the keys.

    Raises
    ------
    Unavailable
        When the file cannot be opened as a database.
    ArtifactIncompatible
        When the file was written for other features, or with another pseudonym key.
    """

    def __init__(self, path: Path, pseudonyms: Pseudonyms) -> None:
        self._path = path
        self._pseudonyms = pseudonyms
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"the feature store {path} cannot be opened: {error}") from error
        self._agree("feature_schema", FEATURE_SCHEMA)
        self._agree("pseudonym_key", pseudonyms.fingerprint())

    def _agree(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR IGNORE INTO about VALUES (?, ?)", (name, value))
        (found,) = self._connection.execute("SELECT value FROM about WHERE name = ?", (name,)).fetchone()
        if found != value:
            self.close()
            raise ArtifactIncompatible(
                f"the feature store {self._path} was made with {name} {found}, this program uses {value};"
                " set FRAUD_PSEUDONYM_KEY as it was, or move the file away to start anew"
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def lookup(self, transaction: Transaction, *, record: bool) -> FeatureRow:
        """See :meth:`.base.FeatureStore.lookup`."""
        if transaction.transaction_id is None:
            raise DataError("a transaction needs its transaction_id before it is looked up")
        identity = self._pseudonyms.identity(transaction.transaction_id)
        try:
            states = self._read_and_record(transaction, identity, record=record)
        except (sqlite3.Error, DataError):
            _LOGGER.exception("feature store %s failed; features take their defaults", self._path)
            return self._defaults(transaction)
        past = Past(*(states[kind].without(identity) for kind in (CUSTOMER, MERCHANT, CATEGORY)))
        return FeatureRow(feature_rows([transaction], [past])[0])

    def _read_and_record(self, transaction: Transaction, identity: int, *, record: bool) -> dict[KeyKind, KeyState]:
        keys = {kind: self._pseudonyms.key(kind, getattr(transaction, kind.column)) for kind in KINDS}
        if not record:
            with self._lock:
                return self._read(self._connection, keys)
        event = Event(microseconds(transaction.timestamp), transaction.amount, identity)
        with self._transaction() as connection:
            states = self._read(connection, keys)
            for kind, state in states.items():
                after = state.add(event, kind)
                if after is not state:
                    self._write(connection, keys[kind], after)
        return states

    @staticmethod
    def _read(connection: sqlite3.Connection, keys: dict[KeyKind, bytes]) -> dict[KeyKind, KeyState]:
        rows = connection.execute("SELECT key, data FROM state WHERE key IN (?, ?, ?)", list(keys.values()))
        found = {key: KeyState.from_bytes(data) for key, data in rows.fetchall()}
        return {kind: found.get(key, KeyState.empty()) for kind, key in keys.items()}

    @staticmethod
    def _write(connection: sqlite3.Connection, key: bytes, state: KeyState) -> None:
        connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (key, state.to_bytes()))

    @staticmethod
    def _defaults(transaction: Transaction) -> FeatureRow:
        # What the transaction says by itself is still true; the rest was not asked.
        nothing = KeyState.empty()
        values = feature_rows([transaction], [Past(nothing, nothing, nothing)])[0]
        historic = [feature.source != "transaction" for feature in FEATURES]
        values[historic] = [feature.default for feature in FEATURES if feature.source != "transaction"]
        return FeatureRow(values, tuple(feature.name for feature in FEATURES if feature.source != "transaction"))

    def label(self, transaction: Transaction, label_time: int) -> None:
        """See :meth:`.base.FeatureStore.label`.

        Raises
        ------
        Unavailable
            When the store fails; the label is not noted then.
        """
        if transaction.transaction_id is None:
            raise DataError("a label needs the transaction_id it belongs to")
        identity = self._pseudonyms.identity(transaction.transaction_id)
        keys = {kind: self._pseudonyms.key(kind, getattr(transaction, kind.column)) for kind in KINDS}
        try:
            with self._transaction() as connection:
                for kind, state in self._read(connection, keys).items():
                    labelled = state.label(identity, microseconds(transaction.timestamp), label_time)
                    self._write(connection, keys[kind], labelled)
        except sqlite3.Error as error:
            raise Unavailable(f"the feature store {self._path} cannot be written: {error}") from error

    def fill(self, snapshot: Snapshot) -> bool:
        """See :meth:`.base.FeatureStore.fill`.

        Raises
        ------
        ArtifactIncompatible
            When the snapshot's keys were hashed with another pseudonym key.
        Unavailable
            When the store cannot be written.
        """
        if snapshot.fingerprint != self._pseudonyms.fingerprint():
            raise ArtifactIncompatible(
                "the feature snapshot was written with another FRAUD_PSEUDONYM_KEY than this process has;"
                " set the same key, or make the snapshot again"
            )
        try:
            with self._transaction() as connection:
                if connection.execute("SELECT 1 FROM about WHERE name = 'filled_at'").fetchone():
                    return False
                connection.execute("INSERT INTO about VALUES ('filled_at', ?)", (str(snapshot.taken_at),))
                for kind in KINDS:
                    rows = ((key, state.to_bytes()) for key, state in snapshot.states[kind.name])
                    # A state that live traffic has begun stays: it is newer than the snapshot.
                    connection.executemany("INSERT OR IGNORE INTO state VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise Unavailable(f"the feature store {self._path} cannot be filled: {error}") from error
        return True

    def check(self) -> str | None:
        """See :meth:`.base.FeatureStore.check`."""
        try:
            with self._lock:
                self._connection.execute("SELECT 1 FROM about").fetchone()
        except sqlite3.Error as error:
            return str(error)
        return None

    def close(self) -> None:
        """See :meth:`.base.FeatureStore.close`."""
        self._connection.close()
