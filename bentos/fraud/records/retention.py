"""What is removed: records whose time is over, and a customer's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from sqlalchemy import Connection, Row, Select, and_, delete, or_, select, text

from bentos.core.errors import Unavailable
from bentos.core.features.history import CUSTOMER
from bentos.fraud.records.database import Database
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.label_rows import pieces
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.tables import (
    CLAIMS,
    LABEL_HISTORY,
    LABEL_OUTBOX,
    LABELS,
    PREDICTIONS,
    ROLLOUT_LOOKS,
    ROLLOUTS,
    WAITING,
)

__all__ = ["Removed", "erase_customer", "erase_labels", "expire"]

_DAY: Final = 86_400_000_000
#: Records of one transaction: others wait for the database meanwhile.
_ROWS: Final = 1000


@dataclass(frozen=True, slots=True)
class Removed:
    """How many records were removed."""

    predictions: int = 0
    labels: int = 0
    looks: int = 0

    def __add__(self, other: Removed) -> Removed:
        return Removed(self.predictions + other.predictions, self.labels + other.labels, self.looks + other.looks)

    def __str__(self) -> str:
        return f"removed {self.predictions:,} predictions, {self.labels:,} labels and {self.looks:,} looks at rollouts"


_Remove: TypeAlias = Callable[[Connection, Sequence[Row[Any, Any]]], Removed]


def expire(database: Database, settings: RecordsSettings, now: int, pause: Callable[[], bool]) -> tuple[Removed, bool]:
    """Remove what is too old: predictions with their labels, pending labels, claims, looks at rollouts; oldest first.

    A rollout itself stays, with its verdicts.

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

    Returns
    -------
    tuple
        What was removed, and whether that is all.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        When the database fails.
    """
    table, labels, looks, rollouts = PREDICTIONS.c, LABELS.c, ROLLOUT_LOOKS.c, ROLLOUTS.c
    before = now - int(settings.prediction_retention_days * _DAY)
    old = select(table.id, table.transaction_id).where(table.created_at < before).order_by(table.created_at, table.id)
    unmatched = (
        select(labels.transaction_id)
        .where(WAITING, labels.created_at < now - int(settings.pending_label_retention_days * _DAY))
        .order_by(labels.created_at)
        # Not those that a recorder is joining with their predictions.
        .with_for_update(skip_locked=True)
    )
    watched = (
        select(looks.rollout_id, looks.at)
        .join(ROLLOUTS, rollouts.id == looks.rollout_id)
        .where(rollouts.ended < before)
        .order_by(looks.rollout_id, looks.at)
    )
    parts: tuple[tuple[Select[Any], _Remove], ...] = (
        (old, _remove_predictions),
        (unmatched, _remove_unmatched),
        (watched, _remove_looks),
    )
    removed = Removed()
    for found, remove in parts:
        more = True
        while more:
            with database.begin() as connection:
                rows = connection.execute(found.limit(_ROWS)).all()
                removed += remove(connection, rows)
            more = len(rows) == _ROWS
            if more and pause():
                return removed, False
    with database.begin() as connection:
        connection.execute(delete(CLAIMS).where(CLAIMS.c.until < now - _DAY))
    return removed, True


def erase_customer(database: Database, identifiers: Identifiers, customer_id: str) -> Removed:
    """Remove all that is recorded of a customer, and what his records say from the database's files.

    Raises
    ------
    Unavailable
        When all is removed, but SQLite's write-ahead log still holds it.
    sqlalchemy.exc.SQLAlchemyError
        When the database fails.
    """
    table = PREDICTIONS.c
    forms = [(identifiers.form(CUSTOMER, customer_id, hashed=hashed), hashed) for hashed in (False, True)]
    his = or_(*(and_(table.customer_id == kept, table.hashed.is_(hashed)) for kept, hashed in forms))
    removed, more = Removed(), True
    while more:
        with database.begin() as connection:
            rows = connection.execute(select(table.id, table.transaction_id).where(his).limit(_ROWS)).all()
            part = _remove_predictions(connection, rows)
        removed += part
        more = len(rows) == _ROWS
    _empty_journal(database)
    return removed


def erase_labels(database: Database, ids: Sequence[str]) -> Removed:
    """Remove the labels of transactions, such as those whose predictions never came.

    Raises
    ------
    Unavailable
        When all is removed, but SQLite's write-ahead log still holds it.
    sqlalchemy.exc.SQLAlchemyError
        When the database fails.
    """
    removed = Removed()
    for piece in pieces(sorted(set(ids))):
        with database.begin() as connection:
            removed += Removed(labels=_remove_labels(connection, piece))
    _empty_journal(database)
    return removed


def _remove_predictions(connection: Connection, rows: Sequence[Row[Any, Any]]) -> Removed:
    """Remove predictions, and what hangs on those transactions of which no other model has one."""
    if not rows:
        return Removed()
    ids = sorted({row.transaction_id for row in rows})
    if connection.dialect.name != "sqlite":
        # Before the predictions, as who brings labels does, or each would wait for the other.
        locked = select(LABELS.c.transaction_id).where(LABELS.c.transaction_id.in_(ids))
        connection.execute(locked.order_by(LABELS.c.transaction_id).with_for_update()).all()
    table = PREDICTIONS.c
    gone = connection.execute(delete(PREDICTIONS).where(table.id.in_([row.id for row in rows]))).rowcount
    kept = connection.execute(select(table.transaction_id).where(table.transaction_id.in_(ids))).scalars()
    return Removed(gone, _remove_labels(connection, sorted(set(ids) - set(kept))))


def _remove_unmatched(connection: Connection, rows: Sequence[Row[Any, Any]]) -> Removed:
    return Removed(labels=_remove_labels(connection, [row.transaction_id for row in rows]))


def _remove_labels(connection: Connection, ids: Sequence[str]) -> int:
    """Remove labels with all that hangs on them."""
    if not ids:
        return 0
    count = connection.execute(delete(LABELS).where(LABELS.c.transaction_id.in_(ids), LABELS.c.revision > 0)).rowcount
    for hanging in (LABEL_HISTORY, LABEL_OUTBOX, CLAIMS):
        connection.execute(delete(hanging).where(hanging.c.transaction_id.in_(ids)))
    return count


def _remove_looks(connection: Connection, rows: Sequence[Row[Any, Any]]) -> Removed:
    """Remove looks, the first ones of each rollout."""
    last = {row.rollout_id: row.at for row in rows}
    looks = ROLLOUT_LOOKS.c
    count = 0
    for number, at in last.items():
        count += connection.execute(delete(ROLLOUT_LOOKS).where(looks.rollout_id == number, looks.at <= at)).rowcount
    return Removed(looks=count)


def _empty_journal(database: Database) -> None:
    """Take what was removed out of SQLite's write-ahead log, where its pages still stand."""
    if not database.is_sqlite:
        return
    with database.read() as connection:
        # Waits for whoever reads or writes, as long as a statement may.
        busy, *_ = connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)")).one()
    if busy:
        raise Unavailable(
            "it is removed, but somebody reads the write-ahead log, which still holds it; do the same again to empty it"
        )
