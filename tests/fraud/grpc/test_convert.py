from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st

from bentos.core.answers import Explanation, ModelVersion, Prediction, ReasonText, ThresholdPair
from bentos.core.errors import InvalidInput, Overloaded
from bentos.core.transaction import EARLIEST, LATEST, MAXIMUM_AMOUNT, Transaction, parse_transaction
from bentos.fraud.grpc import convert
from bentos.fraud.options import PredictOptions
from bentos.protos._generated.fraud.v1 import fraud_pb2
from tests.fraud.grpc.messages import predict_request, transaction_message
from tests.fraud.requests import transaction_json

IDENTIFIERS = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=128)
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(
    EARLIEST.replace(tzinfo=None) + timedelta(days=2), LATEST.replace(tzinfo=None) - timedelta(days=2), timezones=ZONES
)
PAIRS = st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))
FINITE = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def transactions(draw: st.DrawFn) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "transaction_id": draw(st.none() | IDENTIFIERS),
        "customer_id": draw(IDENTIFIERS),
        "merchant_id": draw(IDENTIFIERS),
        "merchant_category": draw(st.none() | IDENTIFIERS),
        "amount": draw(st.floats(0, MAXIMUM_AMOUNT)),
        "timestamp": draw(TIMES).isoformat(),
    }
    for side in ("customer", "merchant"):
        latitude, longitude = draw(PAIRS) or (None, None)
        fields |= {f"{side}_latitude": latitude, f"{side}_longitude": longitude}
    return {name: value for name, value in fields.items() if value is not None}


@given(transactions())
def test_a_transaction_arrives_as_over_http(fields: dict[str, Any]) -> None:
    sent = fraud_pb2.Transaction.FromString(fraud_pb2.Transaction(**fields).SerializeToString())
    assert convert.read_transaction(sent) == parse_transaction(json.dumps(fields))


