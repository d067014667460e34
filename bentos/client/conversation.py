"""One call and its retries, free of input and output: whoever drives the steps does those."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from time import monotonic
from typing import TypeVar

from bentos.client.exchange import Attempt, Exchange, Failure, Pause, Steps
from bentos.client.headers import REQUEST_ID
from bentos.client.options import ClientOptions
from bentos.client.retries import RetryBudget, pause_seconds
from bentos.core.errors import FraudError, Unavailable

__all__ = ["converse"]

AnswerT = TypeVar("AnswerT")


def converse(
    exchange: Exchange[AnswerT],
    headers: Mapping[str, str],
    timeout_seconds: float,
    options: ClientOptions,
    budget: RetryBudget,
) -> Steps[AnswerT]:
    """Send a call until it is answered, or trying again is of no use.

    Safe only for calls that do no harm when they are done twice; those for transactions have an id, by which they
    count once.

    Raises
    ------
    FraudError
        The last attempt's, with the request id in its message.
    """
    until = monotonic() + timeout_seconds
    request_id = headers[REQUEST_ID]
    budget.earn()
    for retry in count():
        left = max(0.001, until - monotonic())
        reply = yield Attempt(exchange.target, exchange.payload, headers, left, exchange.content_type, exchange.save_to)
        if isinstance(reply, bytes):
            try:
                return exchange.read(reply)
            except ValueError as error:
                detail = "the answer cannot be read; the server is no fraud service, or one of another version"
                raise _named(Unavailable(detail), request_id) from error
        if reply is None:
            raise TypeError("an attempt needs a reply")
        pause = pause_seconds(retry, reply.retry_after_seconds, options)
        if not _worthwhile(reply, retry, options) or monotonic() + pause >= until or not budget.spend():
            raise _named(reply.error, request_id) from reply.cause
        yield Pause(pause)
    raise AssertionError("counting has no end")


def _worthwhile(failure: Failure, retry: int, options: ClientOptions) -> bool:
    return failure.retryable and retry < options.retries


def _named(error: FraudError, request_id: str) -> FraudError:
    error.args = (f"{error} (request {request_id})",)
    return error
