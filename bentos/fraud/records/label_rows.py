"""Labels as rows: locked, read with the predictions that they are of, written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.dialects import sqlite

from bentos.fraud.records.arrays import insert_arrays
from bentos.fraud.records.identifiers import Identifiers, packed_event
from bentos.fraud.records.tables import LABEL_HISTORY, LABEL_OUTBOX, LABELS, PREDICTIONS

__all__ = ["locked_labels", "outbox_row", "pieces", "predicted", "tell_store", "write_labels"]

ItemT = TypeVar("ItemT")

#: Ids of one query.
_PIECE: Final = 500
_COLUMNS: Final = tuple(column.name for column in LABELS.columns)
_UPDATED: Final = ("label", "label_time", "source", "analyst", "revision", "pending", "updated_at")
_UPDATE: Final = "ON CONFLICT (transaction_id) DO UPDATE SET " + ", ".join(
    f"{name} = excluded.{name}" for name in _UPDATED
)
_HISTORY: Final = tuple(column.name for column in LABEL_HISTORY.columns)
_OUTBOX: Final = ("transaction_id", "event", "label_time")
_PREDICTED: Final = (
    "transaction_id",
    "customer_id",
    "merchant_id",
    "hashed",
    "merchant_category",
    "event_time",
    "decision",
    "model_name",
    "model_version",
    "role",
)
#: One look at the index for each id, in order, whatever PostgreSQL believes of a table that it has not analysed.
_EACH: Final = "FROM unnest(%s::text[]) AS wanted(id) CROSS JOIN LATERAL"
_POSTGRESQL_LOCKED: Final = (
    f"SELECT found.* {_EACH} (SELECT * FROM labels WHERE transaction_id = wanted.id LIMIT 1 FOR UPDATE) AS found"  # noqa: S608
)
#: The lock keeps retention and erasure from removing a prediction meanwhile, which would leave the label for good.
_POSTGRESQL_PREDICTED: Final = (
    f"SELECT found.* {_EACH} (SELECT {', '.join(_PREDICTED)} FROM predictions WHERE transaction_id = wanted.id"  # noqa: S608
    " ORDER BY role, id LIMIT 1 FOR KEY SHARE) AS found"
)


def locked_labels(connection: Connection, ids: Sequence[str], now: int) -> dict[str, dict[str, Any]]:
    """The labels that are there, by transaction. Until the transaction's end nobody else changes them.

    Parameters
    ----------
    connection
        In a transaction that writes.
    ids
        Of the transactions, sorted, so that two that bring the same labels do not wait for each other.
    now
        Microseconds since 1970 UTC.
    """
    if connection.dialect.name == "sqlite":
        found = [
            row
            for part in pieces(ids)
            for row in connection.execute(select(LABELS).where(LABELS.c.transaction_id.in_(part))).mappings()
        ]
    else:
        # Who comes second waits for the first, even when neither label is there yet.
        taken = ("transaction_id", "label", "label_time", "revision", "pending", "created_at", "updated_at")
        places = [(transaction_id, "", 0, 0, False, now, now) for transaction_id in ids]
        insert_arrays(connection, LABELS, taken, places, "ON CONFLICT DO NOTHING")
        found = list(connection.exec_driver_sql(_POSTGRESQL_LOCKED, (list(ids),)).mappings())
    return {row["transaction_id"]: dict(row) for row in found if row["revision"]}


def predicted(connection: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The first prediction of each transaction that has one, the champion's before others.

    In a transaction of PostgreSQL, none of them is removed until its end.
    """
    if connection.dialect.name != "sqlite":
        return {row.transaction_id: row for row in connection.exec_driver_sql(_POSTGRESQL_PREDICTED, (list(ids),))}
    found: dict[str, Row[Any]] = {}
    for part in pieces(ids):
        query = select(*(PREDICTIONS.c[name] for name in _PREDICTED)).where(PREDICTIONS.c.transaction_id.in_(part))
        # The champion's last, so that it stays.
        for row in connection.execute(query.order_by(PREDICTIONS.c.role.desc(), PREDICTIONS.c.id.desc())):
            found[row.transaction_id] = row
    return found


def write_labels(
    connection: Connection, labels: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]
) -> None:
    """Write labels as they are now, and what was added to their history."""
    if not labels:
        return
    if connection.dialect.name == "sqlite":
        statement = sqlite.insert(LABELS)
        changes = {name: statement.excluded[name] for name in _UPDATED}
        upsert = statement.on_conflict_do_update(index_elements=["transaction_id"], set_=changes)
        connection.execute(upsert, list(labels))
        connection.execute(insert(LABEL_HISTORY), list(history))
    else:
        insert_arrays(connection, LABELS, _COLUMNS, _values(labels, _COLUMNS), _UPDATE)
        insert_arrays(connection, LABEL_HISTORY, _HISTORY, _values(history, _HISTORY))


def tell_store(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put changes into the outbox."""
    if rows and connection.dialect.name == "sqlite":
        connection.execute(insert(LABEL_OUTBOX), list(rows))
    elif rows:
        insert_arrays(connection, LABEL_OUTBOX, _OUTBOX, _values(rows, _OUTBOX))


def outbox_row(identifiers: Identifiers, prediction: Row[Any], label: str, label_time: int) -> dict[str, Any]:
    """What the feature store is to be told of a label."""
    event = identifiers.event(
        prediction.transaction_id,
        prediction.customer_id,
        prediction.merchant_id,
        prediction.merchant_category,
        prediction.event_time,
        hashed=prediction.hashed,
    )
    return {
        "transaction_id": prediction.transaction_id,
        "event": packed_event(event),
        "label_time": label_time if label == "fraud" else None,
    }


def pieces(items: Sequence[ItemT], size: int = _PIECE) -> Iterator[Sequence[ItemT]]:
    """A sequence in pieces that a statement can hold."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _values(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    return [[row[name] for name in names] for row in rows]
