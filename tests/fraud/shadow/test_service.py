"""fraud.v1.ShadowService: scores rows, and does nothing else."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import numpy as np
import pytest

from bentos.core.features.definitions import FEATURE_NAMES, FEATURE_SCHEMA
from bentos.fraud.grpc.shadow import SERVICE
from bentos.fraud.scorer import Scorer
from bentos.protos._generated.fraud.v1.shadow_pb2 import ScoreRequest, ScoreResponse
from tests.fraud.artifacts import training_rows
from tests.fraud.grpc.serving import Serving
from tests.fraud.shadow.conftest import THRESHOLDS

Ask = Callable[..., ScoreResponse]
ROWS = training_rows()[0][:600]


@pytest.fixture
def ask(challenger: Serving) -> Ask:
    """Makes the call."""

    def call(rows: int = len(ROWS), features: bytes = ROWS.tobytes(), schema: str = FEATURE_SCHEMA) -> ScoreResponse:
        with challenger.channel() as channel:
            score = channel.unary_unary(
                f"/{SERVICE}/Score",
                request_serializer=ScoreRequest.SerializeToString,
                response_deserializer=ScoreResponse.FromString,
            )
            answer: ScoreResponse = score(ScoreRequest(feature_schema=schema, rows=rows, features=features), timeout=60)
            return answer

    return call


def test_scores_and_thresholds_of_the_model(ask: Ask, challenger_scorer: Scorer) -> None:
    answer = ask()
    assert list(answer.scores) == challenger_scorer.score(ROWS.astype(np.float64))[1].tolist()
    assert (answer.model_name, answer.model_version) == ("fraud_detector", "8")
    assert (answer.review, answer.block) == (THRESHOLDS.review, THRESHOLDS.block)


def test_nothing_is_recorded_or_counted_as_a_prediction(ask: Ask, challenger: Serving) -> None:
    application = challenger.application
    assert application is not None
    ask()
    model = {"model_name": "fraud_detector", "model_version": "8", "role": "challenger"}

    async def counted() -> None:
        application.predictor.metrics.later.run()

    challenger.loop.run(counted())
    found = application.registry.get_sample_value
    assert found("fraud_requests_total", {"transport": "grpc", "method": "shadow", "code": "OK", **model}) == 1
    for decision in ("approve", "review", "block"):
        assert found("fraud_predictions_total", {"decision": decision, **model}) == 0
    assert found("fraud_score_count", model) == 0
    assert found("fraud_feature_lookups_total", {"outcome": "found", **model}) == 0
    assert application.records.log is not None
    assert application.records.log.waiting == 0


def test_rows_of_other_features_are_refused(ask: Ask) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        ask(schema="other")
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "'other'" in refused.value.details()
    assert FEATURE_SCHEMA in refused.value.details()


@pytest.mark.parametrize(
    ("rows", "features", "path"),
    [
        (0, b"", "rows.shape"),
        (-1, b"", "rows.shape"),
        (10_001, b"", "rows.shape"),
        (2, ROWS[:1].tobytes(), "features"),
        (1, np.full(len(FEATURE_NAMES), np.nan, "<f4").tobytes(), "features"),
    ],
    ids=["none", "negative", "too many", "too short", "NaN"],
)
def test_what_are_no_rows_is_refused(ask: Ask, rows: int, features: bytes, path: str) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        ask(rows, features)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert path in refused.value.details()
