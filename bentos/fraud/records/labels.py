"""Labels in the database: what one changes, its history, and what the feature store is to be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from bentos.core.records import LabelOutcome, LabelValue
from bentos.fraud.records.identifiers import Identifiers, packed_event
from bentos.fraud.records.tables import LABEL_HISTORY, LABEL_OUTBOX, LABELS, PREDICTIONS

__all__ = ["Applied", "GivenLabel", "apply_labels", "counted", "outbox_row", "pieces", "predicted", "tell_store"]

ItemT = TypeVar("ItemT")

#: Ids of one query.
_PIECE: Final = 500
_HISTORY: Final = ("transaction_id", "revision", "label", "label_time", "source", "analyst")
_UPDATED: Final = ("label", "label_time", "source", "analyst", "revision", "pending", "updated_at")


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """A label as it came; ``label_time`` in microseconds since 1970 UTC."""

    transaction_id: str
    label: LabelValue
    label_time: int
    source: str | None = None
    analyst: str | None = None


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a label.

    Parameters
    ----------
    outcome
        As the caller is told.
    counts
        Values of the labels decision, model_name, model_version and role of the change that it is, once its prediction
        is known; None for what changes nothing yet.
    """

    outcome: LabelOutcome
    counts: tuple[str, str, str, str] | None


def apply_labels(
    connection: Connection, identifiers: Identifiers, given: Sequence[GivenLabel], now: int
) -> list[Applied]:
    """Apply labels in order, within a transaction that writes.

    Parameters
    ----------
    connection
        In that transaction.
    identifiers
        How customers and merchants are written.
    given
        Labels; several may be of one transaction.
    now
        Microseconds since 1970 UTC.
    """
    # In order, so that two that bring the same labels do not wait for each other.
    ids = sorted({label.transaction_id for label in given})
    current = _locked(connection, ids, now)
    predictions = predicted(connection, ids)
    history: list[dict[str, Any]] = []
    outbox: list[dict[str, Any]] = []
    applied = []
    for label in given:
        known, prediction = current.get(label.transaction_id), predictions.get(label.transaction_id)
        row, kind = _changed(label, known, now, pending=prediction is None)
        if row is not None:
            current[label.transaction_id] = row
            history.append({name: row[name] for name in _HISTORY} | {"created_at": now})
            if prediction is not None and "fraud" in (label.label, None if known is None else known["label"]):
                outbox.append(outbox_row(identifiers, prediction, row["label"], row["label_time"]))
        applied.append(_told(label, kind, prediction, changed=row is not None))
    written = {entry["transaction_id"] for entry in history}
    _upsert(connection, [current[transaction_id] for transaction_id in sorted(written)])
    if history:
        connection.execute(insert(LABEL_HISTORY), history)
    tell_store(connection, outbox)
    return applied


def tell_store(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put changes into the outbox."""
    if rows:
        connection.execute(insert(LABEL_OUTBOX), list(rows))


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


def predicted(connection: Connection, ids: Sequence[str]) -> dict[str, Row[Any]]:
    """The first prediction of each transaction that has one, the champion's before others."""
    columns = (
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
    found: dict[str, Row[Any]] = {}
    for part in pieces(ids):
        query = select(*(PREDICTIONS.c[name] for name in columns)).where(PREDICTIONS.c.transaction_id.in_(part))
        # The champion's last, so that it stays.
        for row in connection.execute(query.order_by(PREDICTIONS.c.role.desc(), PREDICTIONS.c.id.desc())):
            found[row.transaction_id] = row
    return found


def pieces(items: Sequence[ItemT], size: int = _PIECE) -> Iterator[Sequence[ItemT]]:
    """A sequence in pieces that a statement can hold."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _locked(connection: Connection, ids: Sequence[str], now: int) -> dict[str, dict[str, Any]]:
    """The labels that are there, by transaction. Until the transaction's end nobody else changes them."""
    query = select(LABELS)
    if connection.dialect.name != "sqlite":
        # Who comes second waits for the first, even when neither label is there yet.
        taken = [_empty(transaction_id, now) for transaction_id in ids]
        connection.execute(postgresql.insert(LABELS).on_conflict_do_nothing(), taken)
        query = query.order_by(LABELS.c.transaction_id).with_for_update()
    found = {}
    for part in pieces(ids):
        for row in connection.execute(query.where(LABELS.c.transaction_id.in_(part))).mappings():
            if row["revision"]:
                found[row["transaction_id"]] = dict(row)
    return found


def _empty(transaction_id: str, now: int) -> dict[str, Any]:
    times = {"label_time": 0, "created_at": now, "updated_at": now}
    return {"transaction_id": transaction_id, "label": "", "revision": 0, "pending": False, **times}


def _changed(
    label: GivenLabel, known: Mapping[str, Any] | None, now: int, *, pending: bool
) -> tuple[dict[str, Any] | None, Literal["recorded", "changed", "unchanged"]]:
    if known is not None and known["label"] == label.label:
        return None, "unchanged"
    row = {
        "transaction_id": label.transaction_id,
        "label": label.label,
        "label_time": label.label_time,
        "source": label.source,
        "analyst": label.analyst,
        "revision": 1 if known is None else known["revision"] + 1,
        "pending": pending,
        "created_at": now if known is None else known["created_at"],
        "updated_at": now,
    }
    return row, "recorded" if known is None else "changed"


def _told(
    label: GivenLabel,
    kind: Literal["recorded", "changed", "unchanged"],
    prediction: Row[Any] | None,
    *,
    changed: bool,
) -> Applied:
    outcome = LabelOutcome(
        transaction_id=label.transaction_id, label=label.label, outcome=kind, pending=prediction is None
    )
    return Applied(outcome, counted(prediction) if changed and prediction is not None else None)


def counted(prediction: Row[Any]) -> tuple[str, str, str, str]:
    """Values of the labels of a metric that counts a label."""
    return prediction.decision, prediction.model_name, prediction.model_version, prediction.role


def _upsert(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    rows = list(rows)
    if not rows:
        return
    # Both dialects have the same words for it.
    kind = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = kind(LABELS)
    changes = {name: statement.excluded[name] for name in _UPDATED}
    connection.execute(statement.on_conflict_do_update(index_elements=["transaction_id"], set_=changes), rows)
