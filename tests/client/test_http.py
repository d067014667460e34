"""What only HTTP can do wrong: gateways' pages, bodies that are none, connections that drip."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from bentos.client import ClientOptions
from bentos.core.errors import FraudError, InvalidInput, Overloaded, Unavailable
from tests.client.scripted import Raw, Scripted, scripted_server
from tests.client.variants import PATIENT, AnyClient
from tests.fraud.requests import transaction_json

Asked = Callable[..., tuple[object, Scripted]]


@pytest.fixture(params=[False, True], ids=["blocking", "asyncio"])
def asked(request: pytest.FixtureRequest) -> Asked:
    """Asks a server that behaves as told for one prediction."""

    def ask(*behaviours: Raw, options: ClientOptions = PATIENT) -> tuple[object, Scripted]:
        with scripted_server("http", *behaviours) as server:
            with AnyClient(server.address, asynchronous=request.param, options=options) as client:
                try:
                    outcome = client.predict(transaction_json())
                except FraudError as error:
                    outcome = error
            return outcome, server

    return ask


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_gateways_page_is_tried_again(asked: Asked, status: int) -> None:
    page = Raw(status, b"<html>upstream connect error</html>", (("content-type", "text/html"),))
    outcome, server = asked(page)
    assert not isinstance(outcome, FraudError)
    outcome, server = asked(*[page] * 3)
    assert type(outcome) is Unavailable
    assert f"the server answered {status} " in str(outcome)
    assert len(server.script.received) == 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidInput), (413, InvalidInput), (301, FraudError), (405, FraudError), (599, FraudError)],
)
def test_other_statuses_are_final(asked: Asked, status: int, kind: type[FraudError]) -> None:
    outcome, server = asked(Raw(status, headers=(("location", "/elsewhere"),)))
    assert type(outcome) is kind
    assert f"the server answered {status}" in str(outcome)
    assert len(server.script.received) == 1


def test_503_with_retry_after_is_an_overload(asked: Asked) -> None:
    outcome, _ = asked(Raw(503, headers=(("retry-after", "120"),)))
    assert isinstance(outcome, Overloaded)
    assert outcome.retry_after_seconds == 120


def test_retry_after_may_be_a_date(asked: Asked) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    outcome, _ = asked(Raw(429, headers=(("retry-after", date),)))
    assert isinstance(outcome, Overloaded)
    assert 3500 <= outcome.retry_after_seconds <= 3600


def test_a_retry_after_of_no_sense_is_ignored(asked: Asked) -> None:
    outcome, _ = asked(Raw(429, headers=(("retry-after", "soon"),)), *[Raw(429)] * 2)
    assert isinstance(outcome, Overloaded)
    assert outcome.retry_after_seconds == 1


def test_another_server_is_recognised(asked: Asked) -> None:
    outcome, server = asked(Raw(200, b"<html>Please log in</html>"))
    assert type(outcome) is Unavailable
    assert "no fraud service" in str(outcome)
    assert len(server.script.received) == 1


def test_a_body_that_drips_does_not_outlive_the_deadline(asked: Asked) -> None:
    options = ClientOptions(timeout_seconds=0.3, connect_timeout_seconds=10)
    outcome, server = asked(Raw(200, b"{", endless=True), options=options)
    assert isinstance(outcome, Unavailable)
    assert "gave no answer in time" in str(outcome)
    assert len(server.script.received) == 1


@pytest.mark.parametrize("path", ["/fraud", "/fraud/"])
def test_a_path_is_kept(path: str) -> None:
    with (
        scripted_server("http") as server,
        AnyClient(f"{server.address}{path}", asynchronous=False, options=PATIENT) as client,
    ):
        client.predict(transaction_json())
    assert server.script.received[0].target == "/fraud/predict?explain=flagged&record=true"
