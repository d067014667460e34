"""One suite over the four clients and a real service."""

from __future__ import annotations

from uuid import uuid4

import pandas as pd
import pytest

from bentos.core.answers import Explanation, Prediction
from bentos.core.errors import ConfigError, InvalidInput
from bentos.core.features import FEATURE_NAMES
from bentos.core.records import Label, LabelOutcome
from tests.client.variants import AnyClient, Service, Transport
from tests.fraud.requests import transaction, transaction_json

LARGE = 50_000.0


def _new_customer() -> str:
    return uuid4().hex


def test_a_mapping_and_a_transaction_are_the_same(client: AnyClient) -> None:
    fields = transaction_json(customer_id=_new_customer(), transaction_id="t-1")
    first = client.predict(fields, record=False)
    assert isinstance(first, Prediction)
    assert first.transaction_id == "t-1"
    assert client.predict(transaction(**fields), record=False) == first


def test_all_variants_give_the_same_answer(client: AnyClient, service: Service) -> None:
    fields = transaction_json(
        customer_id="nobody",
        merchant_id="nowhere",
        transaction_id="t-2",
        amount=LARGE,
        customer_latitude=52.5,
        customer_longitude=13.4,
        merchant_latitude=-33.9,
        merchant_longitude=151.2,
    )
    with AnyClient(service.http, asynchronous=False) as reference:
        for explain in ("none", "flagged", "all"):
            options = {"explain": explain, "record": False, "timeout_seconds": 30}
            assert client.predict(fields, **options) == reference.predict(fields, **options)
        expected = reference.explain(fields, timeout_seconds=30)
    explanation = client.explain(fields)
    assert isinstance(explanation, Explanation)
    assert explanation == expected
    assert set(explanation.features) == set(FEATURE_NAMES)


def test_reasons_are_given_as_asked(client: AnyClient) -> None:
    large = transaction_json(customer_id=_new_customer(), amount=LARGE)
    small = transaction_json(customer_id=_new_customer())
    assert client.predict(large, explain="none", record=False).reasons == ()
    assert len(client.predict(large, record=False).reasons) == 3
    assert client.predict(small, record=False).reasons == ()
    assert len(client.predict(small, explain="all", record=False).reasons) == 3


def test_an_id_is_made_and_counts_once(client: AnyClient) -> None:
    fields = transaction_json(customer_id=_new_customer())
    made = client.predict(fields).transaction_id
    for _ in range(2):
        assert client.predict({**fields, "transaction_id": made}).transaction_id == made
    # Itself and the one that is recorded.
    assert client.explain(fields).features["customer_transactions_1d"] == 2


def test_record_false_leaves_no_trace(client: AnyClient) -> None:
    fields = transaction_json(customer_id=_new_customer())
    client.predict(fields, record=False)
    client.predict_many([fields], record=False)
    client.predict_frame(pd.DataFrame([fields]))
    assert client.explain(fields).features["customer_transactions_1d"] == 1


def test_wrong_fields_are_named(client: AnyClient) -> None:
    for call in (client.predict, client.explain):
        with pytest.raises(InvalidInput) as refused:
            call(transaction_json(amount=-1, merchant_id=None))
        assert [error.path for error in refused.value.errors] == ["merchant_id", "amount"]


def test_an_unknown_option_is_refused(client: AnyClient) -> None:
    with pytest.raises(InvalidInput, match="explain: must be one of none, flagged, all, got 'some'"):
        client.predict(transaction_json(), explain="some")


def test_many_rows_are_answered_in_order(client: AnyClient) -> None:
    customer = _new_customer()
    rows = [transaction_json(customer_id=customer, transaction_id=f"{customer}-{number}") for number in range(3)]
    results = client.predict_many([rows[0], transaction_json(amount=-1), rows[1], "nonsense", rows[2]])
    assert [result.transaction_id for result in results[::2]] == [row["transaction_id"] for row in rows]
    assert [str(result) for result in results[1::2]] == [
        "amount: Input should be greater than or equal to 0",
        "transaction: Input should be a valid dictionary or instance of Transaction",
    ]
    # Each saw the ones before, and they were recorded.
    assert client.explain(rows[0] | {"transaction_id": None}).features["customer_transactions_1d"] == 4


def test_no_rows_have_no_answers(client: AnyClient) -> None:
    assert client.predict_many([]) == []


def test_more_rows_than_a_call_takes(client: AnyClient) -> None:
    bad = transaction_json(amount=-1)
    rows = [bad] * 9_999 + [transaction_json(), bad, transaction_json()]
    results = client.predict_many(rows, record=False)
    assert [index for index, result in enumerate(results) if isinstance(result, Prediction)] == [9_999, 10_001]


def test_labels_are_taken_in_order(client: AnyClient) -> None:
    known, unknown = _new_customer(), _new_customer()
    label = {"transaction_id": known, "label": "fraud", "source": "chargeback"}
    future = "2199-01-01T00:00:00Z"
    results = client.feedback(
        [label, {**label, "label": "stolen"}, {**label, "label_time": future}, Label(**label), "nonsense"]
    )
    assert [str(result) for result in results if not isinstance(result, LabelOutcome)] == [
        "label: Input should be 'fraud' or 'legitimate'",
        "label_time: lies in the future; a label tells what is known already",
        "label: must be a Label or a mapping",
    ]
    expected = {"transaction_id": known, "label": "fraud", "pending": True}
    assert results[0] == LabelOutcome(outcome="recorded", **expected)
    assert results[3] == LabelOutcome(outcome="unchanged", **expected)
    many = [{"transaction_id": f"{unknown}-{number}", "label": "legitimate"} for number in range(1001)]
    assert {result.outcome for result in client.feedback(many)} == {"recorded"}
    assert client.feedback([]) == []


def test_a_frame_comes_back_with_its_index(client: AnyClient) -> None:
    rows = [transaction_json(amount=LARGE), transaction_json(amount=-1), transaction_json()]
    answered = client.predict_frame(pd.DataFrame(rows, index=["a", "b", "b"]))
    assert list(answered.index) == ["a", "b", "b"]
    assert list(answered["decision"].isna()) == [False, True, False]
    assert answered["decision"].iloc[0] == "block"
    assert answered["error"].iloc[1] == "amount: Input should be greater than or equal to 0"
    assert answered["reasons"].iloc[0][0].keys() == {"feature", "value", "contribution", "text"}


def test_one_client_is_shared(client: AnyClient) -> None:
    rows = [transaction_json(transaction_id=f"shared-{number}") for number in range(40)]
    answers = client.predict_at_once(rows)
    assert [answer.transaction_id for answer in answers] == [row["transaction_id"] for row in rows]


def test_health_and_model_are_calls_of_http(client: AnyClient, variant: tuple[Transport, bool]) -> None:
    if variant[0] == "http":
        assert client.health().status == "ok"
        assert client.model().version == "7"
    else:
        for call in (client.health, client.model):
            with pytest.raises(ConfigError, match="is a call of HTTP"):
                call()


def test_a_closed_client_says_so(client: AnyClient) -> None:
    client.predict(transaction_json(), record=False)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.predict(transaction_json())
