"""Tables and charts of a rollout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import pandas as pd

from dashboard.charts import Picture, drawn
from dashboard.gate_lanes import VERDICT_COLOURS
from dashboard.style import COLOURS

if TYPE_CHECKING:
    from k8s.rollout.record import Rollout

__all__ = ["changes", "gates", "outcomes_over_time", "weights"]

_MARKS: Final = {"pass": "✓ pass", "fail": "✗ fail", "inconclusive": "… inconclusive"}


def gates(rollout: Rollout) -> pd.DataFrame:
    """The latest verdict of each gate with its numbers, those of this step's plan marked."""
    required = rollout.plan.required(rollout.step)
    return pd.DataFrame(
        [
            {
                "gate": verdict.gate,
                "verdict": _MARKS[verdict.outcome],
                "needed now": verdict.gate in required,
                "measured": verdict.estimate,
                "from": verdict.low,
                "to": verdict.high,
                "tolerated": verdict.tolerated,
                "margin": verdict.margin,
                "unit": verdict.unit,
                "to pass": verdict.pass_evidence / verdict.pass_at,
                "to fail": verdict.fail_evidence / verdict.fail_at,
                "seen": verdict.samples,
                "more needed": verdict.needed,
                "of": verdict.counted,
                "in words": verdict.text,
            }
            for verdict in rollout.verdicts
        ]
    )


def changes(rollout: Rollout) -> pd.DataFrame:
    """What was changed, the latest first."""
    return pd.DataFrame(
        [
            {
                "time (UTC)": change.at.replace(tzinfo=None),
                "phase": change.phase,
                "step": change.step + 1,
                "weight": change.weight,
                "why": change.reason,
                "by": change.by,
                "revision": change.revision,
            }
            for change in reversed(rollout.changes)
        ]
    )


def outcomes_over_time(rollout: Rollout) -> Picture | None:
    """What each gate said at each look; None before the first."""
    rows = [
        {"time": look.at, "gate": gate.gate, "verdict": gate.outcome, "measured": gate.estimate, "seen": gate.samples}
        for look in rollout.looks
        for gate in look.gates
    ]
    if not rows:
        return None
    picture: Picture = (
        alt.Chart(drawn(pd.DataFrame(rows)))
        .mark_tick(thickness=5, size=18)
        .encode(
            x=alt.X("time:T", title=None),
            y=alt.Y("gate:N", title=None, axis=alt.Axis(labelLimit=140)),
            color=alt.Color(
                "verdict:N",
                scale=alt.Scale(domain=list(VERDICT_COLOURS), range=list(VERDICT_COLOURS.values())),
                title=None,
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["time:T", "gate:N", "verdict:N", alt.Tooltip("measured:Q", format=".4~g"), "seen:Q"],
        )
        .properties(height=280)
    )
    return picture


def weights(rollout: Rollout) -> Picture | None:
    """The challenger's share of customers over time; None before it changed."""
    rows = [{"time": change.at, "weight": change.weight} for change in rollout.changes]
    if not rows:
        return None
    until = rollout.ended or rollout.looked
    if until is not None:
        rows.append({"time": until, "weight": rollout.weight})
    picture: Picture = (
        alt.Chart(drawn(pd.DataFrame(rows)))
        .mark_area(interpolate="step-after", opacity=0.35, line=True, point=True, color=COLOURS["review"])
        .encode(
            x=alt.X("time:T", title=None),
            y=alt.Y("weight:Q", title="challenger's customers, %", scale=alt.Scale(domain=[0, 100])),
            tooltip=["time:T", "weight:Q"],
        )
        .properties(height=280)
    )
    return picture
