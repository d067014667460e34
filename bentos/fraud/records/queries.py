"""Reads kept predictions, with their labels and claims."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
from sqlalchemy import Connection, Row, Select, and_, func, select

from bentos.core.answers import ModelVersion, ReasonText
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.core.records import Claim, KeptLabel, KeptPrediction, Predictions
from bentos.core.transaction import EARLIEST
from bentos.fraud.records.database import Database
from bentos.fraud.records.failures import translated
from bentos.fraud.records.filters import Filters, Place, write_cursor
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.tables import CLAIMS, LABEL_OUTBOX, LABELS, PREDICTIONS, WAITING, from_labels

__all__ = ["Queries", "instant"]

_FEATURE_TYPE: Final = np.dtype("<f8")


def instant(microseconds: int, offset_seconds: int = 0) -> datetime:
    """An instant from microseconds since 1970 UTC."""
    return (EARLIEST + timedelta(microseconds=microseconds)).astimezone(timezone(timedelta(seconds=offset_seconds)))


class Queries:
    """Questions about the records. Every call blocks; safe for use by several threads.

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

    def predictions(self, filters: Filters, limit: int, after: Place | None = None, *, features: bool) -> Predictions:
        """Predictions, the newest first.

        Parameters
        ----------
        filters
            What they must be.
        limit
            How many at most.
        after
            The last one of the page before.
        features
            Whether their feature rows are told.

        Raises
        ------
        Unavailable
            When the database fails.
        """
        with translated(), self._database.read() as connection:
            now = self._database.now(connection)
            query = _query(connection, now, by_label=filters.label not in (None, "none")).limit(limit + 1)
            rows: list[Row[Any]] = []
            # One query for each form of an identifier: each walks along an index, both together would have to sort.
            for hashed in (False, True) if filters.names_somebody else (False,):
                chosen = query.where(*filters.conditions(self._identifiers, after, hashed=hashed))
                rows += connection.execute(chosen).all()
        rows.sort(key=lambda row: (row.created_at, row.id), reverse=True)
        last = rows[limit - 1] if len(rows) > limit else None
        return Predictions(
            predictions=tuple(_kept(row, features=features) for row in rows[:limit]),
            next=None if last is None else write_cursor(Place(last.created_at, last.id)),
        )

    def status(self) -> dict[str, int]:
        """How many records there are of each kind.

        Raises
        ------
        Unavailable
            When the database fails.
        """
        counts = {
            "predictions": select(func.count()).select_from(PREDICTIONS),
            "labels": select(func.count()).select_from(LABELS).where(LABELS.c.revision > 0),
            "pending labels": select(func.count()).select_from(LABELS).where(WAITING),
            "features to tell": select(func.count()).select_from(LABEL_OUTBOX),
        }
        with translated(), self._database.read(patient=True) as connection:
            return {name: connection.execute(query).scalar_one() for name, query in counts.items()}


def _query(connection: Connection, now: int, *, by_label: bool) -> Select[Any]:
    table = PREDICTIONS.c
    transactions = from_labels(connection) if by_label else LABELS.c.transaction_id
    # Nor may the order lead it through all predictions.
    newest = table.created_at + 0 if by_label and connection.dialect.name == "sqlite" else table.created_at
    labelled = and_(transactions == table.transaction_id, LABELS.c.revision > 0)
    claimed = and_(CLAIMS.c.transaction_id == table.transaction_id, CLAIMS.c.until > now)
    return (
        select(
            PREDICTIONS,
            *(LABELS.c[name] for name in ("label", "label_time", "source", "analyst", "updated_at")),
            CLAIMS.c.analyst.label("claimed_by"),
            CLAIMS.c.until.label("claimed_until"),
        )
        .select_from(PREDICTIONS.join(LABELS, labelled, isouter=not by_label).outerjoin(CLAIMS, claimed))
        .order_by(newest.desc(), table.id.desc())
    )


def _kept(row: Row[Any], *, features: bool) -> KeptPrediction:
    reasons = None if row.reasons is None else tuple(map(_reason, json.loads(row.reasons)))
    values = np.frombuffer(row.features, _FEATURE_TYPE).tolist() if features else []
    return KeptPrediction(
        transaction_id=row.transaction_id,
        customer_id=row.customer_id,
        merchant_id=row.merchant_id,
        merchant_category=row.merchant_category,
        amount=row.amount,
        timestamp=instant(row.event_time, row.offset_seconds),
        score=row.score,
        raw_score=row.raw_score,
        decision=row.decision,
        model=ModelVersion(name=row.model_name, version=row.model_version),
        role=row.role,
        degraded=tuple(filter(None, row.degraded.split(","))),
        reasons=reasons,
        features=dict(zip(FEATURE_NAMES, values, strict=True)) if features else None,
        label=_label(row),
        claim=_claim(row),
        created_at=instant(row.created_at),
    )


def _reason(parts: list[Any]) -> ReasonText:
    feature, value, contribution, words = parts
    return ReasonText(feature=feature, value=value, contribution=contribution, text=words)


def _label(row: Row[Any]) -> KeptLabel | None:
    if row.label is None:
        return None
    return KeptLabel(
        label=row.label,
        label_time=instant(row.label_time),
        source=row.source,
        analyst=row.analyst,
        updated_at=instant(row.updated_at),
    )


def _claim(row: Row[Any]) -> Claim | None:
    if row.claimed_by is None:
        return None
    return Claim(transaction_id=row.transaction_id, analyst=row.claimed_by, expires_at=instant(row.claimed_until))
