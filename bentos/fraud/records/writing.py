"""Writes predictions, many in a statement, and joins them with labels that came before them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import Final

from sqlalchemy import Connection

from bentos.fraud.records.arrays import insert_arrays
from bentos.fraud.records.database import Database
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.labels import Applied
from bentos.fraud.records.pending import join_pending
from bentos.fraud.records.tables import PREDICTIONS
from bentos.fraud.records.values import COLUMNS, Values

__all__ = ["Writer"]

_NAMES: Final = ", ".join(COLUMNS)
_ONCE: Final = "ON CONFLICT (transaction_id, model_version, model_name) DO NOTHING"
#: Rows of one statement of SQLite. The interpreter's lock is given up once a statement, not once a row: with one
#: statement a row this thread would wait for the event loop between any two rows, and others for the database.
_STEPS: Final = (250, 25, 5, 1)


class Writer:
    """Writes batches. Belongs to one thread.

    Parameters
    ----------
    database
        Of the records.
    identifiers
        How customers and merchants are written.
    """

    def __init__(self, database: Database, identifiers: Identifiers) -> None:
        self._database = database
        self._identifiers = identifiers

    def write(self, rows: Sequence[Values]) -> list[Applied]:
        """Write predictions, all or none; those that are there already stay as they are.

        Returns
        -------
        list
            Labels that had waited for them.

        Raises
        ------
        sqlalchemy.exc.SQLAlchemyError
            When the database fails.
        """
        with self._database.begin() as connection:
            if self._database.is_sqlite:
                _insert_into_sqlite(connection, rows)
            else:
                _insert_into_postgresql(connection, rows)
            return join_pending(connection, self._identifiers, [row[0] for row in rows])


def _insert_into_sqlite(connection: Connection, rows: Sequence[Values]) -> None:
    for part in _parts(rows):
        places = ", ".join(["(" + ", ".join("?" * len(COLUMNS)) + ")"] * len(part))
        statement = f"INSERT INTO predictions ({_NAMES}) VALUES {places} {_ONCE}"  # noqa: S608 - no value is in it
        connection.exec_driver_sql(statement, tuple(chain.from_iterable(part)))


def _parts(rows: Sequence[Values]) -> Iterator[Sequence[Values]]:
    # Few sizes, so that the driver finds each statement ready.
    start = 0
    while start < len(rows):
        step = next(size for size in _STEPS if size <= len(rows) - start)
        yield rows[start : start + step]
        start += step


def _insert_into_postgresql(connection: Connection, rows: Sequence[Values]) -> None:
    # Two writers that bring the same transactions in different orders would wait for each other.
    ordered = sorted(rows, key=itemgetter(0))
    insert_arrays(connection, PREDICTIONS, COLUMNS, ordered, _ONCE)
