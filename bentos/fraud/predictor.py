"""Predict and explain one transaction, for any transport."""

from __future__ import annotations

from time import perf_counter
from uuid import uuid4

import numpy as np

from bentos.core.features.definitions import FEATURE_NAMES
from bentos.core.transaction import Transaction
from bentos.fraud.answers import Explanation, Prediction, ReasonText
from bentos.fraud.metrics import Metrics
from bentos.fraud.options import DEFAULT_OPTIONS, PredictOptions
from bentos.fraud.scorer import FloatArray, Scorer, decide
from bentos.fraud.store import FeatureRow, FeatureStore

__all__ = ["Predictor"]


class Predictor:
    """Looks features up, scores, decides and gives reasons.

    Parameters
    ----------
    scorer
        The model.
    store
        Where features come from and transactions are recorded.
    metrics
        What is counted.
    """

    def __init__(self, scorer: Scorer, store: FeatureStore, metrics: Metrics) -> None:
        self.scorer = scorer
        self.metrics = metrics
        self._store = store

    def predict(self, transaction: Transaction, options: PredictOptions = DEFAULT_OPTIONS) -> Prediction:
        """Score a transaction, and record it unless told otherwise.

        Raises
        ------
        Unavailable
            When the model cannot score.
        """
        identity, transaction = _identified(transaction)
        row = self._features(transaction, record=options.record)
        with self.metrics.stage("inference"):
            _, scores = self.scorer.score(row.values[np.newaxis])
        score = float(scores[0])
        decision = decide(score, self.scorer.thresholds)
        explained = options.explain == "all" or (options.explain == "flagged" and decision != "approve")
        reasons = self._reasons(row.values) if explained else ()
        self.metrics.predictions[decision].inc()
        self.metrics.score.observe(score)
        if row.degraded:
            self.metrics.degraded.inc()
        return Prediction.model_construct(
            transaction_id=identity,
            score=score,
            decision=decision,
            thresholds=self.scorer.thresholds,
            model=self.scorer.model,
            degraded=row.degraded,
            reasons=reasons,
        )

    def explain(self, transaction: Transaction) -> Explanation:
        """Take a transaction's score apart. Never records it.

        Raises
        ------
        Unavailable
            When the model cannot score.
        """
        identity, transaction = _identified(transaction)
        row = self._features(transaction, record=False)
        with self.metrics.stage("inference"):
            raw_scores, scores = self.scorer.score(row.values[np.newaxis])
        with self.metrics.stage("reasons"):
            contributions = self.scorer.contributions(row.values[np.newaxis])[0]
        score = float(scores[0])
        return Explanation.model_construct(
            transaction_id=identity,
            raw_score=float(raw_scores[0]),
            base_value=self.scorer.base_value,
            contributions=dict(zip(FEATURE_NAMES, contributions.tolist(), strict=True)),
            features=dict(zip(FEATURE_NAMES, row.values.tolist(), strict=True)),
            score=score,
            decision=decide(score, self.scorer.thresholds),
            thresholds=self.scorer.thresholds,
            model=self.scorer.model,
            degraded=row.degraded,
        )

    def _features(self, transaction: Transaction, *, record: bool) -> FeatureRow:
        started = perf_counter()
        row = self._store.lookup(transaction, record=record)
        self.metrics.stage_latency["features"].observe(perf_counter() - started)
        self.metrics.feature_lookups[not row.degraded].inc()
        return row

    def _reasons(self, row: FloatArray) -> tuple[ReasonText, ...]:
        with self.metrics.stage("reasons"):
            contributions = self.scorer.contributions(row[np.newaxis])[0]
            return tuple(
                ReasonText(
                    feature=reason.feature, value=reason.value, contribution=reason.contribution, text=reason.text
                )
                for reason in self.scorer.reasons(row, contributions)
            )


def _identified(transaction: Transaction) -> tuple[str, Transaction]:
    if transaction.transaction_id is not None:
        return transaction.transaction_id, transaction
    made = uuid4().hex
    return made, transaction.model_copy(update={"transaction_id": made})
