"""What is removed: records whose time is over, and a customer's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, delete, or_, select, text

from bentos.core.features.history import CUSTOMER
from bentos.fraud.records.database import Database
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.labels import pieces
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import CLAIMS, LABEL_HISTORY, LABEL_OUTBOX, LABELS, PREDICTIONS

__all__ = ["Removed", "erase_customer", "erase_labels", "expire"]

_DAY: Final = 86_400_000_000
#: Records of one transaction: others wait for the database meanwhile.
_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Removed:
    """How many records were removed."""

    predictions: int = 0
    labels: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(self.predictions + other.predictions, self.labels + other.labels)


def expire(database: Database, settings: RecordsSettings, now: int, pause: Callable[[], bool]) -> Removed:
    """Remove predictions with their labels, pending labels and claims whose time is over, the oldest first.

    Parameters
    ----------
    database
        Of the records.
    settings
        How long what is kept.
    now
        Microseconds since 1970 UTC.
    pause
        Called between transactions, so that others get the database; whether to stop.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        When the database fails.
    """
    table, labels = PREDICTIONS.c, LABELS.c
    old = (
        select(table.id, table.transaction_id)
        .where(table.created_at < now - int(settings.prediction_retention_days * _DAY))
        .order_by(table.created_at, table.id)
        .limit(_ROWS)
    )
    removed, more = Removed(), True
    while more:
        with database.begin() as connection:
            rows = connection.execute(old).all()
            connection.execute(delete(PREDICTIONS).where(table.id.in_([row.id for row in rows])))
            gone = sorted({row.transaction_id for row in rows})
            removed += Removed(len(rows), _remove_labels(connection, gone, only_unpredicted=True))
        more = len(rows) == _ROWS and not pause()
    unmatched = (
        select(labels.transaction_id)
        .where(labels.pending.is_(True), labels.created_at < now - int(settings.pending_label_retention_days * _DAY))
        .limit(_ROWS)
    )
    more = True
    while more:
        with database.begin() as connection:
            ids = connection.execute(unmatched).scalars().all()
            removed += Removed(labels=_remove_labels(connection, ids, only_unpredicted=False))
        more = len(ids) == _ROWS and not pause()
    with database.begin() as connection:
        connection.execute(delete(CLAIMS).where(CLAIMS.c.until < now - _DAY))
    return removed


def erase_customer(database: Database, identifiers: Identifiers, customer_id: str) -> Removed:
    """Remove all that is recorded of a customer, and what his records say from the database's files.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        When the database fails.
    """
    table = PREDICTIONS.c
    forms = [(identifiers.form(CUSTOMER, customer_id, hashed=hashed), hashed) for hashed in (False, True)]
    his = or_(*(and_(table.customer_id == kept, table.hashed.is_(hashed)) for kept, hashed in forms))
    removed, more = Removed(), True
    while more:
        with database.begin() as connection:
            _overwrite(connection)
            rows = connection.execute(select(table.id, table.transaction_id).where(his).limit(_ROWS)).all()
            connection.execute(delete(PREDICTIONS).where(table.id.in_([row.id for row in rows])))
            gone = sorted({row.transaction_id for row in rows})
            removed += Removed(len(rows), _remove_labels(connection, gone, only_unpredicted=True))
        more = len(rows) == _ROWS
    _empty_journal(database)
    return removed


def erase_labels(database: Database, ids: Sequence[str]) -> Removed:
    """Remove the labels of transactions, such as those whose predictions never came.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        When the database fails.
    """
    removed = Removed()
    for piece in pieces(sorted(set(ids))):
        with database.begin() as connection:
            _overwrite(connection)
            removed += Removed(labels=_remove_labels(connection, piece, only_unpredicted=False))
    _empty_journal(database)
    return removed


def _remove_labels(connection: Connection, ids: Sequence[str], *, only_unpredicted: bool) -> int:
    """Remove labels with all that hangs on them; those of which another model has a prediction may stay."""
    if not ids:
        return 0
    if only_unpredicted:
        kept = connection.execute(
            select(PREDICTIONS.c.transaction_id).where(PREDICTIONS.c.transaction_id.in_(ids))
        ).scalars()
        ids = sorted(set(ids) - set(kept))
    count = connection.execute(delete(LABELS).where(LABELS.c.transaction_id.in_(ids), LABELS.c.revision > 0)).rowcount
    for hanging in (LABEL_HISTORY, LABEL_OUTBOX, CLAIMS):
        connection.execute(delete(hanging).where(hanging.c.transaction_id.in_(ids)))
    return count


def _overwrite(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA secure_delete = ON"))


def _empty_journal(database: Database) -> None:
    # What was removed still stands in SQLite's write-ahead log.
    if database.is_sqlite:
        with database.read() as connection:
            connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).close()
