"""Rules about what answers are made from and what becomes of them: features, records, jobs."""

from __future__ import annotations

from k8s.monitoring.objectives import Objectives
from k8s.monitoring.rules import BY, Alert, Group, ratio

__all__ = ["data_group"]


def data_group(objectives: Objectives) -> Group:
    """Features, records and jobs."""
    span = objectives.span
    return Group(
        "fraud-data",
        (),
        (
            Alert(
                "FraudDegraded",
                ratio(
                    f"rate(fraud_degraded_predictions_total[{span('5m')}])",
                    f"rate(fraud_predictions_total[{span('5m')}])",
                )
                + f" > {objectives.degraded_ratio:g}",
                "5m",
                "critical",
                "platform",
                "Payments are scored with defaults or by rules.",
                "{{ $value | humanizePercentage }} of answers are degraded; /health names the part that fails.",
            ),
            Alert(
                "FraudFeaturesStale",
                # Without payments nothing is recorded, which is no fault of the store.
                f"min {BY} (fraud_feature_age_seconds) > {objectives.feature_age_seconds:g}\n"
                f"and sum {BY} (increase(fraud_predictions_total[{span('15m')}])) > 10",
                "5m",
                "warning",
                "platform",
                "Payments are scored, and none is recorded into the features.",
                "The newest recorded transaction is {{ $value | humanizeDuration }} old: counts and averages miss what"
                " came since.",
            ),
            Alert(
                "FraudRecordsLost",
                f"sum {BY} (increase(fraud_log_dropped_total[{span('10m')}])) > 0",
                "",
                "critical",
                "platform",
                "Predictions are given up instead of being recorded.",
                "{{ $value | humanize }} predictions were dropped in 10 minutes: database or disk take none.",
            ),
            Alert(
                "FraudRecordsWaiting",
                f"sum {BY} (fraud_log_waiting_bytes) > {objectives.waiting_bytes}",
                "10m",
                "warning",
                "platform",
                "Predictions wait to be recorded.",
                "{{ $value | humanize1024 }}B wait on the servers' disks: the database is down or too slow. When their"
                " share of the disk is full, predictions are lost.",
            ),
            Alert(
                "FraudJobsStuck",
                # Every server of one database tells the same.
                f'sum {BY} (max by (namespace, release, state) (fraud_jobs{{state=~"pending|running"}})) > 0\n'
                f"and sum {BY} (max by (namespace, release, outcome) (increase(fraud_job_rows_total[{span('30m')}])))"
                " == 0",
                "30m",
                "warning",
                "platform",
                "Batch jobs do not get on.",
                "{{ $value }} jobs wait or run, and for half an hour no row was done: workers or broker are down.",
            ),
        ),
    )
