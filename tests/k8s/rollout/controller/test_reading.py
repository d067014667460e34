"""Counters as the service declares them, through a real Prometheus, to evidence."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from bentos.core.answers import ModelVersion
from bentos.core.errors import Unavailable
from bentos.fraud.metrics import SCORES, declare_metrics
from bentos.fraud.shadow.metrics import declare_shadow_metrics
from k8s.rollout.counters import growth
from k8s.rollout.measured import Place, block, bounds, versions
from k8s.rollout.reading import Prometheus
from tests.ports import free_port
from tests.waiting import eventually

CHAMPION = ("fraud_detector", "1", "champion")


def test_from_counters_to_a_block(served: tuple[list[CollectorRegistry], Prometheus]) -> None:
    (first, second), prometheus = served
    champion = declare_metrics(first, ModelVersion(name="fraud_detector", version="1"), "champion")
    challenger = declare_metrics(second, ModelVersion(name="fraud_detector", version="2"), "challenger")
    shadow = declare_shadow_metrics(first)
    name = ("fraud_predictions_total", "decision=block", "model_name=fraud_detector", "model_version=2")
    before = eventually(
        lambda: next(
            (
                found
                for found in [prometheus.counters({})]
                if {series[0] for series in found.values} == {f"127.0.0.1:{port}" for port in _ports(found)}
                and len(_ports(found)) == 2
            ),
            None,
        )
    )
    for number in range(100):
        champion.count_request("http", "predict", "200")
        challenger.count_request("grpc", "predict", "INTERNAL" if number < 7 else "OK")
        challenger.count_request("http", "health", "500")
        for metrics in (champion, challenger):
            metrics.prediction_latency.observe_all(np.array([0.004]))
            metrics.score.observe_all(np.array([0.02]))
    champion.predictions["approve"].inc(100)
    challenger.predictions["review"].inc(4)
    challenger.predictions["block"].inc(3)
    challenger.predictions["approve"].inc(86)
    challenger.degraded.inc(2)
    pair = {"champion_decision": "block", "challenger_decision": "approve"}
    shadow._pairs.labels("2", *CHAMPION).inc(5)
    shadow._decisions.labels(*pair.values(), "2", *CHAMPION).inc(5)
    after = eventually(
        lambda: next(
            (
                found
                for found in [prometheus.counters({})]
                if any(series[1:5] == name and value == 3 for series, value in found.values.items())
                and any(series[1] == "fraud_shadow_pairs_total" for series in found.values)
            ),
            None,
        )
    )
    grown = growth(before, after)
    assert grown is not None
    assert versions(grown, "challenger") == ("2",)
    edges = bounds(grown, "fraud_prediction_latency_seconds"), bounds(grown, "fraud_score")
    assert edges[1] == SCORES
    seen = block(Place(0, 1, 25), grown, *edges)
    assert (seen.champion.requests, seen.champion.errors, seen.champion.predictions) == (100, 0, 100)
    mine = seen.challenger
    assert (mine.requests, mine.errors, mine.predictions) == (100, 7, 93)
    assert (mine.flagged, mine.degraded) == (7, 2)
    assert (mine.latency[-1], mine.latency[edges[0].index(0.003)], mine.latency[edges[0].index(0.005)]) == (100, 0, 100)
    assert seen.pairs.pairs == 0
    pairs = block(Place(0, 0, 0), grown, *edges, "2").pairs
    assert (pairs.pairs, pairs.flagged_champion, pairs.flagged_both) == (5, 5, 0)
    assert block(Place(0, 0, 0), grown, *edges, "3").pairs.pairs == 0


def _ports(found: object) -> set[str]:
    return {series[0].rpartition(":")[2] for series in found.values}  # type: ignore[attr-defined]


def test_another_release_has_no_counters(served: tuple[list[CollectorRegistry], Prometheus]) -> None:
    _, prometheus = served
    assert Prometheus(prometheus.url, "fraud", "other").counters({}).values == {}


def test_clocks(served: tuple[list[CollectorRegistry], Prometheus]) -> None:
    _, prometheus = served
    seconds = prometheus.counters({}).seconds
    assert prometheus.skew(seconds, time.time()) == ""
    assert "are 3600 s apart" in prometheus.skew(seconds, seconds + 3600)


def test_a_query_that_is_refused(served: tuple[list[CollectorRegistry], Prometheus]) -> None:
    _, prometheus = served
    with pytest.raises(Unavailable, match="refuses the query with 400"):
        Prometheus(prometheus.url, 'a"', "fraud").counters({})


def test_no_prometheus(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no evidence meanwhile"):
        Prometheus(f"http://127.0.0.1:{free_port()}", "fraud", "fraud").counters({})
