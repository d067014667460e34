"""What a client does with a server that misbehaves, the same over both transports."""

from __future__ import annotations

import asyncio
import logging
import socket

import pytest

from bentos.client import AsyncFraudClient, ClientOptions
from bentos.core.buckets import bucket
from bentos.core.errors import (
    FieldError,
    FraudError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Overloaded,
    Unauthenticated,
    Unavailable,
)
from tests.client.scripted import Behaviour, Scripted, scripted_server
from tests.client.variants import PATIENT, AnyClient, Transport
from tests.fraud.requests import transaction_json

Variant = tuple[Transport, bool]
REQUEST = {"x-request-id": "checkout-17"}
#: gRPC sends deadlines in few digits, rounded up.
GRPC_ROUNDING = 1.05
SOON = Overloaded("full", retry_after_seconds=0)


def _asked(variant: Variant, *behaviours: Behaviour, options: ClientOptions = PATIENT) -> tuple[object, Scripted]:
    """What one prediction comes to: the answer or the error."""
    with scripted_server(variant[0], *behaviours) as server:
        with AnyClient(server.address, asynchronous=variant[1], options=options) as client:
            try:
                outcome = client.predict(transaction_json(), headers=REQUEST)
            except FraudError as error:
                outcome = error
        return outcome, server


@pytest.mark.parametrize("behaviour", [SOON, Unavailable("no model"), "cut"], ids=["overloaded", "unavailable", "cut"])
def test_what_may_pass_is_tried_again(variant: Variant, behaviour: Behaviour) -> None:
    outcome, server = _asked(variant, behaviour, behaviour)
    assert not isinstance(outcome, FraudError)
    first, second, third = server.script.received
    # One id over all attempts, so that it counts once, and one name in the logs.
    assert first.transaction_ids == second.transaction_ids == third.transaction_ids
    assert first.headers["x-request-id"] == third.headers["x-request-id"] == "checkout-17"


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput([FieldError("amount", "is odd"), FieldError("merchant_id", "is unknown")]),
        NotFound("no such thing"),
        NotAllowed("not yours"),
        Unauthenticated("no key"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_stays_wrong_is_not_tried_again(variant: Variant, error: FraudError) -> None:
    outcome, server = _asked(variant, error)
    assert type(outcome) is type(error)
    assert str(outcome) == f"{error} (request checkout-17)"
    if isinstance(outcome, InvalidInput) and isinstance(error, InvalidInput):
        assert outcome.errors == error.errors
    assert len(server.script.received) == 1


def test_the_unexpected_is_not_tried_again(variant: Variant) -> None:
    outcome, server = _asked(variant, FraudError("Something unexpected happened"))
    assert type(outcome) is FraudError
    assert str(outcome).endswith("Something unexpected happened (request checkout-17)")
    assert len(server.script.received) == 1


def test_retries_have_an_end(variant: Variant) -> None:
    outcome, server = _asked(variant, *[SOON] * 5)
    assert isinstance(outcome, Overloaded)
    assert outcome.retry_after_seconds == 0
    assert len(server.script.received) == 1 + PATIENT.retries


def test_no_retry_after_the_deadline(variant: Variant) -> None:
    outcome, server = _asked(variant, Overloaded("full", retry_after_seconds=60))
    assert isinstance(outcome, Overloaded)
    assert outcome.retry_after_seconds == 60
    assert len(server.script.received) == 1


def test_the_wait_is_the_servers(variant: Variant) -> None:
    outcome, server = _asked(variant, Overloaded("full", retry_after_seconds=1))
    assert not isinstance(outcome, FraudError)
    first, second = server.script.received
    spent = int(first.headers["x-fraud-deadline-ms"]) - int(second.headers["x-fraud-deadline-ms"])
    # What is left is read in whole milliseconds, after it was sent.
    assert spent >= 990


def test_a_server_that_never_answers(variant: Variant) -> None:
    options = ClientOptions(timeout_seconds=0.3, connect_timeout_seconds=10)
    outcome, server = _asked(variant, "hang", options=options)
    assert isinstance(outcome, Unavailable)
    assert str(outcome) == f"{server.address} gave no answer in time (request checkout-17)"
    (received,) = server.script.received
    assert 1 <= int(received.headers["x-fraud-deadline-ms"]) <= 300 * GRPC_ROUNDING


def test_nobody_listens(variant: Variant) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"{variant[0]}://127.0.0.1:{taken.getsockname()[1]}"
        with (
            AnyClient(address, asynchronous=variant[1], options=PATIENT) as client,
            pytest.raises(Unavailable, match=r"\(request checkout-17\)"),
        ):
            client.predict(transaction_json(), headers=REQUEST)


def test_a_broken_server_is_not_stormed(variant: Variant) -> None:
    calls = 30
    with (
        scripted_server(variant[0], *[SOON] * 100) as server,
        AnyClient(server.address, asynchronous=variant[1], options=PATIENT) as client,
    ):
        for _ in range(calls):
            with pytest.raises(Overloaded):
                client.predict(transaction_json())
        retries = len(server.script.received) - calls
    # The ten of the beginning, and one for ten calls after they are spent.
    assert 10 <= retries <= 13


def test_what_is_sent_along(variant: Variant, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    with (
        scripted_server(variant[0]) as server,
        AnyClient(server.address, asynchronous=variant[1], api_key="s3cret-key", options=PATIENT) as client,
    ):
        client.predict(transaction_json(customer_id="c016"), headers={"Traceparent": trace})
        client.predict_many([transaction_json()])
        shown = repr(client.client)
    single, many = (received.headers for received in server.script.received)
    assert single["authorization"] == many["authorization"] == "Bearer s3cret-key"
    assert single["x-fraud-bucket"] == bucket("c016")
    assert "x-fraud-bucket" not in many
    assert single["traceparent"] == trace
    assert "traceparent" not in many
    assert single["x-request-id"] != many["x-request-id"]
    assert 1 <= int(single["x-fraud-deadline-ms"]) <= 30_000 * GRPC_ROUNDING
    assert shown.endswith(f"FraudClient({server.address!r})")
    assert "s3cret" not in shown + caplog.text


@pytest.mark.parametrize("transport", ["http", "grpc"])
def test_a_cancelled_call_leaves_the_client_usable(transport: Transport) -> None:
    async def cancelled_then_asked(server: Scripted) -> float:
        async with AsyncFraudClient(server.address, options=PATIENT) as client:
            call = asyncio.create_task(client.predict(transaction_json()))
            while not server.script.received:
                await asyncio.sleep(0.005)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            return (await client.predict(transaction_json())).score

    with scripted_server(transport, "hang") as server:
        assert asyncio.run(cancelled_then_asked(server)) == 0.25
