"""Tells the feature store of labels: each once, in their order, however a process ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, bindparam, delete, select, update

from bentos.core.transaction import LATEST, microseconds
from bentos.fraud.records.database import Database
from bentos.fraud.records.identifiers import unpacked_event
from bentos.fraud.records.tables import LABEL_OUTBOX, LABEL_SOURCES
from bentos.fraud.store import Delivery, FeatureStore

__all__ = ["Outbox"]

#: Of one transaction; so many at most are told again, in vain, when a process was killed.
_ROWS: Final = 200
#: That the clock gives; far below 2**53.
_HIGHEST: Final = microseconds(LATEST)


class Outbox:
    """What the store has yet to be told.

    Rows get serials before they are told, and the store applies none but those whose serial is higher than all before:
    whoever tells it again, after a kill or because two processes believe that it is their turn, changes nothing. Their
    ids would not do, since in PostgreSQL a lower one may be committed later.

    Parameters
    ----------
    database
        Of the records.
    store
        To tell.
    """

    def __init__(self, database: Database, store: FeatureStore) -> None:
        self._database = database
        self._store = store

    def deliver(self) -> int:
        """Tell the store of the oldest changes; returns of how many.

        Raises
        ------
        Unavailable
            When the store fails; what it has been told of is remembered.
        sqlalchemy.exc.SQLAlchemyError
            When the database fails.
        """
        source, rows = self._numbered()
        if not rows and self._number():
            source, rows = self._numbered()
        told: list[int] = []
        try:
            for row in rows:
                self._store.label(unpacked_event(row.event), row.label_time, Delivery(source, row.serial))
                told.append(row.id)
        finally:
            if told:
                with self._database.begin() as connection:
                    connection.execute(delete(LABEL_OUTBOX).where(LABEL_OUTBOX.c.id.in_(told)))
        return len(told)

    def _numbered(self) -> tuple[bytes, Sequence[Row[Any]]]:
        table = LABEL_OUTBOX.c
        with self._database.read() as connection:
            source: bytes = connection.execute(select(LABEL_SOURCES.c.source)).scalar_one()
            query = select(LABEL_OUTBOX).where(table.serial.is_not(None)).order_by(table.serial).limit(_ROWS)
            return source, connection.execute(query).all()

    def _number(self) -> bool:
        """Give serials to the oldest rows that have none; whether there are any."""
        waiting = select(LABEL_OUTBOX.c.id).where(LABEL_OUTBOX.c.serial.is_(None)).order_by(LABEL_OUTBOX.c.id)
        with self._database.read() as connection:
            # Looked at often, and every transaction that writes holds up others.
            if connection.execute(waiting.limit(1)).first() is None:
                return False
        with self._database.begin() as connection:
            # Who comes second waits here, and then sees which rows have got theirs.
            last = connection.execute(select(LABEL_SOURCES.c.serial).with_for_update()).scalar_one()
            # From the clock, so that a database restored from a backup gives higher ones than it ever gave; a clock
            # that went mad leaves room above.
            first = max(last + 1, min(self._database.now(connection), _HIGHEST))
            numbers = [
                {"row": row, "number": number}
                for number, row in enumerate(connection.scalars(waiting.limit(_ROWS)), first)
            ]
            if numbers:
                given = update(LABEL_OUTBOX).where(LABEL_OUTBOX.c.id == bindparam("row"))
                connection.execute(given.values(serial=bindparam("number")), numbers)
                connection.execute(update(LABEL_SOURCES).values(serial=first + len(numbers) - 1))
        return bool(numbers)
