"""Rules about the service's answers: are there any, are they right, do they come in time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from k8s.monitoring.objectives import FAST, SLOW, Burn, Objectives
from k8s.monitoring.rules import BY, Alert, Group, Record, ratio

__all__ = ["objective_group", "service_group"]

_UP: Final = 'up{job="fraud-scoring"}'
#: Pages, probes and scrapes are nobody's payment.
_CALLS: Final = 'method!~"alive|docs|health|metrics|model|other"'
#: Ours: what callers get wrong, and what they were refused, is counted elsewhere.
_FAILED: Final = 'code=~"5..|INTERNAL|UNAVAILABLE|UNKNOWN|DATA_LOSS"'
_REFUSED: Final = 'code=~"429|RESOURCE_EXHAUSTED"'
_ERRORS: Final = "release:fraud_errors:ratio_rate"
_LATE: Final = "release:fraud_late_predictions:ratio_rate"


def objective_group(objectives: Objectives) -> Group:
    """Both objectives, by how fast their budgets go."""
    windows = dict.fromkeys(window for burn in (*FAST, *SLOW) for window in (burn.short, burn.long))
    records = [Record(_ERRORS + window, _error_ratio(objectives.span(window))) for window in windows]
    records += [Record(_LATE + window, _late_ratio(objectives, objectives.span(window))) for window in windows]
    errors = "{{ $value | humanizePercentage }} of requests fail, the objective allows " + _percent(
        objectives.error_ratio
    )
    late = (
        "{{ $value | humanizePercentage }} of predictions take longer than"
        f" {objectives.latency_seconds * 1000:g} ms, the objective allows {_percent(objectives.latency_ratio)}"
    )
    first_errors = ". Which: fraud_requests_total by method and code; why: the logs, by request id."
    first_late = ". fraud_stage_latency_seconds says which stage."
    return Group(
        "fraud-objectives",
        tuple(records),
        (
            Alert(
                "FraudErrorBudgetFast",
                _burning(_ERRORS, FAST, objectives.error_ratio, _failures, objectives),
                "1m",
                "critical",
                "platform",
                "Requests fail so often that a month's budget is gone within days.",
                errors + first_errors,
            ),
            Alert(
                "FraudErrorBudgetSlow",
                _burning(_ERRORS, SLOW, objectives.error_ratio, _failures, objectives),
                "15m",
                "warning",
                "platform",
                "Requests fail more often than the objective allows.",
                errors + first_errors,
            ),
            Alert(
                "FraudLatencyBudgetFast",
                _burning(_LATE, FAST, objectives.latency_ratio, _late, objectives),
                "1m",
                "critical",
                "platform",
                "Predictions come late so often that a month's budget is gone within days.",
                late + first_late,
            ),
            Alert(
                "FraudLatencyBudgetSlow",
                _burning(_LATE, SLOW, objectives.latency_ratio, _late, objectives),
                "15m",
                "warning",
                "platform",
                "Predictions come late more often than the objective allows.",
                late + first_late,
            ),
        ),
    )


def service_group(objectives: Objectives) -> Group:
    """Whether anybody answers, anybody asks, and what is missing."""
    span = objectives.span
    silent = f"{_predictions(span('10m'))} == 0"
    before = f"{_predictions(span('1h'))} > {objectives.silence_predictions}"
    # After an hour of silence, what this hour brought yesterday.
    yesterday = f"{_predictions(span('1h'), offset=span('1d'))} > {objectives.silence_predictions}"
    calls = f"fraud_requests_total{{{_CALLS}}}"
    return Group(
        "fraud-service",
        (),
        (
            Alert(
                "FraudServiceDown",
                # Pods that are gone have no series that says so.
                f"group {BY} (max_over_time({_UP}[{span('6h')}]))\nunless group {BY} ({_UP} == 1)",
                "1m",
                "critical",
                "platform",
                "No scoring pod answers.",
                "Payments are not scored in {{ $labels.namespace }}. Look at the pods' events and at the end of their"
                " logs.",
            ),
            Alert(
                "FraudPodDown",
                f"{_UP} == 0",
                "5m",
                "warning",
                "platform",
                "A scoring pod does not answer.",
                "{{ $labels.instance }} has not been scraped for 5 minutes.",
            ),
            Alert(
                "FraudNoTraffic",
                f"{silent}\nand ({before}\n  or {yesterday})",
                "",
                "critical",
                "platform",
                "No payment has been scored for 10 minutes, though there usually are some.",
                "The service answers Prometheus, so look in front of it: route, gateway, callers.",
            ),
            Alert(
                "FraudOverload",
                ratio(
                    f"rate(fraud_requests_total{{{_CALLS},{_REFUSED}}}[{span('5m')}])",
                    f"rate({calls}[{span('5m')}])",
                )
                + f" > {objectives.refused_ratio:g}",
                "5m",
                "warning",
                "platform",
                "Requests are refused for want of time or room, or by rate limits.",
                "{{ $value | humanizePercentage }} of requests are refused. Add replicas, or raise"
                " scoring.autoscaling.maxReplicas.",
            ),
            Alert(
                "FraudDependencyDown",
                "min by (namespace, release, role, dependency) (fraud_dependency_up) == 0",
                "2m",
                "warning",
                "platform",
                "Something that the service needs fails.",
                "{{ $labels.dependency }} fails for a {{ $labels.role }}; /health says in words what is wrong with it.",
            ),
        ),
    )


def _predictions(window: str, offset: str = "") -> str:
    return f"sum {BY} (increase(fraud_predictions_total[{window}]{f' offset {offset}' if offset else ''}))"


def _error_ratio(window: str) -> str:
    return ratio(
        f"rate(fraud_requests_total{{{_CALLS},{_FAILED}}}[{window}])",
        f"rate(fraud_requests_total{{{_CALLS}}}[{window}])",
    )


def _failures(_: Objectives, window: str) -> str:
    return f"sum {BY} (increase(fraud_requests_total{{{_CALLS},{_FAILED}}}[{window}]))"


def _late_ratio(objectives: Objectives, window: str) -> str:
    counts = "fraud_prediction_latency_seconds"
    in_time = f'sum {BY} (rate({counts}_bucket{{le="{objectives.latency_seconds:g}"}}[{window}]))'
    return f"1 - {in_time}\n/ sum {BY} (rate({counts}_count[{window}]))"


def _late(objectives: Objectives, window: str) -> str:
    counts = "fraud_prediction_latency_seconds"
    in_time = f'sum {BY} (increase({counts}_bucket{{le="{objectives.latency_seconds:g}"}}[{window}]))'
    return f"(sum {BY} (increase({counts}_count[{window}])) - {in_time})"


def _burning(
    record: str,
    burns: tuple[Burn, ...],
    budget: float,
    failures: Callable[[Objectives, str], str],
    objectives: Objectives,
) -> str:
    parts = []
    for burn in burns:
        limit = f"{burn.factor:g} * {budget:g}"
        parts.append(
            f"({record}{burn.long} > {limit} and {record}{burn.short} > {limit}\n"
            f"  and {failures(objectives, objectives.span(burn.long))} >= {objectives.least_failures})"
        )
    return "\nor ".join(parts)


def _percent(share: float) -> str:
    return f"{share * 100:g} %"
