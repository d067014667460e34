"""The steps of a call, driven by hand: no server, no waiting."""

from __future__ import annotations

import pytest

from bentos.client.conversation import converse
from bentos.client.exchange import Attempt, Exchange, Failure, Pause
from bentos.client.headers import REQUEST_ID
from bentos.client.options import ClientOptions
from bentos.client.retries import RetryBudget, pause_seconds
from bentos.core.errors import Overloaded, Unavailable

EXCHANGE: Exchange[str] = Exchange("/predict", b"sent", bytes.decode)
HEADERS = {REQUEST_ID: "r-1"}
LOST = Failure(Unavailable("lost"), retryable=True)


def test_an_answer_ends_it() -> None:
    steps = converse(EXCHANGE, HEADERS, 1.0, ClientOptions(), RetryBudget(0.1))
    attempt = next(steps)
    assert isinstance(attempt, Attempt)
    assert (attempt.target, attempt.payload, attempt.headers) == ("/predict", b"sent", HEADERS)
    assert 0 < attempt.timeout_seconds <= 1.0
    with pytest.raises(StopIteration) as end:
        steps.send(b"answer")
    assert end.value.value == "answer"


def test_attempts_and_pauses_take_turns_within_the_deadline() -> None:
    options = ClientOptions(retries=3, backoff_seconds=0.25)
    steps = converse(EXCHANGE, HEADERS, 600.0, options, RetryBudget(0.1))
    step = next(steps)
    left = 600.0
    for retry in range(3):
        assert isinstance(step, Attempt)
        assert step.timeout_seconds <= left
        left = step.timeout_seconds
        pause = steps.send(LOST)
        assert isinstance(pause, Pause)
        assert 0 <= pause.seconds <= min(1.0, 0.25 * 2**retry)
        step = next(steps)
    with pytest.raises(Unavailable, match=r"^lost \(request r-1\)$"):
        steps.send(LOST)


def test_a_pause_that_outlasts_the_deadline_is_not_made() -> None:
    steps = converse(EXCHANGE, HEADERS, 5.0, ClientOptions(), RetryBudget(0.1))
    next(steps)
    with pytest.raises(Overloaded) as refused:
        steps.send(Failure(Overloaded("full", 5), retryable=True, retry_after_seconds=5))
    assert refused.value.retry_after_seconds == 5


def test_the_cause_is_kept() -> None:
    cause = OSError("reset")
    steps = converse(EXCHANGE, HEADERS, 5.0, ClientOptions(), RetryBudget(0.1))
    next(steps)
    with pytest.raises(Unavailable) as lost:
        steps.send(Failure(Unavailable("lost"), cause=cause))
    assert lost.value.__cause__ is cause


def test_jitter_is_full_and_bounded() -> None:
    options = ClientOptions(backoff_seconds=0.1, maximum_backoff_seconds=0.3)
    for retry, longest in enumerate((0.1, 0.2, 0.3, 0.3)):
        pauses = [pause_seconds(retry, 0, options) for _ in range(500)]
        assert 0 <= min(pauses) < 0.1 * longest
        assert 0.9 * longest < max(pauses) <= longest


def test_jitter_comes_on_top_of_the_servers_wish() -> None:
    pauses = {pause_seconds(0, 3, ClientOptions()) for _ in range(100)}
    assert len(pauses) > 1
    assert all(3 <= pause <= 3.05 for pause in pauses)


def test_a_budget_is_a_share_of_the_calls() -> None:
    budget = RetryBudget(0.25)
    while budget.spend():
        pass
    spent = 0
    for _ in range(100):
        budget.earn()
        spent += budget.spend()
    assert spent == 25
    for _ in range(10_000):
        budget.earn()
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
