"""From a prediction in memory to the values of its record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from bentos.core.answers import ModelVersion, Prediction, ReasonText
from bentos.core.features.history import CUSTOMER, MERCHANT
from bentos.core.transaction import microseconds
from bentos.fraud.records.identifiers import Identifiers
from bentos.fraud.records.values import Values
from bentos.fraud.rows import Row

__all__ = ["Batch", "Encoder"]

#: When it was answered, microseconds since 1970 UTC; its rows; their answers.
Batch: TypeAlias = tuple[int, Sequence[Row], Sequence[object]]


class Encoder:
    """Makes records. Safe for use in another thread than the event loop's.

    Parameters
    ----------
    identifiers
        How customers and merchants are written.
    model, role
        Of this worker.
    """

    def __init__(self, identifiers: Identifiers, model: ModelVersion, role: str) -> None:
        self._identifiers = identifiers
        self._model = model.name, model.version, role

    def encode(self, batch: Batch) -> list[Values]:
        """Records of what was predicted; what failed has none."""
        created_at, rows, answers = batch
        return [
            self._values(row, answer, created_at)
            for row, answer in zip(rows, answers, strict=True)
            if isinstance(answer, Prediction)
        ]

    def _values(self, row: Row, answer: Prediction, created_at: int) -> Values:
        transaction = row.ask.transaction
        customer, merchant, hashed = transaction.customer_id, transaction.merchant_id, self._identifiers.hashed
        if hashed:
            customer = self._identifiers.kept(CUSTOMER, customer)
            merchant = self._identifiers.kept(MERCHANT, merchant)
        timestamp = transaction.timestamp
        offset = timestamp.utcoffset()
        return (
            row.ask.transaction_id,
            customer,
            merchant,
            hashed,
            transaction.merchant_category,
            transaction.amount,
            microseconds(timestamp),
            0 if offset is None else offset.days * 86_400 + offset.seconds,
            row.score,
            None if row.rules is not None else row.raw,
            row.decision,
            *self._model,
            ",".join(answer.degraded),
            _reasons(answer.reasons) if answer.reasons else None,
            row.values.tobytes(),
            created_at,
            row.block_review_share,
        )


def _reasons(reasons: Sequence[ReasonText]) -> str:
    return json.dumps([[item.feature, item.value, item.contribution, item.text] for item in reasons])
