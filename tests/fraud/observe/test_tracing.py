from __future__ import annotations

import socket
from collections.abc import Iterator
from time import perf_counter

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from prometheus_client import CollectorRegistry

from bentos.core.answers import ModelVersion
from bentos.fraud.metrics import declare_metrics
from bentos.fraud.observe.observer import Observer
from bentos.fraud.observe.tracing import Tracing, open_tracing
from bentos.fraud.settings import ScoringSettings
from tests.fraud.observe.receiver import Receiver, attributes, receiver

MODEL = ModelVersion(name="fraud_detector", version="7")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.fixture
def received() -> Iterator[Receiver]:
    """A receiver of traces."""
    with receiver() as opened:
        yield opened


def tracing_to(received: Receiver, ratio: float = 1.0) -> Tracing:
    """Tracing that reports there."""
    settings = ScoringSettings(OTEL_EXPORTER_OTLP_ENDPOINT=received.url, trace_ratio=ratio)
    tracing = open_tracing(settings, MODEL)
    assert tracing is not None
    return tracing


def answer(tracing: Tracing, headers: dict[str, str], code: str = "200", transport: str = "http") -> None:
    """Answer one request in three stages."""
    observer = Observer(declare_metrics(CollectorRegistry(), MODEL, "champion"), None, tracing)
    exchange = observer.begin(transport, "r1", headers)
    if exchange.trace is not None:
        now = perf_counter()
        exchange.trace.stage("validation", now, now + 0.001)
        exchange.trace.stage("features", now + 0.001, now + 0.002, 8)
        exchange.trace.stage("inference", now + 0.002, now + 0.003, 8)
    observer.end(exchange, "predict", code)


def test_without_an_endpoint_nothing_is_traced() -> None:
    assert open_tracing(ScoringSettings(), MODEL) is None


def test_a_request_is_a_span_with_its_stages(received: Receiver) -> None:
    tracing = tracing_to(received)
    answer(tracing, {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=1"})
    tracing.close(30)
    (root,) = [span for span in received.spans if span.parent_span_id.hex() == SPAN]
    assert received.paths == {"/v1/traces"}
    assert (
        received.resources[0].items()
        >= {
            "service.name": "fraud_detector",
            "fraud.model_name": "fraud_detector",
            "fraud.model_version": "7",
            "fraud.role": "champion",
        }.items()
    )
    assert root.trace_id.hex() == TRACE
    assert root.trace_state == "vendor=1"
    assert root.name == "http predict"
    assert root.kind == Span.SPAN_KIND_SERVER
    assert attributes(root) == {"fraud.request_id": "r1", "http.response.status_code": 200}
    stages = received.children(root)
    assert [(stage.name, attributes(stage)["fraud.batch_size"]) for stage in stages] == [
        ("validation", 1),
        ("features", 8),
        ("inference", 8),
    ]
    for stage in stages:
        assert stage.trace_id == root.trace_id
        assert abs(stage.end_time_unix_nano - stage.start_time_unix_nano - 1_000_000) < 1_000
    assert len(received.spans) == 4


def test_a_trace_begins_here_when_none_comes(received: Receiver) -> None:
    tracing = tracing_to(received)
    answer(tracing, {})
    answer(tracing, {"traceparent": "nonsense", "tracestate": "vendor=1"})
    tracing.close(30)
    roots = [span for span in received.spans if not span.parent_span_id]
    assert len({span.trace_id for span in roots}) == 2
    assert all(not span.trace_state for span in roots)


@pytest.mark.parametrize(("flags", "ratio", "expected"), [("00", 1.0, 0), ("01", 0.0, 1)])
def test_the_caller_decides_what_is_recorded(received: Receiver, flags: str, ratio: float, expected: int) -> None:
    tracing = tracing_to(received, ratio)
    answer(tracing, {"traceparent": f"00-{TRACE}-{SPAN}-{flags}"})
    tracing.close(30)
    assert len([span for span in received.spans if span.kind == Span.SPAN_KIND_SERVER]) == expected


def test_a_share_is_recorded_where_the_caller_does_not_decide(received: Receiver) -> None:
    tracing = tracing_to(received, 0.5)
    for _ in range(200):
        answer(tracing, {})
    tracing.close(30)
    # Chance leaves these bounds once in 10^12 times.
    assert 50 < len([span for span in received.spans if span.kind == Span.SPAN_KIND_SERVER]) < 150


@pytest.mark.parametrize("state", ["\x00", "=", "a=b," * 2_000, "é=1", "a" * 300 + "=1"])
def test_a_hostile_tracestate_costs_nothing_but_itself(received: Receiver, state: str) -> None:
    tracing = tracing_to(received)
    answer(tracing, {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": state})
    tracing.close(30)
    (root,) = [span for span in received.spans if span.kind == Span.SPAN_KIND_SERVER]
    assert root.trace_id.hex() == TRACE
    assert not root.trace_state


@pytest.mark.parametrize(
    ("transport", "code", "wrong"),
    [
        ("http", "200", False),
        ("http", "422", False),
        ("http", "500", True),
        ("grpc", "OK", False),
        ("grpc", "INTERNAL", True),
    ],
)
def test_a_span_knows_whether_the_server_failed(received: Receiver, transport: str, code: str, wrong: bool) -> None:
    tracing = tracing_to(received)
    answer(tracing, {}, code, transport)
    tracing.close(30)
    (root,) = [span for span in received.spans if span.kind == Span.SPAN_KIND_SERVER]
    assert (root.status.code == Status.STATUS_CODE_ERROR) == wrong
    assert str(attributes(root)[f"{'http' if transport == 'http' else 'rpc'}.response.status_code"]) == code


def test_a_call_with_many_batches_has_a_bounded_trace(received: Receiver) -> None:
    tracing = tracing_to(received)
    trace = tracing.begin(None, None)
    assert trace is not None
    for _ in range(1_000):
        trace.stage("features", 0.0, 1.0, 64)
    trace.end("http", "predict_many", "200", "r1")
    tracing.close(30)
    assert len(received.spans) == 65


def test_a_receiver_that_does_not_answer_holds_nobody_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        tracing = open_tracing(ScoringSettings(OTEL_EXPORTER_OTLP_ENDPOINT=url, trace_ratio=1.0), MODEL)
        assert tracing is not None
        answer(tracing, {})
        # Returns long before the exporter gives up.
        tracing.close(0.1)
