"""A whole worker, asked by gRPC's own client."""

from __future__ import annotations

import asyncio
import json
from time import monotonic
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from prometheus_client.parser import text_string_to_metric_families

from bentos.fraud.http.endpoints import Endpoints
from bentos.protos._generated.fraud.v1 import fraud_pb2
from bentos.protos._generated.fraud.v1.fraud_pb2_grpc import FraudServiceStub
from tests.fraud.grpc.messages import predict_request, transaction_message
from tests.fraud.grpc.serving import SECONDS, Serving
from tests.fraud.requests import transaction_json

SUSPICIOUS = {"transaction_id": "t-1", "amount": 9_000.0}


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> FraudServiceStub:
    return FraudServiceStub(channel)


def _over_http(serving: Serving, call: str, body: Any, parameters: tuple[tuple[str, str], ...]) -> Any:
    assert serving.application is not None
    endpoints = Endpoints(serving.application)
    answer = serving.loop.run(getattr(endpoints, call)(json.dumps(body).encode(), parameters, None))
    return json.loads(answer.body)


def _as_json(message: Any) -> dict[str, Any]:
    content: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    content["decision"] = content["decision"].removeprefix("DECISION_").lower()
    if "reasons" in content:
        content["reasons"] = content["reasons"]["reasons"]
    return content


@pytest.mark.parametrize("explain", ["none", "flagged", "all"])
@pytest.mark.parametrize("changes", [{"transaction_id": "t-0"}, SUSPICIOUS], ids=["usual", "suspicious"])
def test_predict_answers_as_http_does(
    serving: Serving, stub: FraudServiceStub, explain: str, changes: dict[str, Any]
) -> None:
    request = predict_request(**changes)
    request.explain = fraud_pb2.Explain.Value(f"EXPLAIN_{explain.upper()}")
    parameters = (("record", "false"), ("explain", explain))
    expected = _over_http(serving, "predict", transaction_json(**changes), parameters)
    assert _as_json(stub.Predict(request, timeout=SECONDS)) == expected


def test_explain_answers_as_http_does(serving: Serving, stub: FraudServiceStub) -> None:
    request = fraud_pb2.ExplainRequest(transaction=transaction_message(**SUSPICIOUS))
    expected = _over_http(serving, "explain", transaction_json(**SUSPICIOUS), ())
    assert _as_json(stub.Explain(request, timeout=SECONDS)) == expected


def test_predict_many_answers_as_http_does(serving: Serving, stub: FraudServiceStub) -> None:
    changes = [{"transaction_id": "a"}, {"transaction_id": "b", "amount": -1.0}, {"transaction_id": "c"}]
    request = fraud_pb2.PredictManyRequest(transactions=[transaction_message(**each) for each in changes], record=False)
    body = {"transactions": [transaction_json(**each) for each in changes]}
    expected = _over_http(serving, "predict_many", body, (("record", "false"),))["results"]
    first, second, third = stub.PredictMany(request, timeout=SECONDS).results
    assert [_as_json(first.prediction), _as_json(third.prediction)] == [expected[0], expected[2]]
    assert second.error.code == "INVALID_ARGUMENT"
    assert second.error.transaction_id == expected[1]["transaction_id"] == "b"
    assert second.error.detail == expected[1]["detail"]
    problems = [{"path": error.path, "message": error.message} for error in second.error.errors]
    assert problems == expected[1]["errors"]


def test_predict_many_takes_thousands(stub: FraudServiceStub) -> None:
    request = fraud_pb2.PredictManyRequest(record=False)
    request.transactions.extend(transaction_message(transaction_id=f"many-{number}") for number in range(3_000))
    results = stub.PredictMany(request, timeout=SECONDS).results
    assert [result.prediction.transaction_id for result in results] == [f"many-{number}" for number in range(3_000)]


@pytest.mark.parametrize("rows", [0, 10_001])
def test_predict_many_refuses_none_and_too_many(stub: FraudServiceStub, rows: int) -> None:
    request = fraud_pb2.PredictManyRequest(transactions=[fraud_pb2.Transaction()] * rows)
    with pytest.raises(grpc.RpcError) as caught:
        stub.PredictMany(request, timeout=SECONDS)
    assert _violations(caught.value) == [("transactions", f"must be 1 to 10000 rows, got {rows}")]


def test_a_transaction_is_recorded_unless_told_otherwise(stub: FraudServiceStub) -> None:
    def count(transaction_id: str, *, record: bool) -> float:
        transaction = transaction_message(transaction_id=transaction_id, customer_id="recorded")
        stub.Predict(fraud_pb2.PredictRequest(transaction=transaction, record=record), timeout=SECONDS)
        probe = transaction_message(transaction_id="probe", customer_id="recorded")
        explanation = stub.Explain(fraud_pb2.ExplainRequest(transaction=probe), timeout=SECONDS)
        return explanation.features["customer_transactions_1d"]

    assert [count("r-1", record=False), count("r-2", record=True), count("r-2", record=True)] == [1, 2, 2]


