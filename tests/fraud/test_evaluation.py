"""What a batch does to its rows: the same as each alone, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from time import monotonic

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.core.answers import Explanation, Prediction
from bentos.core.errors import Overloaded, Unavailable
from bentos.core.transaction import Transaction
from bentos.fraud.application import Application
from bentos.fraud.options import PredictOptions
from bentos.fraud.predictor import Predictor
from bentos.fraud.scorer import FloatArray, Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import FeatureRows, FeatureStore
from tests.fraud.blocking import BlockingPredictor
from tests.fraud.requests import NOON, transaction
from tests.fraud.test_metrics import value

ASK = PredictOptions("all", record=False)
POISON = 666.0


class PoisonedScorer(Scorer):
    """Fails like a broken model as soon as one row holds the poisonous amount."""

    def score(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        if (rows[:, 0] == POISON).any():
            raise Unavailable("poisoned")
        return super().score(rows)


class GatedStore:
    """A real store behind a gate."""

    waits = True

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self.gate = asyncio.Event()

    async def lookup_many(self, transactions: Sequence[Transaction], record: Sequence[bool]) -> FeatureRows:
        await self.gate.wait()
        return await self._store.lookup_many(transactions, record)


def _together(application: Application, runner: asyncio.Runner, rows: Sequence[Transaction]) -> list[Prediction]:
    async def main() -> list[Prediction]:
        return await asyncio.gather(*(application.predictor.predict(row, ASK) for row in rows))

    return runner.run(main())


def test_rows_of_a_batch_get_what_each_gets_alone(
    application: Application, predictor: BlockingPredictor, runner: asyncio.Runner
) -> None:
    rows = [
        transaction(amount=float(n * n), transaction_id=f"t-{n}", timestamp=(NOON + timedelta(hours=n)).isoformat())
        for n in range(40)
    ]
    for one, alone in zip(
        _together(application, runner, rows), (predictor.predict(row, ASK) for row in rows), strict=True
    ):
        assert one.score == pytest.approx(alone.score, abs=1e-7)
        assert one.reasons is not None
        assert alone.reasons is not None
        assert [reason.feature for reason in one.reasons] == [reason.feature for reason in alone.reasons]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amounts=st.lists(st.floats(0, 1e7), min_size=1, max_size=20), hours=st.integers(0, 5000))
def test_every_answer_adds_up(
    application: Application, runner: asyncio.Runner, amounts: list[float], hours: int
) -> None:
    async def main() -> None:
        start = NOON + timedelta(hours=hours)
        rows = [
            transaction(amount=amount, timestamp=(start + timedelta(minutes=n)).isoformat())
            for n, amount in enumerate(amounts)
        ]
        await asyncio.gather(*(application.predictor.predict(row) for row in rows))
        for explanation in await asyncio.gather(*(application.predictor.explain(row) for row in rows)):
            total = explanation.base_value + sum(explanation.contributions.values())
            assert total == pytest.approx(explanation.raw_score, abs=1e-6)

    runner.run(main())


def test_a_row_that_the_model_cannot_score_is_the_rules_alone(application: Application, runner: asyncio.Runner) -> None:
    application.predictor.scorer.__class__ = PoisonedScorer

    async def main() -> list[object]:
        return await asyncio.gather(
            *(application.predictor.predict(transaction(amount=amount), ASK) for amount in (1.0, POISON, 2.0)),
            application.predictor.infer(np.zeros((2, 21))),
            application.predictor.infer(np.full((1, 21), POISON)),
            application.predictor.explain(transaction(amount=POISON)),
            application.predictor.explain(transaction(amount=3.0)),
            return_exceptions=True,
        )

    results = runner.run(main())
    kinds = [Prediction, Prediction, Prediction, tuple, Unavailable, Unavailable, Explanation]
    assert [type(result) for result in results] == kinds
    assert [result.degraded for result in results[:3]] == [(), ("model",), ()]
    # The row is at fault, not the model.
    assert application.health().dependencies["model"].status == "ok"


def test_feature_rows_score_like_transactions(
    application: Application, predictor: BlockingPredictor, runner: asyncio.Runner
) -> None:
    explanations = [predictor.explain(transaction(amount=amount)) for amount in (1.0, 100.0, 5000.0)]
    rows = np.array([list(explanation.features.values()) for explanation in explanations])
    raw, score = runner.run(application.predictor.infer(np.tile(rows, (100, 1))))
    assert raw[:3] == pytest.approx([explanation.raw_score for explanation in explanations], abs=1e-9)
    assert score.reshape(100, 3) == pytest.approx(
        np.tile([explanation.score for explanation in explanations], (100, 1)), abs=1e-9
    )


@pytest.fixture
def gated(application: Application, runner: asyncio.Runner) -> tuple[Predictor, GatedStore]:
    """A predictor whose feature store answers when the test lets it."""
    store = GatedStore(application.store)
    metrics = application.predictor.metrics
    return Predictor(application.predictor.scorer, store, metrics, ScoringSettings(queue_size=4)), store  # type: ignore[arg-type]


def test_late_reasons_are_null_and_the_score_is_there(
    application: Application, gated: tuple[Predictor, GatedStore], runner: asyncio.Runner
) -> None:
    predictor, store = gated

    async def main() -> Prediction:
        deadline = monotonic() + 0.05
        call = asyncio.ensure_future(predictor.predict(transaction(), ASK, deadline))
        await asyncio.sleep(0.1)
        store.gate.set()
        return await call

    prediction = runner.run(main())
    assert prediction.reasons is None
    assert 0 <= prediction.score <= 1
    application.predictor.metrics.later.run()
    assert value(application.scrape(), "fraud_reasons_late_total") == 1


def test_who_asks_for_no_reasons_gets_none_even_when_late(
    gated: tuple[Predictor, GatedStore], runner: asyncio.Runner
) -> None:
    predictor, store = gated

    async def main() -> Prediction:
        call = asyncio.ensure_future(predictor.predict(transaction(), PredictOptions("none"), monotonic() + 0.05))
        await asyncio.sleep(0.1)
        store.gate.set()
        return await call

    assert runner.run(main()).reasons == ()


def test_a_full_queue_refuses(gated: tuple[Predictor, GatedStore], runner: asyncio.Runner) -> None:
    predictor, store = gated

    async def main() -> list[object]:
        deadline = monotonic() + 60
        running = []
        # Two batches wait for a store side by side.
        for _ in range(2):
            running.append(asyncio.ensure_future(predictor.predict(transaction(), ASK, deadline)))
            await asyncio.sleep(0.01)
        waiting = [asyncio.ensure_future(predictor.predict(transaction(), ASK, deadline)) for _ in range(6)]
        await asyncio.sleep(0.01)
        with pytest.raises(Overloaded):
            predictor.admit()
        store.gate.set()
        return await asyncio.gather(*running, *waiting, return_exceptions=True)

    results = runner.run(main())
    assert [type(result) for result in results] == [Prediction] * 6 + [Overloaded] * 2
