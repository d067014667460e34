from __future__ import annotations

from datetime import timedelta

import pytest

from bentos.core.answers import Explanation, Prediction
from bentos.core.features import FEATURE_NAMES, FEATURES
from bentos.fraud.application import Application
from bentos.fraud.options import PredictOptions
from tests.fraud.blocking import BlockingPredictor
from tests.fraud.requests import NOON, transaction
from tests.fraud.test_metrics import value


def _seen(predictor: BlockingPredictor, minutes: int) -> float:
    """How many transactions the store knows of the customer, a little later, this one included."""
    later = (NOON + timedelta(minutes=minutes)).isoformat()
    explanation = predictor.explain(transaction(timestamp=later))
    return explanation.features["customer_transactions_1d"]


def test_an_answer_survives_its_own_schema(predictor: BlockingPredictor) -> None:
    prediction = predictor.predict(transaction(), PredictOptions(explain="all"))
    assert Prediction.model_validate_json(prediction.model_dump_json()) == prediction
    explanation = predictor.explain(transaction())
    assert Explanation.model_validate_json(explanation.model_dump_json()) == explanation


def test_a_transaction_id_is_kept_or_made(predictor: BlockingPredictor) -> None:
    assert predictor.predict(transaction(transaction_id="t-1")).transaction_id == "t-1"
    made = {predictor.predict(transaction()).transaction_id for _ in range(3)}
    assert len(made) == 3


def test_predict_records_the_transaction(predictor: BlockingPredictor) -> None:
    predictor.predict(transaction())
    assert _seen(predictor, 1) == 2


def test_predict_with_record_false_does_not(predictor: BlockingPredictor) -> None:
    predictor.predict(transaction(), PredictOptions(record=False))
    assert _seen(predictor, 1) == 1


def test_explain_never_records(predictor: BlockingPredictor) -> None:
    predictor.explain(transaction(transaction_id="t-1"))
    assert _seen(predictor, 1) == 1


def test_a_repeated_transaction_counts_once_and_scores_the_same(predictor: BlockingPredictor) -> None:
    first = predictor.predict(transaction(transaction_id="t-1"))
    assert predictor.predict(transaction(transaction_id="t-1")) == first
    assert _seen(predictor, 1) == 2


def test_predict_and_explain_give_the_same_score(predictor: BlockingPredictor) -> None:
    one = transaction(amount=977.0)
    explanation = predictor.explain(one)
    prediction = predictor.predict(one)
    assert (prediction.score, prediction.decision) == (explanation.score, explanation.decision)


def test_contributions_and_base_value_sum_up_to_the_raw_score(predictor: BlockingPredictor) -> None:
    for amount in (0.0, 1.0, 120.0, 5000.0, 1e7):
        explanation = predictor.explain(transaction(amount=amount))
        total = explanation.base_value + sum(explanation.contributions.values())
        assert total == pytest.approx(explanation.raw_score, abs=1e-6)
        assert list(explanation.contributions) == list(explanation.features) == list(FEATURE_NAMES)


def test_reasons_are_the_three_largest_contributions(predictor: BlockingPredictor) -> None:
    one = transaction(amount=5000.0)
    contributions = predictor.explain(one).contributions
    reasons = predictor.predict(one, PredictOptions(explain="all")).reasons
    assert reasons is not None
    largest = sorted(contributions, key=lambda name: -abs(contributions[name]))[:3]
    assert [reason.feature for reason in reasons] == largest
    for reason in reasons:
        assert reason.contribution == contributions[reason.feature]
        assert reason.text


def test_flagged_explains_what_is_not_approved(predictor: BlockingPredictor) -> None:
    answers = [
        predictor.predict(transaction(amount=amount), PredictOptions("flagged", record=False))
        for amount in (1.0, 20.0, 100.0, 900.0, 20_000.0)
    ]
    assert {answer.decision == "approve" for answer in answers} == {True, False}, "the amounts no longer tell apart"
    for answer in answers:
        assert bool(answer.reasons) == (answer.decision != "approve")


def test_none_explains_nothing(predictor: BlockingPredictor) -> None:
    answer = predictor.predict(transaction(amount=20_000.0), PredictOptions("none"))
    assert answer.decision != "approve"
    assert answer.reasons == ()


def test_a_failing_store_degrades_the_answer_and_is_counted(
    application: Application, predictor: BlockingPredictor
) -> None:
    healthy = predictor.predict(transaction())
    application.store.close()

    answer = predictor.predict(transaction())

    assert healthy.degraded == ()
    assert set(answer.degraded) == {feature.name for feature in FEATURES if feature.source != "transaction"}
    assert 0 <= answer.score <= 1
    application.predictor.metrics.later.run()
    text = application.scrape()
    labels = {
        "model_name": application.predictor.scorer.model.name,
        "model_version": application.predictor.scorer.model.version,
    }
    assert value(text, "fraud_degraded_predictions_total", **labels) == 1
    assert value(text, "fraud_feature_lookups_total", outcome="defaulted", **labels) == 1
    assert value(text, "fraud_feature_lookups_total", outcome="found", **labels) == 1


def test_what_is_answered_is_counted(application: Application, predictor: BlockingPredictor) -> None:
    decisions = [predictor.predict(transaction(amount=amount)).decision for amount in (5.0, 20_000.0)]
    application.predictor.metrics.later.run()
    text = application.scrape()
    labels = {
        "model_name": application.predictor.scorer.model.name,
        "model_version": application.predictor.scorer.model.version,
    }
    for decision in ("approve", "review", "block"):
        assert value(text, "fraud_predictions_total", decision=decision, **labels) == decisions.count(decision)
    assert value(text, "fraud_score_count", **labels) == 2
    for stage in ("features", "inference"):
        assert value(text, "fraud_stage_latency_seconds_count", stage=stage, **labels) == 2
