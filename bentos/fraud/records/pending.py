"""Labels that came before the predictions of their transactions."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, Select, exists, select, update

from bentos.core.records import LabelOutcome
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.label_rows import outbox_row, pieces, predicted, tell_store
from bentos.fraud.records.labels import Applied, counted
from bentos.fraud.records.tables import LABELS, PREDICTIONS, WAITING

__all__ = ["any_overlooked", "join_left", "join_pending"]


def join_pending(connection: Connection, identifiers: Identifiers, ids: Sequence[str]) -> list[Applied]:
    """Join labels that wait with the predictions of these transactions, within a transaction that writes."""
    # In the order of their index: most of the time there is none, which no table has to be read for.
    waits = select(LABELS.c.transaction_id).where(WAITING).order_by(LABELS.c.created_at).limit(1)
    if connection.execute(waits).first() is None:
        return []
    query = select(LABELS).where(WAITING).order_by(LABELS.c.transaction_id)
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


def any_overlooked(connection: Connection, since: int) -> bool:
    """Whether :func:`join_left` has anything to do."""
    return connection.execute(_overlooked(since).limit(1)).first() is not None


def join_left(connection: Connection, identifiers: Identifiers, limit: int, since: int) -> list[Applied]:
    """Join labels that were overlooked: of PostgreSQL's transactions that run at once neither sees the other's rows.

    Parameters
    ----------
    connection
        In a transaction that writes.
    identifiers
        How customers and merchants are written.
    limit
        How many at most.
    since
        Only those that came then or later, microseconds since 1970 UTC. One that is there already when its prediction
        is written is not overlooked.
    """
    ids = list(connection.scalars(_overlooked(since).limit(limit)))
    return join_pending(connection, identifiers, ids) if ids else []


def _overlooked(since: int) -> Select[str]:
    predicted_now = exists().where(PREDICTIONS.c.transaction_id == LABELS.c.transaction_id)
    waiting = select(LABELS.c.transaction_id).where(WAITING, LABELS.c.created_at >= since)
    return waiting.where(predicted_now).order_by(LABELS.c.created_at)
