"""Predict and explain, for any transport: one transaction, many, or feature rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from time import monotonic, perf_counter
from typing import Final, Literal, TypeVar

import numpy as np

from bentos.core.answers import Explanation, Prediction
from bentos.core.buckets import bucket
from bentos.core.errors import FieldError, FraudError, InvalidInput
from bentos.core.transaction import Transaction, named
from bentos.fraud.batching import Batcher
from bentos.fraud.block_review import open_block_review
from bentos.fraud.evaluation import Ask, Evaluator, FeatureBlock, Questions, Work
from bentos.fraud.ids import new_id
from bentos.fraud.metrics import Metrics
from bentos.fraud.observe.exchange import current_exchange, current_trace
from bentos.fraud.options import DEFAULT_OPTIONS, Explain, PredictOptions
from bentos.fraud.records.log import PredictionLog
from bentos.fraud.remote.evaluation import RemoteEvaluator
from bentos.fraud.remote.model import RemoteModel
from bentos.fraud.scorer import FloatArray, Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import FeatureStore

__all__ = ["MAXIMUM_ROWS", "Predictor"]

AnswerT = TypeVar("AnswerT", Prediction, Explanation)
ItemT = TypeVar("ItemT")

#: Rows of one call.
MAXIMUM_ROWS: Final = 10_000
#: Batches at the same time, when they wait for a store or a model elsewhere: while one waits, the other is worked for.
_SIDE_BY_SIDE: Final = 2


class Predictor:
    """The calls of a worker, free of transport. Belongs to one event loop.

    ``deadline`` is the ``time.monotonic()`` second until which a caller waits; None means the settings' span from now.
    Every call raises :class:`Overloaded` when it cannot be done in time, before any work is done for it. When the model
    cannot score, the rules answer predictions; what asks for the model itself raises :class:`Unavailable`.

    Parameters
    ----------
    scorer
        The model.
    store
        Where features come from and transactions are recorded.
    metrics
        What is counted.
    settings
        Sizes and deadlines.
    log
        Keeps predictions; None keeps none.
    remote
        The model, when another server runs it; the scorer then gives what goes with its scores.
    """

    def __init__(
        self,
        scorer: Scorer,
        store: FeatureStore,
        metrics: Metrics,
        settings: ScoringSettings,
        log: PredictionLog | None = None,
        remote: RemoteModel | None = None,
    ) -> None:
        self.scorer = scorer
        self.metrics = metrics
        self._settings = settings
        self._waits = store.waits or remote is not None
        block_review = open_block_review(settings)
        self._evaluator = (
            Evaluator(scorer, store, metrics, log, block_review)
            if remote is None
            else RemoteEvaluator(remote, scorer, store, metrics, log, block_review)
        )
        self._batcher: Batcher[Work] = Batcher(
            self._evaluator.run,
            batch_size=settings.batch_size,
            queue_size=settings.queue_size,
            metrics=metrics,
            side_by_side=_SIDE_BY_SIDE if self._waits else 1,
        )

    @property
    def backlogged(self) -> bool:
        """Whether a call would have to wait for more than the batch that runs."""
        return self._batcher.backlogged

    @property
    def at_once(self) -> bool:
        """Whether a call of one transaction would be answered in its caller's own step of the loop."""
        return not self._waits and self._batcher.idle

    @property
    def trouble(self) -> str | None:
        """What is wrong with the model, if anything."""
        return self._evaluator.trouble

    def admit(self) -> None:
        """Refuse while the queue is full; to be asked before a call's body is read.

        Raises
        ------
        Overloaded
            With the seconds after which to try again.
        """
        self._batcher.admit()

    async def predict(
        self, transaction: Transaction, options: PredictOptions = DEFAULT_OPTIONS, deadline: float | None = None
    ) -> Prediction:
        """Score a transaction, record it and count it as a prediction, unless told otherwise."""
        started = perf_counter()
        exchange = current_exchange()
        if (
            exchange is not None
            and exchange.bucket is not None
            and (exchange.bucket != bucket(transaction.customer_id))
        ):
            self.metrics.bucket_mismatches.inc()
        ask = _ask(transaction, options.record, options.explain)
        prediction = await self._answer(ask, Prediction, deadline)
        if options.record:
            self.metrics.prediction_latency.observe(perf_counter() - started)
        if exchange is not None:
            exchange.answered(prediction)
        return prediction

    async def explain(self, transaction: Transaction, deadline: float | None = None) -> Explanation:
        """Take a transaction's score apart. Never records it."""
        ask = _ask(transaction, False, "parts")
        return await self._answer(ask, Explanation, deadline)

    async def predict_many(
        self,
        rows: Sequence[Transaction | InvalidInput],
        options: PredictOptions = DEFAULT_OPTIONS,
        deadline: float | None = None,
    ) -> list[Prediction | FraudError]:
        """Score several transactions, in order.

        They only take the room that single ones leave in a batch.

        Parameters
        ----------
        rows
            Transactions, or why one could not be read.
        options
            Of every one of them.
        deadline
            Of the call. What is not begun by then gets :class:`Overloaded`.

        Returns
        -------
        list
            A prediction or an error for each row.

        Raises
        ------
        InvalidInput
            More than ``MAXIMUM_ROWS`` rows.
        """
        _check_count("transactions", len(rows))
        self.admit()
        _charge(len(rows))
        until = self._until_many(deadline)
        results: list[Prediction | FraudError] = []
        for chunk in _chunks(rows, self._settings.batch_size):
            asks = [_ask(row, options.record, options.explain) for row in chunk if isinstance(row, Transaction)]
            answers = iter(await self._chunk(asks, until))
            results += [row if isinstance(row, InvalidInput) else next(answers) for row in chunk]
        return results

    async def infer(self, rows: FloatArray, deadline: float | None = None) -> tuple[FloatArray, FloatArray]:
        """Raw scores and scores, float64 [n] each, of feature rows, float64 [n, 21]. Looks up and records nothing.

        Raises
        ------
        InvalidInput
            More than ``MAXIMUM_ROWS`` rows.
        """
        _check_count("features", len(rows))
        _charge(len(rows))
        until = self._until(deadline) if len(rows) == 1 else self._until_many(deadline)
        step, trace = self._settings.batch_size, current_trace()
        blocks = [FeatureBlock(rows[start : start + step], trace) for start in range(0, len(rows), step)]
        for block in blocks:
            await self._batcher.submit(block, len(block.rows), until, bulk=len(rows) > 1)
        return np.concatenate([block.raw for block in blocks]), np.concatenate([block.score for block in blocks])

    async def close(self) -> None:
        """Refuse what still waits."""
        await self._batcher.close()

    async def _answer(self, ask: Ask, kind: type[AnswerT], deadline: float | None) -> AnswerT:
        questions = Questions([ask])
        await self._batcher.submit(questions, 1, self._until(deadline))
        (answer,) = questions.answers
        if isinstance(answer, FraudError):
            raise answer
        if not isinstance(answer, kind):
            raise TypeError(f"a {kind.__name__} was asked for, the batch gave a {type(answer).__name__}")
        return answer

    async def _chunk(self, asks: list[Ask], until: float) -> list[Prediction | FraudError]:
        if not asks:
            return []
        questions = Questions(asks)
        try:
            await self._batcher.submit(questions, len(asks), until, bulk=True)
        except FraudError as error:
            return [error] * len(asks)
        return [answer for answer in questions.answers if not isinstance(answer, Explanation)]

    def _until(self, deadline: float | None) -> float:
        return monotonic() + self._settings.deadline_milliseconds / 1000 if deadline is None else deadline

    def _until_many(self, deadline: float | None) -> float:
        return monotonic() + self._settings.many_deadline_milliseconds / 1000 if deadline is None else deadline


def _ask(transaction: Transaction, record: bool, explain: Explain | Literal["parts"]) -> Ask:
    identity = transaction.transaction_id
    if identity is None:
        identity = new_id()
        transaction = named(transaction, identity)
    return Ask(identity, transaction, record, explain, current_trace())


def _charge(rows: int) -> None:
    exchange = current_exchange()
    if exchange is not None:
        exchange.charge(rows)


def _check_count(path: str, rows: int) -> None:
    if not 1 <= rows <= MAXIMUM_ROWS:
        raise InvalidInput([FieldError(path, f"must be 1 to {MAXIMUM_ROWS} rows, got {rows}")])


def _chunks(rows: Iterable[ItemT], size: int) -> Iterator[list[ItemT]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
