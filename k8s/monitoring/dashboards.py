"""What the dashboards show: the service for who is on call, the model for who answers for it."""

from __future__ import annotations

from typing import Final

from k8s.monitoring.objectives import Objectives
from k8s.monitoring.panels import Dashboard, Panel, Query

__all__ = ["dashboards"]

_DEFAULTED: Final = ',outcome="defaulted"'
_ALERTED: Final = ',decision!="approve"'


def dashboards(objectives: Objectives) -> tuple[Dashboard, ...]:
    """All of them.

    Parameters
    ----------
    objectives
        Where values become red.
    """
    return _service(objectives), _model(objectives)


def _rate(metric: str, labels: str = "") -> str:
    return f"rate({metric}{{SCOPE{labels}}}[$__rate_interval])"


def _quantiles(metric: str, labels: str, legend: str, *percents: int) -> tuple[Query, ...]:
    by = ", ".join(filter(None, (labels, "le")))
    return tuple(
        Query(
            f"histogram_quantile({percent / 100:g}, sum by ({by}) ({_rate(metric + '_bucket')}))",
            f"{legend} p{percent}".strip(),
        )
        for percent in percents
    )


def _service(objectives: Objectives) -> Dashboard:
    return Dashboard(
        "fraud-service",
        "Fraud: the service",
        "1h",
        (
            Panel(
                "Alerts that fire",
                "none",
                (Query('sum(ALERTS{alertstate="firing",SCOPE}) or vector(0)', ""),),
                "stat",
                4,
                4,
                1,
            ),
            Panel("Pods that answer", "none", (Query('sum(up{job="fraud-scoring",SCOPE})', ""),), "stat", 4, 4),
            Panel(
                "Predictions a second", "reqps", (Query(f"sum({_rate('fraud_predictions_total')})", ""),), "stat", 4, 4
            ),
            Panel(
                "Share of requests that fail",
                "percentunit",
                (Query("release:fraud_errors:ratio_rate5m{SCOPE}", ""),),
                "stat",
                4,
                4,
                objectives.error_ratio,
            ),
            Panel(
                f"Share of predictions after {objectives.latency_seconds * 1000:g} ms",
                "percentunit",
                (Query("release:fraud_late_predictions:ratio_rate5m{SCOPE}", ""),),
                "stat",
                4,
                4,
                objectives.latency_ratio,
            ),
            Panel(
                "Things that fail",
                "none",
                (Query("count(min by (role, dependency) (fraud_dependency_up{SCOPE}) == 0) or vector(0)", ""),),
                "stat",
                4,
                4,
                1,
            ),
            Panel(
                "Requests by code",
                "reqps",
                (Query(f"sum by (transport, code) ({_rate('fraud_requests_total')})", "{{transport}} {{code}}"),),
            ),
            Panel(
                "Latency of predictions",
                "s",
                _quantiles("fraud_prediction_latency_seconds", "", "", 50, 95, 99),
                limit=objectives.latency_seconds,
            ),
            Panel("p95 of each stage", "s", _quantiles("fraud_stage_latency_seconds", "stage", "{{stage}}", 95)),
            Panel(
                "How fast the error budget goes",
                "short",
                tuple(
                    Query(f"release:fraud_errors:ratio_rate{window}{{SCOPE}} / {objectives.error_ratio:g}", window)
                    for window in ("1h", "6h", "1d", "3d")
                ),
                limit=1,
            ),
            Panel(
                "How fast the latency budget goes",
                "short",
                tuple(
                    Query(
                        f"release:fraud_late_predictions:ratio_rate{window}{{SCOPE}} / {objectives.latency_ratio:g}",
                        window,
                    )
                    for window in ("1h", "6h", "1d", "3d")
                ),
                limit=1,
            ),
            Panel(
                "Degraded answers",
                "percentunit",
                (
                    Query(
                        f"sum({_rate('fraud_degraded_predictions_total')}) / sum({_rate('fraud_predictions_total')})",
                        "share",
                    ),
                    Query(
                        f"sum({_rate('fraud_feature_lookups_total', _DEFAULTED)})"
                        f" / sum({_rate('fraud_feature_lookups_total')})",
                        "features by default",
                    ),
                ),
                limit=objectives.degraded_ratio,
            ),
            Panel("Rows that wait to be scored", "short", (Query("sum(fraud_queue_depth{SCOPE})", "rows"),)),
            Panel("Rows scored together", "short", _quantiles("fraud_batch_size", "", "", 50, 95)),
            Panel(
                "What the service needs",
                "none",
                (Query("min by (role, dependency) (fraud_dependency_up{SCOPE})", "{{role}} {{dependency}}"),),
            ),
            Panel(
                "Predictions that wait to be recorded",
                "bytes",
                (Query("sum(fraud_log_waiting_bytes{SCOPE})", "on disk"),),
                limit=objectives.waiting_bytes,
            ),
            Panel(
                "Given up",
                "reqps",
                (
                    Query(f"sum({_rate('fraud_log_dropped_total')})", "predictions"),
                    Query(f"sum({_rate('fraud_log_lines_dropped_total')})", "log lines"),
                    Query(f"sum({_rate('fraud_reasons_late_total')})", "late reasons"),
                ),
            ),
            Panel("Age of the newest event", "s", (Query("min(fraud_feature_age_seconds{SCOPE})", "age"),)),
            Panel("Batch jobs", "short", (Query("max by (state) (fraud_jobs{SCOPE})", "{{state}}"),)),
            Panel(
                "Rows of batch jobs",
                "reqps",
                (Query(f"max by (outcome) ({_rate('fraud_job_rows_total')})", "{{outcome}}"),),
            ),
            Panel(
                "Requests with another customer's bucket",
                "reqps",
                (Query(f"sum({_rate('fraud_bucket_mismatches_total')})", "requests"),),
            ),
        ),
    )


