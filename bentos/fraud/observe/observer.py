"""What happens beside every request, on every transport: it is counted, logged and traced."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import Final

from bentos.core.answers import ModelVersion
from bentos.core.buckets import BUCKET_HEADER
from bentos.fraud.metrics import Metrics
from bentos.fraud.observe.access import AccessLog
from bentos.fraud.observe.exchange import Exchange, current_trace
from bentos.fraud.observe.lines import LineWriter
from bentos.fraud.observe.traceparent import read_traceparent
from bentos.fraud.observe.tracing import Tracing, open_tracing
from bentos.fraud.settings import ScoringSettings

__all__ = ["Observer", "open_observer"]

#: How long a server that stops waits for who receives traces and log lines.
_CLOSE_SECONDS: Final = 2.0


class Observer:
    """Sees every request come and go. Belongs to one event loop.

    Parameters
    ----------
    metrics
        Where requests are counted.
    access
        None writes no access log.
    tracing
        None records no traces; log lines name the caller's all the same.
    """

    def __init__(self, metrics: Metrics, access: AccessLog | None, tracing: Tracing | None) -> None:
        self._metrics = metrics
        self._access = access
        self._tracing = tracing

    def begin(self, transport: str, request_id: str, headers: Mapping[str, str]) -> Exchange:
        """Note that a request came.

        Parameters
        ----------
        transport
            "http" or "grpc".
        request_id
            Up to 128 visible ASCII characters.
        headers
            Of the request, or its metadata, by lower-case names.
        """
        exchange = Exchange(transport, request_id, headers.get(BUCKET_HEADER))
        given = headers.get("traceparent")
        parent = None if given is None else read_traceparent(given)
        if parent is not None:
            exchange.trace_id = parent.trace_id
        if self._tracing is not None:
            trace = self._tracing.begin(parent, headers.get("tracestate"))
            if trace is not None:
                exchange.trace = trace
                exchange.trace_id = trace.trace_id
        return exchange

    def end(self, exchange: Exchange, method: str, code: str) -> None:
        """Note that it was answered; best when the answer has left.

        Parameters
        ----------
        exchange
            From :meth:`begin`; to be ended once.
        method
            What was called, by the name that metrics have for it: one of a few.
        code
            Status of HTTP, or gRPC's name of one.
        """
        if exchange.trace is not None:
            exchange.trace.end(exchange.transport, method, code, exchange.request_id)
        self._metrics.later.add(partial(self._ended, exchange, method, code, perf_counter() - exchange.started))

    def _ended(self, exchange: Exchange, method: str, code: str, seconds: float) -> None:
        self._metrics.count_request(exchange.transport, method, code)
        if self._access is not None:
            self._access.write(exchange, method, code, seconds)

    def stage(self, name: str, started: float) -> None:
        """Note a stage of the request that the running task answers, which ends now.

        Parameters
        ----------
        name
            One of ``bentos.fraud.metrics.STAGES``.
        started
            ``time.perf_counter()`` seconds.
        """
        ended = perf_counter()
        self._metrics.stage_latency[name].observe(ended - started)
        trace = current_trace()
        if trace is not None:
            trace.stage(name, started, ended)

    def close(self) -> None:
        """Hand over what was recorded; takes some seconds when nobody takes it."""
        self._metrics.later.run()
        if self._tracing is not None:
            self._tracing.close(_CLOSE_SECONDS)


def open_observer(
    settings: ScoringSettings, metrics: Metrics, model: ModelVersion, lines: LineWriter | None = None
) -> Observer:
    """Observe as the settings say.

    Parameters
    ----------
    settings
        Whether requests are logged and traced.
    metrics
        Of the worker.
    model
        That it serves.
    lines
        Of the process's log; None when it has none of its own, and so no access log.
    """
    access = None
    if lines is not None:
        lines.count_dropped(metrics.log_lines_dropped.inc)
        if settings.access_log:
            access = AccessLog(lines, model, settings.log_format)
    return Observer(metrics, access, open_tracing(settings, model))
