from __future__ import annotations

import json
import logging

import pytest

from bentos.core.errors import (
    WIRE_STATUS,
    ConfigError,
    FieldError,
    FraudError,
    InvalidInput,
    NotFound,
    Overloaded,
    Unavailable,
)
from bentos.fraud.http.problems import PROBLEM_JSON, error_answer


def _error(kind: type[FraudError]) -> FraudError:
    return kind([FieldError("amount", "is wrong")]) if kind is InvalidInput else kind("told on purpose")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", WIRE_STATUS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_the_status_of_the_table(kind: type[FraudError]) -> None:
    answer = error_answer(_error(kind), "id-1")
    document = json.loads(answer.body)
    assert answer.status == WIRE_STATUS[kind].http
    assert answer.media_type == PROBLEM_JSON
    assert document["status"] == answer.status.value
    assert document["title"] == WIRE_STATUS[kind].title
    assert document["request_id"] == "id-1"


def test_invalid_input_names_every_field() -> None:
    error = InvalidInput([FieldError("amount", "too large"), FieldError("timestamp", "naive")])
    document = json.loads(error_answer(error, "id").body)
    assert document["errors"] == [
        {"path": "amount", "message": "too large"},
        {"path": "timestamp", "message": "naive"},
    ]


def test_an_error_raised_on_purpose_speaks_to_the_caller() -> None:
    document = json.loads(error_answer(NotFound("no job of that name"), "id").body)
    assert document["detail"] == "no job of that name"
    assert "errors" not in document


@pytest.mark.parametrize(
    "error", [ValueError("secret path /etc/x"), ConfigError("secret path /etc/x"), RuntimeError("secret path /etc/x")]
)
def test_the_unexpected_is_logged_and_told_to_nobody(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        answer = error_answer(error, "id-7")
    assert answer.status.value == 500
    assert b"secret" not in answer.body
    assert b"id-7" in answer.body
    assert "id-7" in caplog.text
    assert "secret path" in caplog.text


def test_overload_says_when_to_come_back() -> None:
    assert error_answer(Overloaded("full", retry_after_seconds=3), "id").headers["retry-after"] == "3"
    assert "retry-after" not in error_answer(Unavailable("down"), "id").headers
