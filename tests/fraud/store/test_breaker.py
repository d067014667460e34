"""When a failing server is asked, and when it is left alone."""

from __future__ import annotations

from bentos.fraud.store.breaker import Breaker


def test_it_opens_tries_and_closes() -> None:
    now = 0.0
    breaker = Breaker(3, lambda: now)
    assert [breaker.failed("broken") for _ in range(3)] == [False, False, True]
    assert not breaker.allows()
    assert breaker.trouble == "broken (circuit open)"
    now = 1.0
    assert [breaker.allows() for _ in range(3)] == [True, False, False]
    assert not breaker.failed("still broken")
    now = 1.9
    assert not breaker.allows()
    now = 2.1
    assert breaker.allows()
    breaker.worked()
    assert breaker.trouble is None
    assert all(breaker.allows() for _ in range(3))
    assert not breaker.failed("once")
    assert breaker.trouble == "once (circuit closed)"


def test_failures_far_apart_do_not_open_it() -> None:
    now = 0.0
    breaker = Breaker(2, lambda: now)
    for _ in range(5):
        assert not breaker.failed("rare")
        now += 11
        assert breaker.allows()
