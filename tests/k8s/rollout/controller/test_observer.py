"""What a controller sees of its release, through a real Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Gauge

from bentos.core.answers import ModelVersion
from bentos.fraud.metrics import Metrics, declare_metrics
from bentos.fraud.shadow.metrics import declare_shadow_metrics
from k8s.cluster import Cluster
from k8s.rollout.evidence import BLOCK_SECONDS, Evidence
from k8s.rollout.objects import ReleaseObjects
from k8s.rollout.observer import Observed, Observer
from k8s.rollout.plan import Plan
from k8s.rollout.reading import GAUGES, Prometheus
from k8s.rollout.record import ModelRef, Rollout
from tests.ports import free_port
from tests.servers.prometheus import running_prometheus
from tests.waiting import eventually

Served = tuple[list[CollectorRegistry], Prometheus]


@pytest.fixture(scope="module")
def sides(served: Served) -> tuple[Metrics, Metrics]:
    """Metrics of champion and challenger, and of pairs."""
    (first, second), prometheus = served
    champion = declare_metrics(first, ModelVersion(name="fraud_detector", version="1"), "champion")
    challenger = declare_metrics(second, ModelVersion(name="fraud_detector", version="2"), "challenger")
    declare_shadow_metrics(first)._dropped.labels("schema", "fraud_detector", "1", "champion").inc(0)
    # Counters begin to count from when their process was seen.
    eventually(lambda: len({series[0] for series in prometheus.counters({}).values}) == 2)
    return champion, challenger


@pytest.fixture
def observer(served: Served, cluster: Cluster) -> Observer:
    return Observer(served[1], ReleaseObjects(cluster, "fraud"))


def _rollout(**more: object) -> Rollout:
    values: dict[str, object] = {"step": 1, "weight": 5, "stage": "canary", "began": datetime.now(UTC)}
    values |= {"champion": ModelRef(tag="1"), "challenger": ModelRef(tag="2"), **more}
    return Rollout(schema_version=1, name="first", release="fraud", plan=Plan(), **values)  # type: ignore[arg-type]


def _answered(metrics: Metrics, count: int) -> None:
    for _ in range(count):
        metrics.count_request("http", "predict", "200")
    metrics.prediction_latency.observe_all(np.full(count, 0.004))
    metrics.score.observe_all(np.full(count, 0.02))
    metrics.predictions["approve"].inc(count)


def _until(observer: Observer, rollout: Rollout, enough: Callable[[Observed], bool]) -> list[Observed]:
    """Look until something was seen; all looks from the first on, each of which joins what was seen before."""
    found: list[Observed] = []

    def look() -> bool:
        evidence = found[-1].evidence if found else None
        found.append(observer.look(rollout, evidence, datetime.now(UTC)))
        return enough(found[-1])

    eventually(look)
    return found


def test_a_step_begins_with_a_look_that_counts_nothing(observer: Observer, sides: tuple[Metrics, Metrics]) -> None:
    rollout = _rollout()
    first = observer.look(rollout, None, datetime.now(UTC))
    assert (first.evidence, first.requests, first.troubles) == (None, 0.0, ())
    for metrics, count in zip(sides, (300, 20), strict=True):
        _answered(metrics, count)

    def whole(look: Observed) -> bool:
        # Prometheus scrapes one side after the other.
        blocks = look.evidence.blocks if look.evidence else ()
        sides = (sum(float(getattr(block, side).requests) for block in blocks) for side in ("champion", "challenger"))
        return tuple(sides) >= (300, 20)

    looks = _until(observer, rollout, whole)
    evidence = looks[-1].evidence
    assert evidence is not None
    assert sum(look.requests for look in looks) == 20
    assert sum(block.champion.requests for block in evidence.blocks) == 300
    assert {block.weight for block in evidence.blocks} == {5}
    assert {side for look in looks for side in (*look.champion, *look.challenger)} == {"1", "2"}
    # What was counted before is no evidence of the next step.
    _answered(sides[1], 10)
    later = observer.look(rollout.model_copy(update={"step": 2, "weight": 25}), evidence, datetime.now(UTC))
    assert (later.evidence, later.requests) == (evidence, 0.0)


def test_copies_lost_before_the_challenger_was_there_are_not_its_errors(
    observer: Observer, served: Served, sides: tuple[Metrics, Metrics]
) -> None:
    (first, _), prometheus = served
    began = datetime.now(UTC)
    rollout = _rollout(step=0, weight=0, stage="shadow", step_began=began)
    hasty = Observer(prometheus, observer.objects, settle_seconds=0.0)
    lost = first._names_to_collectors["fraud_shadow_dropped_total"]

    def lose(count: float) -> None:
        before = _lost(prometheus)
        lost.labels("unavailable", "fraud_detector", "1", "champion").inc(count)  # type: ignore[attr-defined]
        eventually(lambda: _lost(prometheus) >= before + count)

    for each in (observer, hasty):
        each.look(rollout, None, began)
    lose(50)
    early, wrong = (each.look(rollout, None, began + timedelta(seconds=19)) for each in (observer, hasty))
    assert early.evidence is None
    assert wrong.evidence is not None
    assert wrong.evidence.blocks[-1].challenger.errors == 50
    # From then on what is lost counts.
    lose(7)
    later = observer.look(rollout, None, began + timedelta(seconds=21))
    assert later.evidence is not None
    assert later.evidence.blocks[-1].challenger.errors == 7


def _lost(prometheus: Prometheus) -> float:
    counted = prometheus.counters({}).values.items()
    return sum(
        value for series, value in counted if {"fraud_shadow_dropped_total", "reason=unavailable"} <= set(series)
    )


def test_copies_of_another_schema_are_told(
    observer: Observer,
    served: Served,
    sides: tuple[Metrics, Metrics],
) -> None:
    rollout = _rollout(step=0, weight=0, stage="shadow")
    assert not observer.look(rollout, None, datetime.now(UTC)).other_schema
    _answered(sides[0], 5)
    (first, _), _ = served
    dropped = first._names_to_collectors["fraud_shadow_dropped_total"]
    dropped.labels("schema", "fraud_detector", "1", "champion").inc(5)  # type: ignore[attr-defined]
    assert _until(observer, rollout, lambda look: look.other_schema)


def test_labels_of_pairs_count_in_every_step(
    observer: Observer, served: Served, sides: tuple[Metrics, Metrics]
) -> None:
    """They come days after the shadow stage, and between two steps as well."""
    (first, _), prometheus = served
    names = ("label", "champion", "challenger", "blocked", "budget", "challenger_version")
    gauges = [Gauge(name, "Labelled pairs.", names, registry=first) for name in GAUGES]

    def labelled(pairs: int) -> None:
        for gauge, value in zip(gauges, (pairs, pairs, 50 * pairs, 2_500 * pairs), strict=True):
            gauge.labels("fraud", "alert", "none", "no", "own", "2").set(value)
        eventually(lambda: pairs in prometheus.labelled().values())

    challenger = ModelRef(tag="2", version="2")
    shadow = _rollout(step=0, weight=0, stage="shadow", challenger=challenger)
    labelled(10)
    assert observer.look(shadow, None, datetime.now(UTC)).evidence is None
    _answered(sides[0], 5)
    looks = _until(observer, shadow, lambda look: look.evidence is not None)
    # What was there before the rollout is not of it.
    assert looks[-1].evidence is not None
    assert looks[-1].evidence.labels == ()
    labelled(13)
    canary = _rollout(step=1, weight=5, challenger=challenger, began=shadow.began)
    evidence = observer.look(canary, looks[-1].evidence, datetime.now(UTC)).evidence
    labelled(20)
    _answered(sides[0], 5)

    def enough() -> bool:
        nonlocal evidence
        evidence = observer.look(canary, evidence, datetime.now(UTC)).evidence
        return sum(block.frauds[1] for block in evidence.labels) >= 10 if evidence else False

    eventually(enough)
    assert evidence is not None
    (labels,) = evidence.labels
    assert (labels.step, labels.frauds, labels.champion.cost, labels.challenger.cost) == (1, (0, 10, 0, 0), 30, 500)
    for gauge in gauges:
        first.unregister(gauge)


def test_what_keeps_evidence_away_is_named_and_what_there_is_stays(
    observer: Observer,
    served: Served,
    cluster: Cluster,
    sides: tuple[Metrics, Metrics],
) -> None:
    kept = Evidence((0.1,), (0.5,))
    now = datetime.now(UTC)
    away = Observer(Prometheus(f"http://127.0.0.1:{free_port()}", "fraud", "fraud"), observer.objects)
    other = Observer(Prometheus(served[1].url, "fraud", "other"), ReleaseObjects(cluster, "other"))
    for blind, said in (
        (away.look(_rollout(), kept, now), "there is no evidence meanwhile"),
        (other.look(_rollout(), kept, now), "knows no counters of release 'other' in namespace 'fraud'"),
        (observer.look(_rollout(), kept, now + timedelta(hours=1)), "s apart: set them by NTP"),
    ):
        assert blind.evidence is kept
        assert blind.requests == 0
        assert any(said in trouble for trouble in blind.troubles), blind.troubles


@pytest.fixture(scope="module")
def with_a_past(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, float]]:
    """A Prometheus that knows a champion's counters of six hours before now, in which it answered 60 a minute."""
    end = time.time()
    labels = '{role="champion",model_version="1",namespace="fraud",release="fraud",instance="a:3000"'
    lines = []
    for name, more in (
        ("fraud_requests", ',transport="http",method="predict",code="200"'),
        ("fraud_predictions", ',decision="approve"'),
    ):
        lines.append(f"# TYPE {name} counter")
        lines += [
            f"{name}_total{labels}{more}}} {60 * minute} {end - 60 * (360 - minute):.3f}" for minute in range(360)
        ]
    for name, edges in (("fraud_prediction_latency_seconds", ("0.01", "+Inf")), ("fraud_score", ("0.5", "+Inf"))):
        lines.append(f"# TYPE {name} histogram")
        lines += [
            f'{name}_bucket{labels},le="{edge}"}} {60 * minute} {end - 60 * (360 - minute):.3f}'
            for edge in edges
            for minute in range(360)
        ]
    past = "\n".join([*lines, "# EOF", ""])
    with running_prometheus(tmp_path_factory.mktemp("past") / "prometheus", [], "groups: []\n", past) as server:
        yield Prometheus(server.url, "fraud", "fraud"), end


