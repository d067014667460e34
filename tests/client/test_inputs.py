"""Addresses, keys, options and headers that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from bentos.client import ClientOptions, FraudClient
from bentos.client.address import Address, parse_address, parse_key
from bentos.client.headers import call_headers
from bentos.core.errors import ConfigError, InvalidInput


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://scoring:3000", Address("http://scoring:3000", "http", False, "scoring:3000")),
        ("https://fraud.example/api", Address("https://fraud.example/api", "http", True, "fraud.example")),
        ("grpc://127.0.0.1:3001", Address("grpc://127.0.0.1:3001", "grpc", False, "127.0.0.1:3001")),
        ("grpcs://[::1]:3001/", Address("grpcs://[::1]:3001/", "grpc", True, "[::1]:3001")),
    ],
)
def test_the_scheme_chooses_the_transport(text: str, address: Address) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scoring:3000", "must be http, https, grpc or grpcs"),
        ("ftp://scoring", "must be http, https, grpc or grpcs"),
        ("http://", "must be http, https, grpc or grpcs"),
        ("http://scoring?explain=all", "must be http, https, grpc or grpcs"),
        ("http://scoring:port", "cannot be read"),
        ("grpc://scoring", "host and port alone"),
        ("grpc://scoring:3001/fraud", "host and port alone"),
    ],
)
def test_wrong_addresses_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FraudClient(text)


def test_an_address_shows_no_password() -> None:
    with pytest.raises(ConfigError, match="no user or password") as refused:
        FraudClient("http://user:s3cret@scoring")
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize("key", ["", " s3cret", "s3cret\n", "s3crét"])
def test_wrong_keys_are_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigError, match="visible ASCII") as refused:
        parse_key(key)
    assert "s3cr" not in str(refused.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"timeout_seconds": 0},
        {"timeout_seconds": float("nan")},
        {"many_timeout_seconds": 601},
        {"connect_timeout_seconds": -1},
        {"retries": -1},
        {"retry_ratio": 2},
        {"backoff_seconds": -0.1},
        {"maximum_backoff_seconds": 100},
        {"maximum_connections": 0},
    ],
    ids=str,
)
def test_wrong_options_are_named(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        ClientOptions(**wrong)


def test_headers_get_a_request_id() -> None:
    made = call_headers({"TraceState": "a=b"})
    assert made == {"tracestate": "a=b", "x-request-id": made["x-request-id"]}
    assert made["x-request-id"] != call_headers(None)["x-request-id"]
    assert call_headers({"X-Request-Id": "mine"}) == {"x-request-id": "mine"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer other"},
        {"x-fraud-bucket": "07"},
        {"content-length": "1"},
        {"trace-bin": "x"},
        {"a b": "x"},
        {"x-note": "two\r\nlines"},
        {"x-note": "ärger"},
        {"x-note": ""},
        {"x-request-id": "a b"},
        {"x-request-id": "a" * 129},
    ],
    ids=str,
)
def test_wrong_headers_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match=r"headers\."):
        call_headers(headers)
