"""What answers when the model cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from bentos.core.answers import Explanation, Prediction
from bentos.core.artifact import Artifact, read_artifact
from bentos.core.errors import Unavailable
from bentos.core.features import FEATURE_NAMES, FEATURES
from bentos.fraud.application import Application
from bentos.fraud.circuit import Circuit
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.gateway import Gateway
from bentos.fraud.options import PredictOptions
from bentos.fraud.rules import RULES, RuleBook
from bentos.fraud.scorer import Scorer
from tests.fraud.artifacts import THRESHOLDS
from tests.fraud.asgi import AppClient
from tests.fraud.requests import transaction, transaction_json
from tests.fraud.test_metrics import value

DEFAULTS = {feature.name: feature.default for feature in FEATURES}


class BrokenSession:
    """A session of onnxruntime that fails, or gives what is no score, as long as it is told to."""

    def __init__(self, session: ort.InferenceSession, how: str) -> None:
        self._session = session
        self.how = how
        self.calls = 0

    def run(self, outputs: Any, inputs: Any) -> Any:
        self.calls += 1
        if self.how == "raises":
            # A real error of onnxruntime: a tensor of the wrong kind.
            return self._session.run(outputs, {"features": np.zeros((1, 1), np.int8)})
        raw, score = self._session.run(outputs, inputs)
        if self.how == "works":
            return raw, score
        return raw, np.full_like(score, {"nan": np.nan, "infinite": np.inf, "negative": -0.1}[self.how])


@pytest.fixture
def artifact(home: Any) -> Artifact:
    """Of the champion."""
    return read_artifact(home / "champion" / "artifact", public_key=None)


@pytest.fixture
def session(application: Application) -> BrokenSession:
    """The worker's model, which raises now."""
    scorer = application.predictor.scorer
    broken = BrokenSession(scorer._session, "raises")
    scorer._session = broken
    return broken


def _row(artifact: Artifact, changes: dict[str, Callable[[float], float]]) -> list[float]:
    usual = {name: found.edges[-1] for name, found in artifact.distributions.features.items()}
    return [changes[name](usual[name]) if name in changes else DEFAULTS[name] for name in FEATURE_NAMES]


def test_nothing_unusual_is_approved_below_the_review_threshold(artifact: Artifact) -> None:
    answer = RuleBook(artifact).answer(_row(artifact, {"amount": lambda usual: usual}))
    assert (answer.decision, answer.reasons) == ("approve", ())
    # A quarter of the training rows were fraud.
    assert answer.score == 0.25 < THRESHOLDS.review


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("large_amount", {"amount": lambda usual: 3 * usual + 1}),
        ("unusual_amount", {"amount_deviation": lambda _: 6.5}),
        ("many_transactions", {"customer_transactions_1d": lambda usual: 3 * usual + 1}),
        ("night_and_far", {"is_night": lambda _: 1.0, "distance_km": lambda usual: max(usual, 300.0) + 1}),
        (
            "fraud_at_merchant",
            {"merchant_fraud_rate_30d": lambda _: 0.2, "merchant_transactions_30d": lambda _: 10.0},
        ),
    ],
)
def test_each_rule_reviews_and_says_so(
    artifact: Artifact, name: str, changes: dict[str, Callable[[float], float]]
) -> None:
    book = RuleBook(artifact)
    answer = book.answer(_row(artifact, changes))
    assert (answer.decision, answer.score) == ("review", THRESHOLDS.review)
    (reason,) = answer.reasons
    assert reason.text.startswith(f"rule {name}: ")
    assert reason.contribution == 0
    # Each part of a condition is needed.
    for left_out in changes:
        rest = {feature: change for feature, change in changes.items() if feature != left_out}
        assert book.answer(_row(artifact, rest)).decision == "approve"


def test_every_rule_is_tested_and_none_blocks(artifact: Artifact) -> None:
    worst = {name: (lambda _: 1e9) for name in FEATURE_NAMES} | {"is_night": lambda _: 1.0}
    answer = RuleBook(artifact).answer(_row(artifact, worst))
    assert answer.decision == "review"
    assert [reason.text.split()[1].rstrip(":") for reason in answer.reasons] == [rule.name for rule in RULES]
    assert {rule.name for rule in RULES} == {
        "large_amount",
        "unusual_amount",
        "many_transactions",
        "night_and_far",
        "fraud_at_merchant",
    }


def test_defaults_of_a_store_that_is_down_fire_nothing(artifact: Artifact) -> None:
    assert RuleBook(artifact).answer(_row(artifact, {})).decision == "approve"


