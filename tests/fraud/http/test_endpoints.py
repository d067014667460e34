"""Answers are written as their model says, however quickly."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.core.answers import Prediction, ReasonText
from bentos.fraud.http.endpoints import Endpoints

REASON = ReasonText(feature="amount", value=42.5, contribution=0.25, text="amount of 42.50")


def _written(endpoints: Endpoints, **fields: Any) -> tuple[Prediction, Prediction]:
    scorer = endpoints.predictor.scorer
    known: dict[str, Any] = {
        "transaction_id": "t-1",
        "score": 0.25,
        "decision": "review",
        "degraded": (),
        "reasons": (),
    }
    answer = Prediction(thresholds=scorer.thresholds, model=scorer.model, **(known | fields))
    return answer, Prediction.model_validate_json(endpoints._serialized(answer).body)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    transaction_id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=128),
    score=st.floats(0, 1),
    late=st.booleans(),
)
def test_a_plain_answer_reads_as_it_was(endpoints: Endpoints, transaction_id: str, score: float, late: bool) -> None:
    answer, read = _written(endpoints, transaction_id=transaction_id, score=score, reasons=None if late else ())
    assert read == answer


@pytest.mark.parametrize("fields", [{"reasons": (REASON,)}, {"degraded": ("amount", "model")}])
def test_so_does_one_with_more_to_tell(endpoints: Endpoints, fields: dict[str, Any]) -> None:
    answer, read = _written(endpoints, **fields)
    assert read == answer


def test_fields_come_in_the_same_order(endpoints: Endpoints) -> None:
    answer, _ = _written(endpoints)
    assert endpoints._serialized(answer).body == answer.model_dump_json().encode()
