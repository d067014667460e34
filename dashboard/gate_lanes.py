"""A lane for each gate of a rollout: what was measured at each look, its interval, and what is tolerated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt
import pandas as pd

from dashboard.charts import Picture, drawn
from dashboard.style import COLOURS, INK, NEUTRAL

if TYPE_CHECKING:
    from k8s.rollout.record import Rollout
    from k8s.rollout.verdict import Verdict

__all__ = ["VERDICT_COLOURS", "lanes"]

VERDICT_COLOURS: Final = {"pass": COLOURS["approve"], "inconclusive": NEUTRAL, "fail": COLOURS["block"]}
_SHAPES: Final = {"pass": "circle", "inconclusive": "square", "fail": "cross"}
_COLUMNS: Final = ["time", "gate", "verdict", "measured", "from", "to", "seen"]
#: An interval may begin at nothing and reach to thousands; the measured values and both bounds are what is looked at.
_AROUND: Final = 0.5


def lanes(rollout: Rollout) -> dict[str, Picture]:
    """Of each gate that ever measured something, in the order of their first look."""
    rows = [
        (look.at, gate.gate, gate.outcome, gate.estimate, gate.low, gate.high, gate.samples)
        for look in rollout.looks
        for gate in look.gates
        if gate.estimate is not None
    ]
    if not rows:
        return {}
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    # All lanes have the same time below them.
    times = [frame["time"].min().isoformat(), frame["time"].max().isoformat()]
    latest = {verdict.gate: verdict for verdict in rollout.verdicts}
    return {
        str(name): _lane(str(name), part, latest.get(str(name)), times)  # type: ignore[call-overload]
        for name, part in frame.groupby("gate", sort=False)
    }


def _lane(name: str, frame: pd.DataFrame, latest: Verdict | None, times: list[str]) -> Picture:
    bounds = {} if latest is None else {"tolerated": latest.tolerated, "margin": latest.margin}
    around = [*frame["measured"], *bounds.values()]
    room = _AROUND * (max(around) - min(around) or abs(around[0]) or 1.0)
    base = alt.Chart(drawn(frame)).encode(
        x=alt.X(
            "time:T", title=None, scale=alt.Scale(domain=times, padding=8), axis=alt.Axis(tickCount=4, labelFlush=True)
        )
    )
    y = alt.Scale(domain=[min(around) - room, max(around) + room], zero=False)
    unit = None if latest is None else latest.unit
    band = base.mark_area(opacity=0.18, color=INK, clip=True).encode(
        y=alt.Y("from:Q", title=unit, scale=y, axis=alt.Axis(tickCount=4)), y2="to:Q"
    )
    line = base.mark_line(color=INK, strokeWidth=1.5, clip=True).encode(y=alt.Y("measured:Q", scale=y))
    points = base.mark_point(filled=True, size=45, opacity=1, clip=True).encode(
        y=alt.Y("measured:Q", scale=y),
        color=alt.Color("verdict:N", scale=_scale(VERDICT_COLOURS), legend=None),
        shape=alt.Shape("verdict:N", scale=_scale(_SHAPES), legend=None),
        tooltip=[
            "time:T",
            "verdict:N",
            *(alt.Tooltip(f"{number}:Q", format=".4~g") for number in ("measured", "from", "to")),
            "seen:Q",
        ],
    )
    title = alt.Title(name if latest is None else f"{name}: {latest.outcome}", anchor="start", fontSize=13)
    layers = [band, line, points, *([_rules(bounds, y)] if bounds else [])]
    return alt.layer(*layers).properties(height=190, title=title)


def _rules(bounds: dict[str, float], y: alt.Scale) -> alt.Chart:
    """No worse than tolerated fails, shown by the dashed line; worse than the margin never passes."""
    lines = pd.DataFrame({"bound": list(bounds), "value": list(bounds.values())})
    rules: alt.Chart = (
        alt.Chart(lines)
        .mark_rule(strokeWidth=1.5)
        .encode(
            y=alt.Y("value:Q", scale=y),
            color=alt.condition("datum.bound == 'margin'", alt.value(COLOURS["block"]), alt.value(COLOURS["approve"])),
            strokeDash=alt.condition("datum.bound == 'margin'", alt.value([1, 0]), alt.value([5, 4])),
            tooltip=["bound:N", alt.Tooltip("value:Q", format=".4~g")],
        )
    )
    return rules


def _scale(values: dict[str, str]) -> alt.Scale:
    return alt.Scale(domain=list(values), range=list(values.values()))