def _model(objectives: Objectives) -> Dashboard:
    # In limits, so that features can be compared: above 1 one has drifted.
    drift = (
        'avg by (model_version, feature) (fraud_feature_psi{SCOPE,window="day"})'
        " / avg by (model_version, feature) (fraud_feature_psi_limit{SCOPE})"
    )
    return Dashboard(
        "fraud-model",
        "Fraud: the model",
        "2d",
        (
            Panel(
                "Decisions by version",
                "reqps",
                (
                    Query(
                        f"sum by (model_version, decision) ({_rate('fraud_predictions_total')})",
                        "{{model_version}} {{decision}}",
                    ),
                ),
            ),
            Panel(
                "Alert rate: reviews and blocks, of all",
                "percentunit",
                (
                    Query(
                        f"sum by (model_version) ({_rate('fraud_predictions_total', _ALERTED)})"
                        f" / sum by (model_version) ({_rate('fraud_predictions_total')})",
                        "{{model_version}}",
                    ),
                ),
            ),
            Panel("Scores", "percentunit", _quantiles("fraud_score", "model_version", "{{model_version}}", 50, 95, 99)),
            Panel(
                "Features over a day: index by limit",
                "none",
                (Query(f"sort_desc({drift})", "{{model_version}} {{feature}}"),),
                "bargauge",
                8,
                16,
                objectives.drift,
            ),
            Panel(
                "Features that moved most: index by limit",
                "none",
                (Query(f"topk(5, {drift})", "{{model_version}} {{feature}}"),),
                width=16,
                limit=objectives.drift,
            ),
            Panel(
                "Score: index by limit",
                "none",
                (
                    Query(
                        "avg by (model_version, window) (fraud_score_psi{SCOPE})"
                        " / on (model_version) group_left avg by (model_version) (fraud_score_psi_limit{SCOPE})",
                        "{{model_version}} over a {{window}}",
                    ),
                ),
                limit=objectives.drift,
            ),
            Panel(
                "Rows without a value",
                "percentunit",
                (
                    Query(
                        'avg by (model_version, feature) (fraud_feature_missing_ratio{SCOPE,window="day"})',
                        "{{model_version}} {{feature}}",
                    ),
                ),
            ),
            Panel(
                "Precision and recall of labelled predictions",
                "percentunit",
                (
                    Query("model:fraud_label_precision:max{SCOPE}", "{{model_version}} {{role}} precision"),
                    Query("model:fraud_label_recall:max{SCOPE}", "{{model_version}} {{role}} recall"),
                ),
            ),
            Panel(
                "Labels that came in",
                "short",
                (
                    Query(
                        "sum by (label, decision) (increase(fraud_labels_total{SCOPE}[1h]))",
                        "{{label}}, was {{decision}}",
                    ),
                ),
            ),
            Panel(
                "Challenger's share of traffic",
                "percentunit",
                (Query("max(fraud_rollout_weight{SCOPE}) / 100", "weight"),),
            ),
            Panel(
                "Gates of the rollout",
                "none",
                (Query("max by (gate, verdict) (fraud_rollout_gate{SCOPE})", "{{gate}} {{verdict}}"),),
            ),
            Panel(
                "Shadow pairs",
                "reqps",
                (
                    Query(f"sum({_rate('fraud_shadow_pairs_total')})", "pairs"),
                    Query(f"sum({_rate('fraud_shadow_dropped_total')})", "dropped"),
                ),
            ),
        ),
    )
