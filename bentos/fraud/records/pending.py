"""Labels that came before the predictions of their transactions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Select, exists, select, true, update

from bentos.core.records import LabelOutcome
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.labels import Applied, counted, outbox_row, pieces, predicted, tell_store
from bentos.fraud.records.tables import LABELS, PREDICTIONS

__all__ = ["any_overlooked", "join_left", "join_pending"]


def join_pending(connection: Connection, identifiers: Identifiers, ids: Sequence[str]) -> list[Applied]:
    """Join labels that wait with the predictions of these transactions, within a transaction that writes."""
    if not connection.execute(select(exists().where(LABELS.c.pending.is_(true())))).scalar_one():
        return []
    query = select(LABELS).where(LABELS.c.pending.is_(true())).order_by(LABELS.c.transaction_id)
    if connection.dialect.name != "sqlite":
        query = query.with_for_update()
    waiting = {}
    for part in pieces(sorted(ids)):
        found = connection.execute(query.where(LABELS.c.transaction_id.in_(part))).mappings()
        waiting.update({row["transaction_id"]: row for row in found})
    joined, outbox = [], []
    for transaction_id, prediction in predicted(connection, sorted(waiting)).items():
        label = waiting[transaction_id]
        if label["label"] == "fraud":
            outbox.append(outbox_row(identifiers, prediction, label["label"], label["label_time"]))
        outcome = LabelOutcome(transaction_id=transaction_id, label=label["label"], outcome="recorded", pending=False)
        joined.append(Applied(outcome, counted(prediction)))
    for piece in pieces([one.outcome.transaction_id for one in joined]):
        connection.execute(update(LABELS).where(LABELS.c.transaction_id.in_(piece)).values(pending=False))
    tell_store(connection, outbox)
    return joined


def any_overlooked(connection: Connection) -> bool:
    """Whether :func:`join_left` has anything to do."""
    return connection.execute(_overlooked().limit(1)).first() is not None


def join_left(connection: Connection, identifiers: Identifiers, limit: int) -> list[Applied]:
    """Join labels that were overlooked: of PostgreSQL's transactions that run at once neither sees the other's rows."""
    ids = list(connection.scalars(_overlooked().limit(limit)))
    return join_pending(connection, identifiers, ids) if ids else []


def _overlooked() -> Select[str]:
    predicted_now = exists().where(PREDICTIONS.c.transaction_id == LABELS.c.transaction_id)
    return select(LABELS.c.transaction_id).where(LABELS.c.pending.is_(true()), predicted_now)
