"""Tells the feature store of labels, at least once, in their order."""

from __future__ import annotations

from typing import Final

from sqlalchemy import delete, select

from bentos.fraud.records.database import Database
from bentos.fraud.records.identifiers import unpacked_event
from bentos.fraud.records.tables import LABEL_OUTBOX
from bentos.fraud.store import FeatureStore

__all__ = ["Outbox"]

#: A process that is killed tells the store again of so many at most.
_ROWS: Final = 200


class Outbox:
    """What the store has yet to be told. One process at a time may tell it.

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
        with self._database.read() as connection:
            rows = connection.execute(select(LABEL_OUTBOX).order_by(LABEL_OUTBOX.c.id).limit(_ROWS)).all()
        told: list[int] = []
        try:
            for row in rows:
                self._store.label(unpacked_event(row.event), row.label_time)
                told.append(row.id)
        finally:
            if told:
                with self._database.begin() as connection:
                    connection.execute(delete(LABEL_OUTBOX).where(LABEL_OUTBOX.c.id.in_(told)))
        return len(told)
