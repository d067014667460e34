from __future__ import annotations

import logging
from base64 import b64decode
from urllib.parse import unquote

import pytest
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from bentos.core.errors import WIRE_STATUS, ConfigError, FieldError, FraudError, InvalidInput, NotFound, Overloaded
from bentos.fraud.grpc.errors import CallStatus, error_status
from bentos.fraud.grpc.http2.hpack import Decoder


def _error(kind: type[FraudError]) -> FraudError:
    return kind([FieldError("amount", "is wrong")]) if kind is InvalidInput else kind("told on purpose")  # type: ignore[arg-type]


def _trailers(status: CallStatus) -> dict[str, str]:
    headers = Decoder(16_384).decode(status.trailers())
    assert headers is not None
    return {name.decode(): value.decode() for name, value in headers}


def _details(trailers: dict[str, str]) -> Status:
    encoded = trailers["grpc-status-details-bin"]
    return Status.FromString(b64decode(encoded + "=" * (-len(encoded) % 4)))


@pytest.mark.parametrize("kind", WIRE_STATUS, ids=lambda kind: kind.__name__)
def test_every_kind_of_error_has_the_code_of_the_table(kind: type[FraudError]) -> None:
    status = error_status(_error(kind), "id-1")
    assert status.code == WIRE_STATUS[kind].grpc
    assert int(_trailers(status)["grpc-status"]) == Code.Value(status.code) != 0


def test_invalid_input_names_every_field() -> None:
    error = InvalidInput([FieldError("amount", "too large"), FieldError("timestamp", "naive")])
    full = _details(_trailers(error_status(error, "id")))
    assert full.code == Code.Value("INVALID_ARGUMENT")
    assert full.message == "amount: too large; timestamp: naive"
    bad_request = _unpacked(full, BadRequest())
    assert [(item.field, item.description) for item in bad_request.field_violations] == [
        ("amount", "too large"),
        ("timestamp", "naive"),
    ]


def test_overload_says_when_to_come_back() -> None:
    full = _details(_trailers(error_status(Overloaded("full", retry_after_seconds=3), "id")))
    assert _unpacked(full, RetryInfo()).retry_delay.seconds == 3


@pytest.mark.parametrize("error", [ValueError("secret path /etc/x"), ConfigError("secret path /etc/x")])
def test_the_unexpected_is_logged_and_told_to_nobody(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        trailers = _trailers(error_status(error, "id-7"))
    assert "secret" not in "".join(trailers.values())
    assert "id-7" in unquote(trailers["grpc-message"])
    assert "secret path" in caplog.text
    assert "id-7" in caplog.text


def test_messages_are_escaped() -> None:
    message = "50 % of\nsömething"
    trailers = _trailers(error_status(NotFound(message), "id"))
    assert trailers["grpc-message"].isascii()
    assert trailers["grpc-message"].isprintable()
    assert unquote(trailers["grpc-message"]) == message


def test_details_that_a_client_would_refuse_are_left_out() -> None:
    error = InvalidInput([FieldError(f"field_{number}", "x" * 50) for number in range(200)])
    trailers = _trailers(error_status(error, "id"))
    assert trailers["grpc-status"] == "3"
    assert "grpc-status-details-bin" not in trailers


def test_a_long_message_is_cut() -> None:
    assert len(_trailers(error_status(NotFound("é" * 5000), "id"))["grpc-message"]) <= 1024


def _unpacked(full: Status, message: Message) -> Message:
    (detail,) = full.details
    assert detail.Unpack(message)
    return message