def test_how_the_champion_varied_before_is_evidence_of_the_first_look(
    with_a_past: tuple[Prometheus, float], cluster: Cluster
) -> None:
    prometheus, end = with_a_past
    observer = Observer(prometheus, ReleaseObjects(cluster, "fraud"))
    rollout = _rollout(began=datetime.fromtimestamp(end, UTC))
    evidence = observer._past(Evidence((0.01,), (0.5,)), rollout)
    assert len(evidence.blocks) > 60
    assert [block.number for block in evidence.blocks] == sorted(block.number for block in evidence.blocks)
    assert max(block.number for block in evidence.blocks) <= 0
    # Of the champion alone, without weight: how it varies, not how the two compare.
    assert {block.challenger.requests for block in evidence.blocks} == {0}
    assert {block.weight for block in evidence.blocks} == {0}
    typical = float(np.median([block.champion.requests for block in evidence.blocks]))
    assert typical == pytest.approx(60 * BLOCK_SECONDS / 60)


def test_without_a_past_there_is_only_less_evidence(observer: Observer, tmp_path: Path) -> None:
    blind = Observer(Prometheus(f"http://127.0.0.1:{free_port()}", "fraud", "fraud"), observer.objects)
    fresh = Evidence((0.01,), (0.5,))
    assert blind._past(fresh, _rollout()) is fresh
