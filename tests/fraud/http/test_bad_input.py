"""What clients get wrong, against a running server: always a clear 4xx, never 500."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bentos.core.transaction import Transaction
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server

JSON = {"content-type": "application/json"}
CALLS = ("/predict", "/explain")
PAGES = ("/health", "/livez", "/readyz", "/model", "/metrics", "/docs", "/docs.json", "/", "/nowhere")


def _text(**changes: Any) -> bytes:
    return json.dumps(transaction_json(**changes)).encode()


def _amount(literal: str) -> bytes:
    return _text(amount=12345).replace(b"12345", literal.encode())


BODIES = {
    "empty": (b"", "transaction"),
    "blank": (b"  \n", "transaction"),
    "malformed": (b'{"customer_id": "a",', "transaction"),
    "trailing text": (_text() + b" x", "transaction"),
    "two documents": (_text() + _text(), "transaction"),
    "array": (b"[" + _text() + b"]", "transaction"),
    "string": (b'"text"', "transaction"),
    "number": (b"12", "transaction"),
    "null": (b"null", "transaction"),
    "empty object": (b"{}", "customer_id"),
    "invalid UTF-8": (b'{"customer_id": "\xff\xfe"}', "transaction"),
    "UTF-16": (_text().decode().encode("utf-16"), "transaction"),
    "zero byte": (_text(customer_id="a\0b"), "customer_id"),
    "lone surrogate": (b'{"customer_id": "\\ud800"}', None),
    "deep nesting": (b'{"customer_id":' + b"[" * 20_000 + b"]" * 20_000 + b"}", None),
    "deep objects": (b'{"a":' * 8_000 + b"1" + b"}" * 8_000, None),
    "NaN": (_amount("NaN"), "amount"),
    "Infinity": (_amount("Infinity"), "amount"),
    "-Infinity": (_amount("-Infinity"), "amount"),
    "overflow": (_amount("1e999"), "amount"),
    "huge integer": (_amount("9" * 5_000), None),
    "negative amount": (_amount("-0.01"), "amount"),
    "amount too large": (_amount("10000000.01"), "amount"),
    "amount as text": (_text(amount="much"), "amount"),
    "amount as list": (_text(amount=[1]), "amount"),
    "unknown field": (_text(ammount=1), "ammount"),
    "number as id": (_text(customer_id=12), "customer_id"),
    "empty id": (_text(customer_id=""), "customer_id"),
    "long id": (_text(customer_id="x" * 129), "customer_id"),
    "naive timestamp": (_text(timestamp="2026-01-31T12:00:00"), "timestamp"),
    "number as timestamp": (_text(timestamp=1_700_000_000), "timestamp"),
    "ancient timestamp": (_text(timestamp="0001-01-01T00:00:00Z"), "timestamp"),
    "half a pair": (_text(customer_latitude=1.0), "transaction"),
    "latitude out of range": (_text(customer_latitude=91, customer_longitude=0), "customer_latitude"),
}


def _assert_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "request_id"} <= document.keys()
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    return document


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", BODIES)
def test_bad_bodies_are_refused_with_the_path(client: httpx.Client, call: str, name: str) -> None:
    body, path = BODIES[name]
    document = _assert_problem(client.post(call, content=body, headers=JSON), 422)
    paths = [error["path"] for error in document["errors"]]
    assert paths
    assert path is None or path in paths
    assert all(error["message"] for error in document["errors"])


def test_a_missing_field_of_each_kind_is_named(client: httpx.Client) -> None:
    required = [name for name, field in Transaction.model_fields.items() if field.is_required()]
    document = _assert_problem(client.post("/predict", content=b"{}", headers=JSON), 422)
    assert [error["path"] for error in document["errors"]] == required


@pytest.mark.parametrize(
    ("query", "path"),
    [("explain=some", "explain"), ("explain=", "explain"), ("record=1", "record"), ("explian=all", "explian")],
)
def test_bad_options_are_refused_with_their_name(client: httpx.Client, query: str, path: str) -> None:
    response = client.post(f"/predict?{query}", content=_text(), headers=JSON)
    assert [error["path"] for error in _assert_problem(response, 422)["errors"]] == [path]


def test_explain_has_no_options(client: httpx.Client) -> None:
    response = client.post("/explain?record=true", content=_text(), headers=JSON)
    assert [error["path"] for error in _assert_problem(response, 422)["errors"]] == ["record"]


def test_absurdly_many_options_are_refused(client: httpx.Client) -> None:
    query = "&".join(f"a{number}=1" for number in range(1000))
    _assert_problem(client.post(f"/predict?{query}", content=_text(), headers=JSON), 422)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/vnd.bentoml+arrow",
        "application/json; charset=utf-16",
        "",
        "json",
    ],
)
def test_other_media_types_are_refused(client: httpx.Client, call: str, content_type: str) -> None:
    response = client.post(call, content=_text(), headers={"content-type": content_type})
    _assert_problem(response, 415)


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/x.a+json"],
)
def test_json_by_any_of_its_names_is_read(client: httpx.Client, content_type: str) -> None:
    headers = {"content-type": content_type}
    assert client.post("/explain", content=_text(), headers=headers).status_code == 200


def test_json_without_a_media_type_is_read(client: httpx.Client) -> None:
    assert client.post("/explain", content=_text()).status_code == 200


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    response = client.post("/predict", content=b"x", headers={**JSON, "content-encoding": "gzip"})
    _assert_problem(response, 415)


@pytest.mark.parametrize("method", ["POST", "GET", "PUT"])
@pytest.mark.parametrize("path", [*CALLS, *PAGES])
@pytest.mark.parametrize("spelling", ["application/vnd.bentoml+pickle", "Application/Vnd.BentoML+Pickle ; v=1"])
def test_pickles_are_refused_on_every_route(client: httpx.Client, method: str, path: str, spelling: str) -> None:
    headers = {"content-type": spelling}
    document = _assert_problem(client.request(method, path, content=b"\x80\x04.", headers=headers), 415)
    assert "pickle" in document["detail"]


@pytest.mark.parametrize("path", [*CALLS, *PAGES])
@pytest.mark.parametrize("order", [1, -1])
def test_a_pickle_hides_behind_no_second_media_type(client: httpx.Client, path: str, order: int) -> None:
    kinds = ["application/json", "application/vnd.bentoml+pickle"][::order]
    headers = [("content-type", kind) for kind in kinds]
    _assert_problem(client.request("POST", path, content=b"{}", headers=headers), 415)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/predict", "POST"),
        ("DELETE", "/explain", "POST"),
        ("POST", "/health", "GET"),
        ("PUT", "/metrics", "GET"),
    ],
)
def test_a_wrong_method_is_told_the_right_one(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    _assert_problem(response, 405)
    assert allowed in response.headers["allow"]


def test_errors_of_the_framework_look_the_same(client: httpx.Client) -> None:
    _assert_problem(client.get("/nowhere"), 404)
    _assert_problem(client.post("/docs.json"), 405)


@pytest.mark.parametrize("call", CALLS)
def test_a_long_body_is_refused_by_its_declared_length(client: httpx.Client, call: str) -> None:
    _assert_problem(client.post(call, content=b"x" * 5_000_000, headers=JSON), 413)


def test_a_long_body_is_refused_when_no_length_is_declared(client: httpx.Client) -> None:
    chunks = (b" " * 10_000 for _ in range(1000))
    _assert_problem(client.post("/predict", content=chunks, headers=JSON), 413)


def test_a_body_at_the_limit_is_read(client: httpx.Client) -> None:
    body = _text()
    response = client.post("/explain", content=body + b" " * (65_536 - len(body)), headers=JSON)
    assert response.status_code == 200


def test_half_a_request_harms_nobody(server: Server, client: httpx.Client) -> None:
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(b'POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{"customer_id":')
    assert client.post("/explain", content=_text(), headers=JSON).status_code == 200


def test_the_callers_request_id_comes_back(client: httpx.Client) -> None:
    response = client.get("/health", headers={"x-request-id": "trace-7"})
    assert response.headers["x-request-id"] == "trace-7"


@pytest.mark.parametrize("given_id", ["", "with space", "x" * 129, "tab\there"])
def test_an_unusable_request_id_is_replaced(client: httpx.Client, given_id: str) -> None:
    response = client.get("/health", headers={"x-request-id": given_id})
    assert response.headers["x-request-id"] != given_id
    assert len(response.headers["x-request-id"]) == 32


_JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from(sorted(Transaction.model_fields)) | st.text(max_size=8), _JSON_VALUES, max_size=6)
)
def test_no_json_makes_the_server_fail(client: httpx.Client, changes: dict[str, Any]) -> None:
    body = json.dumps({**transaction_json(), **changes}).encode()
    response = client.post("/explain", content=body, headers=JSON)
    assert response.status_code in (200, 422), response.text


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_no_bytes_make_the_server_fail(client: httpx.Client, body: bytes) -> None:
    response = client.post("/predict", content=body, headers=JSON)
    _assert_problem(response, 422)
