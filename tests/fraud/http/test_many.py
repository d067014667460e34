from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from bentos.core.answers import Prediction, RowProblem
from tests.fraud.requests import transaction_json

JSON = {"content-type": "application/json"}


def _rows(*amounts: float) -> list[dict[str, Any]]:
    return [transaction_json(amount=amount, transaction_id=f"t-{n}") for n, amount in enumerate(amounts)]


def _many(client: httpx.Client, rows: Any, query: str = "record=false") -> httpx.Response:
    return client.post(f"/predict_many?{query}", json={"transactions": rows})


def test_rows_get_what_each_would_get_alone(client: httpx.Client) -> None:
    rows = _rows(*(float(amount) for amount in range(0, 3000, 10)))
    together = _many(client, rows, "record=false&explain=all").json()["results"]
    alone = [client.post("/predict?record=false&explain=all", json=row).json() for row in rows[::50]]
    assert len(together) == len(rows)
    for one, other in zip(together[::50], alone, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-7)
        assert [reason["feature"] for reason in one["reasons"]] == [reason["feature"] for reason in other["reasons"]]
        Prediction.model_validate_json(json.dumps(one))


def test_a_bad_row_fails_alone(client: httpx.Client) -> None:
    rows: list[Any] = _rows(1.0, 2.0, 3.0, 4.0)
    rows[1]["amount"] = -1
    rows[2] = "no transaction"
    results = _many(client, rows).json()["results"]
    assert ["score" in result for result in results] == [True, False, False, True]
    problem = RowProblem.model_validate_json(json.dumps(results[1]))
    assert (problem.status, problem.transaction_id) == (422, "t-1")
    assert problem.errors is not None
    assert [error.path for error in problem.errors] == ["transactions.1.amount"]
    assert results[2]["errors"][0]["path"] == "transactions.2"


def test_the_largest_call(client: httpx.Client) -> None:
    results = _many(client, _rows(*[5.0] * 10_000), "record=false&explain=none").json()["results"]
    assert len(results) == 10_000
    assert [result["transaction_id"] for result in results[::1000]] == [f"t-{n}" for n in range(0, 10_000, 1000)]


def test_a_later_row_sees_an_earlier_one(client: httpx.Client) -> None:
    rows = [transaction_json(customer_id="many-1", transaction_id=f"many-1-{n}") for n in range(70)]
    assert _many(client, rows, "explain=none").status_code == 200
    after = client.post("/explain", json=transaction_json(customer_id="many-1")).json()
    assert after["features"]["customer_transactions_1d"] == 71


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b'{"transactions": {}}', "body"),
        (b'{"transactions": [], "more": 1}', "body"),
        (b'{"transactions": []}', "transactions"),
        (b'{"transactions": [' + b",".join([b"{}"] * 10_001) + b"]}", "transactions"),
        (b'{"transactions": [' + b"[" * 100_000, "body"),
        (b'{"transactions": [' + b"[]," * 1_000_000 + b"[]]}", "body"),
        (b'{"transactions": ["\xff"]}', "body"),
    ],
    ids=["empty", "array", "object", "unknown key", "no rows", "10,001 rows", "deep", "crowded", "not UTF-8"],
)
def test_calls_that_are_refused_as_a_whole(client: httpx.Client, body: bytes, path: str) -> None:
    response = client.post("/predict_many", content=body, headers=JSON)
    assert response.status_code == 422
    assert [error["path"] for error in response.json()["errors"]] == [path]


def test_wrong_options_are_refused(client: httpx.Client) -> None:
    assert _many(client, _rows(1.0), "explain=parts").status_code == 422


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "abc", "600001", "99999999999999999999", "½"])
@pytest.mark.parametrize("call", ["/predict", "/explain", "/predict_many"])
def test_a_deadline_that_is_none_is_refused(client: httpx.Client, call: str, given: str) -> None:
    response = client.post(call, json={}, headers={"x-fraud-deadline-ms": given.encode()})
    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "x-fraud-deadline-ms"
