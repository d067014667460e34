from __future__ import annotations

import json
import re
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bentos.core.answers import ModelVersion
from bentos.fraud.metrics import declare_metrics, scrape
from bentos.fraud.observe.access import AccessLog
from bentos.fraud.observe.exchange import Exchange, current_exchange, current_trace
from bentos.fraud.observe.observer import Observer
from tests.fraud.test_metrics import value

MODEL = ModelVersion(name="fraud_detector", version="7")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


class Lines(list[str]):
    """Lines that were written."""

    def write(self, line: str) -> None:
        """Write a line."""
        self.append(line)


def observed(headers: dict[str, str], form: Any = "json", request_id: str = "r1", **answer: Any) -> tuple[str, bytes]:
    """The log line and the metrics of one request."""
    registry = CollectorRegistry()
    lines = Lines()
    observer = Observer(declare_metrics(registry, MODEL, "champion"), AccessLog(lines, MODEL, form), None)
    exchange = observer.begin("http", request_id, headers)
    for name, content in answer.items():
        setattr(exchange, name, content)
    observer.end(exchange, "predict", "200")
    (line,) = lines
    return line, scrape(registry, None)


def test_a_request_is_counted_and_logged() -> None:
    line, text = observed({}, decision="review", degraded=True)
    fields = json.loads(line)
    assert line.endswith("}\n")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("timestamp"))
    assert 0 <= fields.pop("seconds") < 10
    assert fields == {
        "level": "INFO",
        "logger": "bentos.access",
        "message": "answered",
        "request_id": "r1",
        "transport": "http",
        "method": "predict",
        "status": "200",
        "model_version": "7",
        "decision": "review",
        "degraded": True,
    }
    assert value(text, "fraud_requests_total", transport="http", method="predict", code="200") == 1


def test_what_is_not_known_is_not_logged() -> None:
    assert not {"decision", "degraded", "trace_id"} & json.loads(observed({})[0]).keys()


def test_a_valid_trace_is_named_though_none_is_recorded() -> None:
    assert json.loads(observed({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})[0])["trace_id"] == TRACE
    assert "trace_id" not in json.loads(observed({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01x"})[0])


def test_a_request_id_cannot_forge_fields() -> None:
    hostile = 'x","status":"500","customer_id":"\\'
    assert json.loads(observed({}, request_id=hostile)[0])["request_id"] == hostile


def test_the_text_form() -> None:
    line, _ = observed({}, "text", decision="approve")
    assert re.fullmatch(
        r"\S+Z INFO bentos\.access http predict 200 0\.\d{6} request_id=r1 model_version=7 decision=approve\n", line
    )


@pytest.mark.parametrize("form", ["json", "text"])
def test_seconds_have_their_milliseconds(form: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Lines()
    log = AccessLog(lines, MODEL, form)
    for now in (1_700_000_000.0, 1_700_000_000.9999, 1_700_000_001.0015):
        monkeypatch.setattr("bentos.fraud.observe.access.time", lambda now=now: now)
        log.write(Exchange("grpc", "r", None), "predict", "OK", 0.0)
    assert [re.search(r"2023\S{19}Z", line)[0] for line in lines] == [  # type: ignore[index]
        "2023-11-14T22:13:20.000Z",
        "2023-11-14T22:13:20.999Z",
        "2023-11-14T22:13:21.001Z",
    ]


def test_without_an_access_log_requests_are_counted_all_the_same() -> None:
    registry = CollectorRegistry()
    observer = Observer(declare_metrics(registry, MODEL, "champion"), None, None)
    observer.end(observer.begin("grpc", "r1", {}), "predict", "OK")
    text = scrape(registry, None)
    assert value(text, "fraud_requests_total", transport="grpc", method="predict", code="OK") == 1


def test_outside_a_request_there_is_no_exchange() -> None:
    assert current_exchange() is None
    assert current_trace() is None
