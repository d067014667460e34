"""One batch: features, scores, decisions, reasons. What a batcher runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from itertools import islice
from time import monotonic, perf_counter
from typing import Final, TypeAlias

import numpy as np

from bentos.core.answers import Explanation, Prediction, ReasonText
from bentos.core.errors import FraudError, Unavailable
from bentos.core.features.definitions import FEATURE_NAMES
from bentos.fraud.batching import Job
from bentos.fraud.block_review import BlockReview
from bentos.fraud.circuit import Circuit
from bentos.fraud.metrics import Metrics
from bentos.fraud.observe.tracing import RequestTrace
from bentos.fraud.records.log import PredictionLog
from bentos.fraud.rows import Ask, Row
from bentos.fraud.scorer import FloatArray, Scorer, decide
from bentos.fraud.store import FeatureStore
from bentos.fraud.tally import Tally

__all__ = ["MODEL", "Ask", "Evaluator", "FeatureBlock", "Questions", "Work"]

#: In an answer's ``degraded``, of one that the rules gave.
MODEL: Final = "model"
#: Rows that are explained between two looks at the clock.
_BLOCK: Final = 16
_NO_ROWS: Final = np.empty((0, len(FEATURE_NAMES)))
#: Weight of the newest block in the running mean of the cost of a row's reasons.
_NEWEST: Final = 0.2


class Questions:
    """A caller's transactions, and their answers when the batch is done.

    Parameters
    ----------
    asks
        n of them, at least 1.
    """

    __slots__ = ("answers", "asks")

    def __init__(self, asks: Sequence[Ask]) -> None:
        self.asks = asks
        self.answers: list[Prediction | Explanation | FraudError] = []


class FeatureBlock:
    """A caller's feature rows, and their scores when the batch is done.

    Parameters
    ----------
    rows
        float64 [n, 21], n at least 1.
    trace
        Of the request, if it is traced.
    """

    __slots__ = ("raw", "rows", "score", "trace")

    def __init__(self, rows: FloatArray, trace: RequestTrace | None = None) -> None:
        self.rows = rows
        self.trace = trace
        self.raw = self.score = np.empty(0)


Work: TypeAlias = Questions | FeatureBlock


class Evaluator:
    """Does the jobs of a batch together.

    Parameters
    ----------
    scorer
        The model.
    store
        Where features come from and transactions are recorded.
    metrics
        What is counted.
    log
        Keeps predictions; None keeps none.
    block_review
        Has some blocks reviewed instead; None has none.
    """

    def __init__(
        self,
        scorer: Scorer,
        store: FeatureStore,
        metrics: Metrics,
        log: PredictionLog | None = None,
        block_review: BlockReview | None = None,
    ) -> None:
        self._scorer = scorer
        self._block_review = block_review
        self._store = store
        self._metrics = metrics
        self._log = log
        self._circuit = Circuit(scorer.works)
        self._reason_seconds = 0.0

    @property
    def trouble(self) -> str | None:
        """What is wrong with the model, if anything."""
        return self._circuit.trouble

    async def run(self, jobs: list[Job[Work]]) -> None:
        """Finish every job; answers without reasons first."""
        tally = Tally(self._metrics)
        asked = [(job, job.item) for job in jobs if isinstance(job.item, Questions)]
        given = [(job, job.item) for job in jobs if isinstance(job.item, FeatureBlock)]
        rows, values = await self._looked_up(asked, tally)
        elsewhere = self._score(rows, values, given, tally)
        if elsewhere is not None:
            await elsewhere
        remaining = iter(rows)
        later = []
        for job, questions in asked:
            own = list(islice(remaining, len(questions.asks)))
            explained = [row for row in own if row.explained]
            if explained:
                later.append((job, questions, own, explained))
            else:
                self._answer(job, questions, own, tally)
        if later and len(later) < len(jobs):
            # Reasons take longer than scores; who has his answer does not wait for them.
            await asyncio.sleep(0)
        self._explain([row for *_, explained in later for row in explained], tally)
        for job, questions, own, _ in later:
            self._answer(job, questions, own, tally)
        self._metrics.later.add(tally.count)

    async def _looked_up(self, asked: list[tuple[Job[Work], Questions]], tally: Tally) -> tuple[list[Row], FloatArray]:
        asks = [(ask, job.deadline) for job, questions in asked for ask in questions.asks]
        if not asks:
            return [], _NO_ROWS
        started = perf_counter()
        found = await self._store.lookup_many([ask.transaction for ask, _ in asks], [ask.record for ask, _ in asks])
        tally.stage("features", started, [ask.trace for ask, _ in asks])
        tally.defaulted = sum(map(bool, found.degraded))
        tally.found = len(asks) - tally.defaulted
        rows = [
            Row(ask, deadline, values, degraded)
            for (ask, deadline), values, degraded in zip(asks, found.values, found.degraded, strict=True)
        ]
        return rows, found.values

    def _score(
        self, rows: list[Row], values: FloatArray, given: list[tuple[Job[Work], FeatureBlock]], tally: Tally
    ) -> Awaitable[None] | None:
        """Score in this step of the loop; a model that is elsewhere returns what to wait for."""
        if self._circuit.is_open:
            self._without_model(rows, given)
            return None
        started = perf_counter()
        matrix = np.concatenate([values, *(block.rows for _, block in given)]) if given else values
        try:
            raw, score = self._scorer.score(matrix)
        except Exception as error:  # noqa: BLE001 - onnxruntime's have no common class; logged
            if len(rows) + len(given) > 1:
                self._score_apart(rows, given, tally)
            else:
                self._circuit.failed(error)
                self._without_model(rows, given)
            return None
        self._scored(rows, given, raw, score, started, tally)
        return None

    def _scored(
        self,
        rows: list[Row],
        given: list[tuple[Job[Work], FeatureBlock]],
        raw: FloatArray,
        score: FloatArray,
        started: float,
        tally: Tally,
    ) -> None:
        traces = [*(row.ask.trace for row in rows), *(block.trace for _, block in given)]
        tally.stage("inference", started, traces, len(raw))
        thresholds = self._scorer.thresholds
        for row, one_raw, one_score in zip(rows, raw.tolist(), score.tolist(), strict=False):
            row.raw, row.score, row.decision = one_raw, one_score, decide(one_score, thresholds)
            if row.decision == "block" and self._block_review is not None:
                self._block_review.look(row)
        start = len(rows)
        for job, block in given:
            block.raw, block.score = raw[start : start + job.size], score[start : start + job.size]
            start += job.size
            job.finish()

    def _score_apart(self, rows: list[Row], given: list[tuple[Job[Work], FeatureBlock]], tally: Tally) -> None:
        # One bad row fails alone.
        for row in rows:
            self._score([row], row.values[np.newaxis], [], tally)
        for job, block in given:
            self._score([], _NO_ROWS, [(job, block)], tally)

    def _without_model(self, rows: list[Row], given: list[tuple[Job[Work], FeatureBlock]]) -> None:
        for row in rows:
            if row.ask.explain == "parts":
                row.error = _no_score()
            else:
                row.rules = self._scorer.rules.answer(row.values.tolist())
                row.score, row.decision = row.rules.score, row.rules.decision
        for job, _ in given:
            job.fail(_no_score())

    def _explain(self, rows: list[Row], tally: Tally) -> None:
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            started = perf_counter()
            until = monotonic() + self._reason_seconds * len(block)
            for row in block:
                # Who asked for the parts has no other answer to wait for.
                row.late = until > row.deadline and row.ask.explain != "parts"
            wanted = [row for row in block if not row.late]
            tally.late += len(block) - len(wanted)
            if not wanted:
                continue
            found = self._scorer.contributions(np.array([row.values for row in wanted]))
            for row, contributions in zip(wanted, found, strict=True):
                row.contributions = contributions
            seconds = tally.stage("reasons", started, [row.ask.trace for row in wanted])
            self._reason_seconds += (seconds / len(wanted) - self._reason_seconds) * _NEWEST

    def _answer(self, job: Job[Work], questions: Questions, rows: list[Row], tally: Tally) -> None:
        questions.answers = [self._answered(row, tally) for row in rows]
        job.finish()
        tally.answered(rows)
        if self._log is not None:
            self._log.offer(rows, questions.answers)

    def _answered(self, row: Row, tally: Tally) -> Prediction | Explanation | FraudError:
        if row.error is not None:
            return row.error
        if row.ask.explain == "parts":
            return self._parts(row)
        by_rules = row.rules is not None
        degraded = (*row.degraded, MODEL) if by_rules else row.degraded
        if row.ask.record:
            # Who only asks what would be, makes no alert; ten variants of one payment would be ten.
            tally.prediction(row.decision, None if by_rules else row.score, degraded=bool(degraded))
        return Prediction(
            transaction_id=row.ask.transaction_id,
            score=row.score,
            decision=row.decision,
            thresholds=self._scorer.thresholds,
            model=self._scorer.model,
            degraded=degraded,
            reasons=None if row.late else tuple(self._reasons(row)),
        )

    def _reasons(self, row: Row) -> Iterator[ReasonText]:
        if row.rules is not None and row.reasoned:
            yield from row.rules.reasons
        if row.contributions is None:
            return
        for reason in self._scorer.reasons(row.values, row.contributions):
            yield ReasonText(
                feature=reason.feature, value=reason.value, contribution=reason.contribution, text=reason.text
            )

    def _parts(self, row: Row) -> Explanation:
        contributions = () if row.contributions is None else row.contributions.tolist()
        return Explanation(
            transaction_id=row.ask.transaction_id,
            raw_score=row.raw,
            base_value=self._scorer.base_value,
            contributions=dict(zip(FEATURE_NAMES, contributions, strict=True)),
            features=dict(zip(FEATURE_NAMES, row.values.tolist(), strict=True)),
            score=row.score,
            decision=row.decision,
            thresholds=self._scorer.thresholds,
            model=self._scorer.model,
            degraded=row.degraded,
        )


def _no_score() -> Unavailable:
    return Unavailable("the model cannot score; try again")
