"""Predictions as the service makes them, and labels, for tests of their records."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from bentos.core.answers import Decision, ModelVersion, Prediction, ReasonText, ThresholdPair
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.core.records import LabelOutcome, LabelValue
from bentos.fraud.evaluation import Ask
from bentos.fraud.records.database import Database, open_database, upgrade
from bentos.fraud.records.encoding import Encoder
from bentos.fraud.records.labels import Applied, GivenLabel, apply_labels
from bentos.fraud.records.office import open_identifiers
from bentos.fraud.records.queries import Queries
from bentos.fraud.records.settings import RecordsSettings
from bentos.fraud.records.values import Values
from bentos.fraud.records.writing import Writer
from bentos.fraud.rows import Row
from tests.fraud.requests import transaction

MODEL = ModelVersion(name="fraud_detector", version="7")
REASON = ReasonText(feature="amount", value=42.5, contribution=0.25, text="amount of 42.50, large for this customer")


def now() -> int:
    """Microseconds since 1970 UTC."""
    return time.time_ns() // 1000


def predicted(
    transaction_id: str,
    *,
    decision: Decision = "approve",
    score: float = 0.125,
    record: bool = True,
    reasons: tuple[ReasonText, ...] | None = (),
    degraded: tuple[str, ...] = (),
    **fields: Any,
) -> tuple[Row, Prediction]:
    """A row that was answered, and its answer."""
    ask = Ask(transaction_id, transaction(transaction_id=transaction_id, **fields), record, "flagged")
    row = Row(ask, 0.0, np.arange(len(FEATURE_NAMES), dtype=np.float64), degraded)
    row.raw, row.score, row.decision = 0.5, score, decision
    answer = Prediction(
        transaction_id=transaction_id,
        score=score,
        decision=decision,
        thresholds=ThresholdPair(review=0.3, block=0.8),
        model=MODEL,
        degraded=degraded,
        reasons=reasons,
    )
    return row, answer


class Book:
    """The records of one database, each step a transaction of its own.

    Parameters
    ----------
    settings
        Where they are.
    """

    def __init__(self, settings: RecordsSettings) -> None:
        self.settings = settings
        self.database: Database = open_database(settings)
        self.identifiers = open_identifiers(settings)
        self.queries = Queries(self.database, self.identifiers)
        self._writer = Writer(self.database, self.identifiers)

    def values(
        self, *pairs: tuple[Row, Prediction], version: str = "7", role: str = "champion", at: int | None = None
    ) -> list[Values]:
        """Records as they are written."""
        encoder = Encoder(self.identifiers, ModelVersion(name="fraud_detector", version=version), role)
        rows, answers = zip(*pairs, strict=True)
        return encoder.encode((now() if at is None else at, rows, answers))

    def keep(self, *pairs: tuple[Row, Prediction], **options: Any) -> list[Applied]:
        """Record predictions; the labels that had waited for them."""
        return self._writer.write(self.values(*pairs, **options))

    def label(
        self, transaction_id: str, label: LabelValue, label_time: int | None = None, **names: str
    ) -> LabelOutcome:
        """Apply one label."""
        return self.labels(GivenLabel(transaction_id, label, label_time or now(), **names))[0].outcome

    def labels(self, *given: GivenLabel) -> list[Applied]:
        """Apply labels."""
        with self.database.begin() as connection:
            return apply_labels(connection, self.identifiers, given, now())


@contextlib.contextmanager
def opened(settings: RecordsSettings) -> Iterator[Book]:
    """A database with its tables."""
    upgrade(settings)
    book = Book(settings)
    try:
        yield book
    finally:
        book.database.close()
