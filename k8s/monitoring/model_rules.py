"""Rules about the model: whether it sees what it was trained on, and whether it is still right."""

from __future__ import annotations

from typing import Final

from k8s.monitoring.objectives import Objectives
from k8s.monitoring.rules import BY, Alert, Group, Record

__all__ = ["model_group"]

_MODEL: Final = "by (namespace, release, model_name, model_version, role"
_PRECISION: Final = "model:fraud_label_precision:max"
_RECALL: Final = "model:fraud_label_recall:max"


def model_group(objectives: Objectives) -> Group:
    """Drift, quality and rollouts."""
    span = objectives.span
    return Group(
        "fraud-model",
        (
            # Every server tells the same; what is not known yet is NaN, and would make every mean one.
            Record(_PRECISION, f"max {_MODEL}) (fraud_label_precision >= 0)"),
            Record(_RECALL, f"max {_MODEL}) (fraud_label_recall >= 0)"),
        ),
        (
            Alert(
                "FraudFeatureDrift",
                _drifted("fraud_feature_psi", ", feature", objectives),
                "15m",
                "warning",
                "model",
                "A feature is distributed otherwise than in training.",
                '{{ $labels.feature }} has a stability index of {{ $value | printf "%.2f" }} over the last'
                " {{ $labels.window }}, for {{ $labels.model_version }}.",
            ),
            Alert(
                "FraudScoreDrift",
                _drifted("fraud_score_psi", "", objectives),
                "15m",
                "warning",
                "model",
                "Scores are distributed otherwise than in training.",
                'Scores of {{ $labels.model_version }} have a stability index of {{ $value | printf "%.2f" }} over the'
                " last {{ $labels.window }}: thresholds no longer cut where they did.",
            ),
            Alert(
                "FraudLabelQualityDrop",
                "\nor ".join(
                    f"label_replace({record}\n  < {objectives.quality_ratio:g} * avg_over_time({record}[{span('7d')}]"
                    f' offset {span("1d")}), "measure", "{measure}", "", "")'
                    for record, measure in ((_PRECISION, "precision"), (_RECALL, "recall"))
                ),
                "1h",
                "warning",
                "model",
                "By the labels that came in, the model is worse than it was.",
                "{{ $labels.measure }} of {{ $labels.model_version }} ({{ $labels.role }}) is"
                " {{ $value | humanizePercentage }}, a fifth or more below its mean of the week before.",
            ),
            Alert(
                "FraudRolloutRolledBack",
                f'max {BY} (max_over_time(fraud_rollout_gate{{verdict="fail"}}[{span("1h")}])) > 0\n'
                f"and max {BY} (fraud_rollout_weight) == 0",
                "",
                "warning",
                "model",
                "A challenger was taken back: a gate failed.",
                "All traffic is the champion's. Which gate, and by which numbers: fraud_rollout_gate, and the rollout's"
                " history.",
            ),
        ),
    )


def _drifted(metric: str, by: str, objectives: Objectives) -> str:
    # An hour differs from a day without anything being wrong; and each server tells of the payments that it got.
    parts = (("!=", objectives.drift), ("=", objectives.drift_of_hour))
    limit = f"avg {_MODEL}{by}) ({metric}_limit)"
    return "\nor ".join(
        f'avg {_MODEL}{by}, window) ({metric}{{window{operator}"hour"}})\n'
        f"  > on {_MODEL.removeprefix('by ')}{by}) group_left {factor:g} * {limit}"
        for operator, factor in parts
    )
