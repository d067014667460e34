"""Labels in the database: what one changes, its history, and what the feature store is to be told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row

from bentos.core.records import LabelOutcome, LabelValue
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.label_rows import locked_labels, outbox_row, predicted, tell_store, write_labels

__all__ = ["Applied", "GivenLabel", "apply_labels", "counted"]

_HISTORY: Final = ("transaction_id", "revision", "label", "label_time", "source", "analyst")


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
    ids = sorted({label.transaction_id for label in given})
    current = locked_labels(connection, ids, now)
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
            # Of one that waited, the store was never told.
            before = None if known is None or known["pending"] else known["label"]
            if prediction is not None and "fraud" in (label.label, before):
                outbox.append(outbox_row(identifiers, prediction, row["label"], row["label_time"]))
        applied.append(_told(label, kind, prediction, changed=row is not None))
    written = {entry["transaction_id"] for entry in history}
    write_labels(connection, [current[transaction_id] for transaction_id in sorted(written)], history)
    tell_store(connection, outbox)
    return applied


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
