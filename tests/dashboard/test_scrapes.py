"""What happened between two scrapes, and the table over time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from dashboard.scrapes import Scrape, Span, quantile, read_scrape
from dashboard.traffic import COLUMNS, from_scrapes
from tests.dashboard.conftest import Backend
from tests.waiting import eventually

START = datetime(2026, 5, 30, tzinfo=UTC)
MODEL = 'model_name="m",model_version="7",role="champion"'


def _scrape(seconds: float, approved: int, blocked: int = 0, failed: int = 0, slow: int = 0) -> Scrape:
    text = f"""
# TYPE fraud_predictions counter
fraud_predictions_total{{decision="approve",{MODEL}}} {approved}
fraud_predictions_total{{decision="block",{MODEL}}} {blocked}
# TYPE fraud_requests counter
fraud_requests_total{{code="200",{MODEL}}} {approved + blocked}
fraud_requests_total{{code="422",{MODEL}}} 40
fraud_requests_total{{code="500",{MODEL}}} {failed}
# TYPE fraud_prediction_latency_seconds histogram
fraud_prediction_latency_seconds_bucket{{le="0.001",{MODEL}}} {approved}
fraud_prediction_latency_seconds_bucket{{le="0.01",{MODEL}}} {approved + slow}
fraud_prediction_latency_seconds_bucket{{le="+Inf",{MODEL}}} {approved + slow}
# TYPE fraud_label_precision gauge
fraud_label_precision{{{MODEL}}} NaN
"""
    return read_scrape(text, START + timedelta(seconds=seconds))


def test_a_span_is_what_counters_grew_by() -> None:
    span = Span(_scrape(0, 100, 5), _scrape(10, 150, 15))
    assert span.seconds == 10
    assert span.decisions() == {"approve": 50, "review": 0, "block": 10}
    assert span.total("fraud_predictions_total", decision="block", role="champion") == 10
    assert span.total("fraud_predictions_total", role="challenger") == 0


def test_a_server_that_began_anew_has_begun_at_zero() -> None:
    assert Span(_scrape(0, 100), _scrape(10, 30)).decisions()["approve"] == 30


def test_a_gauge_that_is_no_number_is_none() -> None:
    assert Span(None, _scrape(0, 1)).gauge("fraud_label_precision") is None


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, 0.00075), (0.9, 0.0055), (1.0, 0.01)],
)
def test_a_quantile_lies_within_its_bucket(share: float, expected: float) -> None:
    # Of 10 answers 6.67 were within 1 ms and 3.33 within 10 ms; histogram_quantile of Prometheus gives the same.
    buckets = {0.001: 20 / 3, 0.01: 10.0, float("inf"): 10.0}
    found = quantile(buckets, share)
    assert found is not None
    rank = share * 10
    low = 0.0 if rank <= 20 / 3 else 0.001
    assert found == pytest.approx(rank / (20 / 3) * 0.001 if low == 0 else 0.001 + 0.009 * (rank - 20 / 3) / (10 / 3))
    assert found == pytest.approx(expected, rel=0.5)


def test_what_lies_above_all_bounds_is_the_highest_and_nothing_is_none() -> None:
    assert quantile({0.1: 0.0, float("inf"): 5.0}, 0.99) == 0.1
    assert quantile({0.1: 0.0, float("inf"): 0.0}, 0.99) is None
    assert quantile({}, 0.99) is None


def test_the_table_has_a_row_for_each_pair() -> None:
    frame = from_scrapes([_scrape(0, 100, 0), _scrape(5, 150, 50, failed=1), _scrape(10, 150, 50)])
    assert list(frame.columns) == list(COLUMNS)
    assert frame["time"].tolist() == [START + timedelta(seconds=5), START + timedelta(seconds=10)]
    first, quiet = frame.to_dict("records")
    assert (first["approve"], first["block"], first["alerts"]) == (10, 10, 0.5)
    assert first["failed"] == pytest.approx(1 / 101)
    # Without traffic there is no share, which is not a share of 0.
    assert quiet["approve"] == 0
    assert quiet["alerts"] != quiet["alerts"]
    assert from_scrapes([_scrape(0, 1)]).empty


def test_the_names_are_those_of_a_real_scrape(backend: Backend) -> None:
    before = read_scrape(backend.http.get("/metrics").text, START)
    backend.predict("scraped-1")

    def since() -> Span:
        return Span(before, read_scrape(backend.http.get("/metrics").text, START + timedelta(seconds=10)))

    # Counted a moment after the answer.
    eventually(lambda: since().total("fraud_requests_total", method="predict") and sum(since().decisions().values()))
    span = since()
    assert sum(span.decisions().values()) == 1
    assert span.latency(0.99) is not None
    assert span.models() == [("champion", "7")]
    assert span.total("fraud_requests_total", method="predict") == 1
    for gauge in ("fraud_queue_depth", "fraud_jobs"):
        assert span.gauge(gauge) is not None
