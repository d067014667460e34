"""Spans of requests and of their stages, exported by OpenTelemetry where an endpoint is set.

OpenTelemetry is imported when tracing is opened and not before. Which requests are recorded is decided here: as the
caller's traceparent says, else by chance. The library's own sampler decides the same, but makes a span to do so.
"""

from __future__ import annotations

import logging
import os
import threading
from random import random
from time import perf_counter, time_ns
from typing import TYPE_CHECKING, Final

from bentos.core.answers import ModelVersion
from bentos.fraud.observe.traceparent import TraceParent
from bentos.fraud.settings import ScoringSettings

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

__all__ = ["RequestTrace", "Tracing", "open_tracing"]

_LOGGER = logging.getLogger(__name__)
_SERVICE: Final = "fraud_detector"
#: Under the endpoint (OTLP specification, section "OTLP/HTTP Request").
_PATH: Final = "/v1/traces"
#: Of one request; a call with many rows has up to three for each of its batches.
_MAXIMUM_STAGES: Final = 64
#: Of a tracestate that is handed on (W3C Trace Context, section 3.3.1.5).
_MAXIMUM_STATE: Final = 512


class RequestTrace:
    """The span of a request that is recorded, and its stages. Belongs to one thread.

    Stages are kept until the end: making a span takes longer than most of them.

    Parameters
    ----------
    tracing
        Where the spans go.
    span
        Of the request.
    """

    __slots__ = ("_span", "_stages", "_tracing", "_zero_ns", "trace_id")

    def __init__(self, tracing: Tracing, span: Span) -> None:
        self._tracing = tracing
        self._span = span
        #: When ``time.perf_counter()`` was 0, nanoseconds since 1970.
        self._zero_ns = time_ns() - round(perf_counter() * 1e9)
        self._stages: list[tuple[str, float, float, int]] = []
        #: 32 hexadecimal digits.
        self.trace_id = f"{span.get_span_context().trace_id:032x}"

    def stage(self, name: str, started: float, ended: float, batch_size: int = 1) -> None:
        """Note a stage.

        Parameters
        ----------
        name
            One of ``bentos.fraud.metrics.STAGES``.
        started, ended
            ``time.perf_counter()`` seconds.
        batch_size
            Rows that went through it together.
        """
        if len(self._stages) < _MAXIMUM_STAGES:
            self._stages.append((name, started, ended, batch_size))

    def end(self, transport: str, method: str, code: str, request_id: str) -> None:
        """Hand the spans over to be exported. What is noted afterwards is lost."""
        from opentelemetry.trace import StatusCode, set_span_in_context

        span = self._span
        context = set_span_in_context(span)
        for name, started, ended, batch_size in self._stages:
            stage = self._tracing.tracer.start_span(
                name, context, attributes={"fraud.batch_size": batch_size}, start_time=self._nanoseconds(started)
            )
            stage.end(self._nanoseconds(ended))
        span.update_name(f"{transport} {method}")
        span.set_attribute("fraud.request_id", request_id)
        if transport == "http":
            span.set_attribute("http.response.status_code", int(code))
        else:
            span.set_attribute("rpc.response.status_code", code)
        if code.startswith("5") or code in ("INTERNAL", "UNAVAILABLE", "UNKNOWN", "DATA_LOSS"):
            span.set_status(StatusCode.ERROR)
        span.end()

    def _nanoseconds(self, seconds: float) -> int:
        return self._zero_ns + round(seconds * 1e9)


class Tracing:
    """Begins traces. Belongs to one thread.

    Parameters
    ----------
    provider
        Of OpenTelemetry; closed with this.
    ratio
        Share of the requests without a traceparent that are recorded.
    """

    def __init__(self, provider: TracerProvider, ratio: float) -> None:
        self._provider = provider
        self._ratio = ratio
        self.tracer = provider.get_tracer(_SERVICE)

    def begin(self, parent: TraceParent | None, tracestate: str | None) -> RequestTrace | None:
        """Begin the trace of a request; None when it is not to be recorded."""
        if not (random() < self._ratio if parent is None else parent.sampled):  # noqa: S311 - guards nothing
            return None
        from opentelemetry.trace import SpanKind

        context = None if parent is None else _remote_context(parent, tracestate)
        return RequestTrace(self, self.tracer.start_span("request", context, kind=SpanKind.SERVER))

    def close(self, seconds: float) -> None:
        """Export what is left, for so many seconds at most."""
        # An exporter whose receiver is down waits longer than a server that stops may.
        thread = threading.Thread(target=self._provider.shutdown, name="tracing-close", daemon=True)
        thread.start()
        thread.join(seconds)
        if thread.is_alive():
            _LOGGER.warning("the receiver of traces did not take the last ones within %.1f s", seconds)


def open_tracing(settings: ScoringSettings, model: ModelVersion) -> Tracing | None:
    """Trace requests as the settings say; None when no endpoint is set."""
    if not settings.otlp_endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    resource = Resource.create(
        {
            "service.name": _SERVICE,
            "service.instance.id": str(os.getpid()),
            "fraud.model_name": model.name,
            "fraud.model_version": model.version,
            "fraud.role": settings.role,
        }
    )
    provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(settings.otlp_endpoint.rstrip("/") + _PATH)))
    return Tracing(provider, settings.trace_ratio)


def _remote_context(parent: TraceParent, tracestate: str | None) -> Context:
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

    state = TraceState.from_header([tracestate]) if tracestate and len(tracestate) <= _MAXIMUM_STATE else None
    remote = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, TraceFlags(TraceFlags.SAMPLED), state)
    return set_span_in_context(NonRecordingSpan(remote))
