"""One request and its answer, as logs and traces see them."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter
from typing import TYPE_CHECKING, Final

from bentos.core.answers import Decision, Prediction

if TYPE_CHECKING:
    from bentos.fraud.access.callers import Caller
    from bentos.fraud.observe.tracing import RequestTrace

__all__ = ["Exchange", "current_exchange", "current_trace"]

_CURRENT: Final[ContextVar[Exchange | None]] = ContextVar("exchange", default=None)

#: The request that the running task answers; None when it answers none.
current_exchange: Final = _CURRENT.get


class Exchange:
    """One request, from its arrival to its answer.

    Parameters
    ----------
    transport
        "http" or "grpc".
    request_id
        Up to 128 visible ASCII characters.
    bucket
        The caller's x-fraud-bucket.
    """

    __slots__ = ("bucket", "caller", "decision", "degraded", "request_id", "started", "trace", "trace_id", "transport")

    def __init__(self, transport: str, request_id: str, bucket: str | None) -> None:
        self.transport = transport
        self.request_id = request_id
        self.bucket = bucket
        #: ``time.perf_counter()`` seconds.
        self.started = perf_counter()
        #: 32 hexadecimal digits; the caller's, or that of the trace that began here.
        self.trace_id: str | None = None
        #: None unless the request is traced.
        self.trace: RequestTrace | None = None
        #: Who asks; None when nobody has to say.
        self.caller: Caller | None = None
        self.decision: Decision | None = None
        self.degraded = False

    def enter(self) -> None:
        """Be the one that the running task answers; log lines name it from now on."""
        _CURRENT.set(self)

    def charge(self, rows: int) -> None:
        """Count the call's rows, 1 or more, against its caller's rate limit."""
        if self.caller is not None:
            # The first was counted when the call was let in.
            self.caller.charge(rows - 1)

    def answered(self, prediction: Prediction) -> None:
        """Note what the answer says."""
        self.decision = prediction.decision
        self.degraded = bool(prediction.degraded)


def current_trace() -> RequestTrace | None:
    """The trace of the request that the running task answers, if it is traced."""
    exchange = _CURRENT.get()
    return None if exchange is None else exchange.trace
