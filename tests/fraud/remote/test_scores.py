"""A model that a second instance of this service runs: the same answers as the model here."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from bentos.core.answers import Explanation, Prediction
from bentos.core.errors import Unavailable
from bentos.core.transaction import Transaction
from bentos.fraud.application import Application
from bentos.fraud.options import PredictOptions
from tests.fraud.artifacts import training_rows
from tests.fraud.grpc.serving import Serving
from tests.fraud.remote.conftest import Open
from tests.fraud.requests import NOON, transaction

ASK = PredictOptions("all", record=False)
ROWS = [
    transaction(amount=float(n**3), transaction_id=f"t-{n}", timestamp=(NOON + timedelta(hours=n)).isoformat())
    for n in range(60)
]


@pytest.fixture
def distant(other: Serving, opened: Open) -> Application:
    return opened(f"grpc://{other.address}")


def _predictions(application: Application, runner: asyncio.Runner, rows: list[Transaction]) -> list[Prediction]:
    async def main() -> list[Prediction]:
        return await asyncio.gather(*(application.predictor.predict(row, ASK) for row in rows))

    return runner.run(main())


def test_scores_and_reasons_are_the_local_ones(
    distant: Application, application: Application, runner: asyncio.Runner
) -> None:
    there, here = (_predictions(one, runner, ROWS) for one in (distant, application))
    assert len({one.decision for one in here}) > 1
    for one, same in zip(there, here, strict=True):
        assert one.score == pytest.approx(same.score, abs=1e-7)
        assert (one.decision, one.degraded, one.model, one.thresholds) == (
            same.decision,
            (),
            same.model,
            same.thresholds,
        )
        assert one.reasons == same.reasons


def test_a_score_taken_apart_adds_up(distant: Application, runner: asyncio.Runner) -> None:
    async def main() -> list[Explanation]:
        return await asyncio.gather(*(distant.predictor.explain(row) for row in ROWS[::10]))

    for found in runner.run(main()):
        assert found.base_value + sum(found.contributions.values()) == pytest.approx(found.raw_score, abs=1e-6)


def test_feature_rows_of_any_number_are_scored(
    distant: Application, application: Application, runner: asyncio.Runner
) -> None:
    rows = training_rows()[0][:1000].astype(np.float64)
    for n in (1, 64, 1000):
        there, here = (runner.run(one.predictor.infer(rows[:n])) for one in (distant, application))
        np.testing.assert_allclose(there, here, rtol=0, atol=1e-7)


def test_many_are_scored_in_order(distant: Application, application: Application, runner: asyncio.Runner) -> None:
    there, here = (runner.run(one.predictor.predict_many(ROWS * 5, ASK)) for one in (distant, application))
    for one, same in zip(there, here, strict=True):
        assert isinstance(one, Prediction)
        assert isinstance(same, Prediction)
        assert (one.transaction_id, one.decision) == (same.transaction_id, same.decision)
        assert one.score == pytest.approx(same.score, abs=1e-7)


def test_all_is_well_and_the_model_is_no_longer_here(distant: Application) -> None:
    assert distant.health().dependencies["model"].status == "ok"
    with pytest.raises(Unavailable, match="another server"):
        distant.predictor.scorer.score(np.zeros((1, 21)))


def test_a_caller_that_goes_away_leaves_the_others_their_scores(distant: Application, runner: asyncio.Runner) -> None:
    async def main() -> list[Prediction]:
        calls = [asyncio.ensure_future(distant.predictor.predict(row, ASK)) for row in ROWS]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        gone = await asyncio.gather(*calls[::2], return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in gone)
        return await asyncio.gather(*calls[1::2])

    assert [one.degraded for one in runner.run(main())] == [()] * 30