def test_a_question_that_is_not_recorded_counts_as_a_request_alone(serving: Serving, stub: FraudServiceStub) -> None:
    application = serving.application
    assert application is not None

    def counted() -> dict[str, float]:
        found = dict.fromkeys(("fraud_requests_total", "fraud_predictions_total", "fraud_score_count"), 0.0)
        for family in text_string_to_metric_families(application.scrape().decode()):
            for sample in family.samples:
                if sample.name in found and sample.labels.get("transport", "grpc") == "grpc":
                    found[sample.name] += sample.value
        return found

    async def flush() -> None:
        application.predictor.metrics.later.run()

    serving.loop.run(flush())
    before = counted()
    for record in (False, False, False, True):
        transaction = transaction_message(transaction_id=f"asked-{record}", amount=9000.0)
        stub.Predict(fraud_pb2.PredictRequest(transaction=transaction, record=record), timeout=SECONDS)
    transactions = [transaction_message(transaction_id=f"asked-{number}") for number in range(5)]
    stub.PredictMany(fraud_pb2.PredictManyRequest(transactions=transactions, record=False), timeout=SECONDS)
    expected = {"fraud_requests_total": 5, "fraud_predictions_total": 1, "fraud_score_count": 1}
    serving.loop.run(flush())
    assert {name: now - before[name] for name, now in counted().items()} == expected


def test_wrong_fields_are_named(stub: FraudServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(predict_request(amount=-1.0, customer_id=None), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert _violations(caught.value) == [
        ("customer_id", "Field required"),
        ("amount", "Input should be greater than or equal to 0"),
    ]


def test_what_is_no_message_is_refused(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/fraud.v1.FraudService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff\xff", timeout=SECONDS)
    assert _violations(caught.value) == [("message", "is not a fraud.v1.PredictRequest")]


def test_a_message_that_is_too_large_is_refused(stub: FraudServiceStub) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(predict_request(customer_id="x" * 100_000), timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "65536" in (caught.value.details() or "")


def test_an_unknown_method_is_unimplemented(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary("/fraud.v1.FraudService/Forget")(b"", timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("wrong", [False, True], ids=["answer", "error"])
def test_the_request_id_comes_back(stub: FraudServiceStub, wrong: bool) -> None:
    request = predict_request(amount=-1.0) if wrong else predict_request()
    call = stub.Predict.future(request, timeout=SECONDS, metadata=(("x-request-id", "request-7"),))
    assert ("x-request-id", "request-7") in list(call.initial_metadata())
    assert (call.code() is grpc.StatusCode.INVALID_ARGUMENT) is wrong


@pytest.mark.parametrize("given", [(), (("x-request-id", "with space"),), (("x-request-id", "x" * 129),)])
def test_a_request_id_is_made(stub: FraudServiceStub, given: tuple[tuple[str, str], ...]) -> None:
    call = stub.Predict.future(predict_request(), timeout=SECONDS, metadata=given)
    (made,) = [value for name, value in call.initial_metadata() if name == "x-request-id"]
    assert len(made) == 32
    assert made.isalnum()


def test_calls_are_counted_by_their_code(serving: Serving, stub: FraudServiceStub) -> None:
    assert serving.application is not None
    application = serving.application

    def counted() -> float:
        return sum(
            sample.value
            for family in text_string_to_metric_families(application.scrape().decode())
            for sample in family.samples
            if sample.name == "fraud_requests_total"
            and (sample.labels["method"], sample.labels["code"]) == ("explain", "INVALID_ARGUMENT")
            and sample.labels["transport"] == "grpc"
        )

    before = counted()
    with pytest.raises(grpc.RpcError):
        stub.Explain(fraud_pb2.ExplainRequest(), timeout=SECONDS)
    deadline = monotonic() + SECONDS
    while counted() == before:
        # A moment after the answer.
        assert monotonic() < deadline
    assert counted() == before + 1


def test_a_deadline_that_cannot_be_met_is_exceeded(serving: Serving, stub: FraudServiceStub) -> None:
    async def block() -> None:
        # Keeps the loop from everything else while the call arrives and its time runs out.
        await asyncio.sleep(0)
        busy.set()
        released.wait(SECONDS)

    import threading

    busy, released = threading.Event(), threading.Event()
    blocked = asyncio.run_coroutine_threadsafe(block(), serving.loop.loop)
    busy.wait(SECONDS)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Predict(predict_request(), timeout=0.05)
    released.set()
    blocked.result(SECONDS)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert stub.Predict(predict_request(), timeout=SECONDS).score >= 0


def _violations(error: grpc.RpcError) -> list[tuple[str, str]]:
    assert isinstance(error, grpc.Call)
    trailers = {item.key: item.value for item in error.trailing_metadata() or ()}
    full = Status.FromString(trailers["grpc-status-details-bin"])
    (detail,) = full.details
    bad_request = BadRequest()
    assert detail.Unpack(bad_request)
    return [(item.field, item.description) for item in bad_request.field_violations]