@pytest.mark.parametrize("how", ["raises", "nan", "infinite", "negative"])
def test_rules_answer_for_a_broken_model(
    application: Application, session: BrokenSession, runner: asyncio.Runner, how: str
) -> None:
    session.how = how
    predict = application.predictor.predict
    small = runner.run(predict(transaction(amount=5.0)))
    large = runner.run(predict(transaction(amount=9e6)))
    assert (small.decision, small.degraded, small.reasons) == ("approve", ("model",), ())
    assert (large.decision, large.degraded, large.score) == ("review", ("model",), THRESHOLDS.review)
    assert large.reasons is not None
    assert [reason.feature for reason in large.reasons] == ["amount"]
    assert large.model == application.predictor.scorer.model
    assert Prediction.model_validate_json(large.model_dump_json()) == large
    assert runner.run(predict(transaction(amount=9e6), PredictOptions("none"))).reasons == ()
    with pytest.raises(Unavailable, match="cannot score"):
        runner.run(application.predictor.explain(transaction()))
    with pytest.raises(Unavailable, match="cannot score"):
        runner.run(application.predictor.infer(np.zeros((3, len(FEATURE_NAMES)))))


def test_what_rules_decide_is_counted_but_is_no_score(
    application: Application, session: BrokenSession, runner: asyncio.Runner
) -> None:
    for amount in (5.0, 6.0, 9e6):
        runner.run(application.predictor.predict(transaction(amount=amount)))
    application.predictor.metrics.later.run()
    text = application.scrape()
    counts = [value(text, "fraud_predictions_total", decision=decision) for decision in ("approve", "review", "block")]
    assert counts == [2, 1, 0]
    assert value(text, "fraud_degraded_predictions_total") == 3
    assert value(text, "fraud_score_count") == 0


def test_a_broken_model_is_not_asked_for_every_request_and_comes_back(
    application: Application, session: BrokenSession, runner: asyncio.Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("bentos.fraud.circuit.monotonic", lambda: clock[0])
    predict = application.predictor.predict
    runner.run(predict(transaction()))
    asked = session.calls
    # The row, and the row that is known to be good.
    assert asked == 2
    for _ in range(50):
        assert runner.run(predict(transaction())).degraded == ("model",)
    assert session.calls == asked
    assert application.health().dependencies["model"].status == "failing"
    assert application.health().status == "degraded"
    clock[0] += 1.1
    assert runner.run(predict(transaction())).degraded == ("model",)
    assert session.calls == asked + 1
    session.how = "works"
    assert runner.run(predict(transaction())).degraded == ("model",)
    clock[0] += 1.1
    assert runner.run(predict(transaction())).degraded == ()
    assert application.health().status == "ok"


def test_a_whole_batch_costs_a_broken_model_few_calls(
    application: Application, session: BrokenSession, runner: asyncio.Runner
) -> None:
    async def main() -> list[Prediction]:
        return await asyncio.gather(*(application.predictor.predict(transaction(amount=n)) for n in range(40)))

    assert all(answer.degraded == ("model",) for answer in runner.run(main()))
    assert session.calls <= 4


def test_rules_and_a_store_that_is_down_are_both_named(
    application: Application, session: BrokenSession, runner: asyncio.Runner
) -> None:
    application.store.close()
    answer = runner.run(application.predictor.predict(transaction(amount=9e6)))
    assert set(answer.degraded) == {
        "model",
        *(feature.name for feature in FEATURES if feature.source != "transaction"),
    }
    assert answer.decision == "review"


def test_over_http_predictions_go_on_and_explanations_are_503(
    application: Application, session: BrokenSession, runner: asyncio.Runner
) -> None:
    endpoints = Endpoints(application)
    client = AppClient(Gateway(_nothing, lambda: endpoints), runner)
    answer = client.post("/predict", json=transaction_json(amount=9e6))
    assert (answer.status_code, answer.json()["degraded"]) == (200, ["model"])
    many = client.post("/predict_many", json={"transactions": [transaction_json(), transaction_json(amount=9e6)]})
    assert [row["decision"] for row in many.json()["results"]] == ["approve", "review"]
    refused = client.post("/explain", json=transaction_json())
    assert (refused.status_code, refused.json()["title"]) == (503, "Unavailable")
    assert client.get("/readyz").status_code == 200
    health = client.get("/health").json()
    assert (health["status"], health["dependencies"]["model"]["status"]) == ("degraded", "failing")
    session.how = "works"
    endpoints.application.predictor._evaluator._circuit._retry_at = 0.0
    assert Explanation.model_validate(client.post("/explain", json=transaction_json()).json())


def test_a_circuit_whose_model_works_stays_closed() -> None:
    circuit = Circuit(lambda: True)
    circuit.failed(ValueError())
    assert not circuit.is_open
    assert circuit.trouble is None


def test_a_scorer_knows_whether_it_works(artifact: Artifact) -> None:
    scorer = Scorer(artifact)
    assert scorer.works()
    scorer._session = BrokenSession(scorer._session, "nan")
    assert not scorer.works()


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the framework is not asked")