ANY_TEXT = st.text(max_size=140)
ANY_NUMBER = st.floats()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "transaction_id": ANY_TEXT,
            "customer_id": ANY_TEXT.filter(bool),
            "merchant_id": ANY_TEXT.filter(bool),
            "merchant_category": ANY_TEXT,
            "amount": ANY_NUMBER,
            "timestamp": ANY_TEXT.filter(bool) | TIMES.map(lambda time: time.replace(tzinfo=None).isoformat()),
            "customer_latitude": ANY_NUMBER,
            "customer_longitude": ANY_NUMBER,
            "merchant_longitude": ANY_NUMBER,
        },
    )
)
def test_wrong_fields_are_named_as_over_http(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as over_grpc:
        convert.read_transaction(fraud_pb2.Transaction(**fields))
    with pytest.raises(InvalidInput) as over_http:
        parse_transaction(json.dumps(fields))
    assert over_grpc.value.errors == over_http.value.errors


@pytest.mark.parametrize("name", ["customer_id", "merchant_id", "timestamp"])
def test_an_empty_text_that_is_required_is_missing(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert.transaction_of(predict_request(**{name: ""}))
    assert [(error.path, error.message) for error in caught.value.errors] == [(name, "Field required")]


def test_paths_may_bear_a_prefix() -> None:
    with pytest.raises(InvalidInput) as caught:
        convert.read_transaction(transaction_message(amount=-1.0), "transactions.3.")
    assert [error.path for error in caught.value.errors] == ["transactions.3.amount"]


def test_a_request_needs_a_transaction() -> None:
    with pytest.raises(InvalidInput) as caught:
        convert.transaction_of(fraud_pb2.ExplainRequest())
    assert [error.path for error in caught.value.errors] == ["transaction"]


def test_what_is_no_message_is_invalid_input() -> None:
    with pytest.raises(InvalidInput, match="PredictRequest"):
        convert.read_message(fraud_pb2.PredictRequest, b"\xff\xff")


@pytest.mark.parametrize(
    ("request_", "options"),
    [
        (fraud_pb2.PredictRequest(), PredictOptions()),
        (fraud_pb2.PredictRequest(explain=fraud_pb2.EXPLAIN_NONE), PredictOptions(explain="none")),
        (fraud_pb2.PredictRequest(explain=fraud_pb2.EXPLAIN_FLAGGED), PredictOptions(explain="flagged")),
        (fraud_pb2.PredictManyRequest(explain=fraud_pb2.EXPLAIN_ALL), PredictOptions(explain="all")),
        (fraud_pb2.PredictRequest(record=False), PredictOptions(record=False)),
        (fraud_pb2.PredictRequest(record=True), PredictOptions(record=True)),
    ],
)
def test_options(request_: fraud_pb2.PredictRequest, options: PredictOptions) -> None:
    assert convert.options_of(request_) == options


def test_an_option_of_the_future_is_refused() -> None:
    request = fraud_pb2.PredictRequest.FromString(b"\x10\x11")
    with pytest.raises(InvalidInput) as caught:
        convert.options_of(request)
    assert [error.path for error in caught.value.errors] == ["explain"]


REASONS = st.lists(
    st.builds(ReasonText, feature=IDENTIFIERS, value=FINITE, contribution=FINITE, text=IDENTIFIERS), max_size=3
).map(tuple)
COMMON: dict[str, st.SearchStrategy[Any]] = {
    "transaction_id": IDENTIFIERS,
    "score": st.floats(0, 1),
    "decision": st.sampled_from(["approve", "review", "block"]),
    "thresholds": st.builds(ThresholdPair, review=FINITE, block=FINITE),
    "model": st.builds(ModelVersion, name=IDENTIFIERS, version=IDENTIFIERS),
    "degraded": st.lists(IDENTIFIERS, max_size=3).map(tuple),
}


def _json(message: Any) -> dict[str, Any]:
    content: dict[str, Any] = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return {**content, "decision": content["decision"].removeprefix("DECISION_").lower()}


@given(st.builds(Prediction, reasons=st.none() | REASONS, **COMMON))
def test_a_prediction_says_what_its_json_says(prediction: Prediction) -> None:
    message = convert.prediction_message(prediction)
    content = _json(fraud_pb2.Prediction.FromString(message.SerializeToString()))
    content["reasons"] = content["reasons"]["reasons"] if "reasons" in content else None
    assert content == json.loads(prediction.model_dump_json())


@given(
    st.builds(
        Explanation,
        raw_score=FINITE,
        base_value=FINITE,
        contributions=st.dictionaries(IDENTIFIERS, FINITE),
        features=st.dictionaries(IDENTIFIERS, FINITE),
        **COMMON,
    )
)
def test_an_explanation_says_what_its_json_says(explanation: Explanation) -> None:
    message = convert.explanation_message(explanation)
    content = _json(fraud_pb2.Explanation.FromString(message.SerializeToString()))
    assert content == json.loads(explanation.model_dump_json())


def test_a_row_s_error() -> None:
    with pytest.raises(InvalidInput) as caught:
        Transaction.model_validate(transaction_json()) and parse_transaction(json.dumps(transaction_json(amount=-1)))
    message = convert.row_error_message(caught.value, "t-1")
    assert (message.code, message.transaction_id) == ("INVALID_ARGUMENT", "t-1")
    assert [error.path for error in message.errors] == ["amount"]
    overloaded = convert.row_error_message(Overloaded("full"), None)
    assert (overloaded.code, overloaded.detail, len(overloaded.errors)) == ("RESOURCE_EXHAUSTED", "full", 0)
    assert not overloaded.HasField("transaction_id")


@pytest.mark.parametrize(("given_id", "readable"), [("t-1", "t-1"), ("", None), ("x" * 129, None), ("a\nb", None)])
def test_only_ids_that_can_be_repeated_are_read_from_wrong_rows(given_id: str, readable: str | None) -> None:
    assert convert.readable_id(transaction_message(transaction_id=given_id)) == readable


def test_times_keep_their_offset() -> None:
    noon = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=5, minutes=30)))
    read = convert.read_transaction(transaction_message(timestamp=noon.isoformat()))
    assert read.timestamp.utcoffset() == timedelta(hours=5, minutes=30)
    assert read.timestamp.astimezone(UTC) == noon
