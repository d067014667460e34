"""The charts that pages share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from bentos.core.answers import Explanation, ThresholdPair
from bentos.core.features import FEATURES
from dashboard.style import COLOURS, DECISIONS, FRAUD, INK, LEGITIMATE, NEUTRAL, SERIES
from dashboard.words import score

__all__ = [
    "Picture",
    "decades",
    "drawn",
    "lines",
    "score_curve",
    "score_histogram",
    "score_scale",
    "stacked_decisions",
    "waterfall",
]

#: What Streamlit draws.
Picture: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

_PLACES: Final = {name: place for place, name in enumerate(DECISIONS)}
_DECISION_COLOURS: Final = alt.Scale(domain=list(DECISIONS), range=[COLOURS[name] for name in DECISIONS])


def drawn(frame: pd.DataFrame) -> pd.DataFrame:
    """A table to be drawn: its instants (``time``) in Arrow's own type.

    On the way from pandas' type pyarrow asks for values in a way that pandas takes back, and warns of with each chart.
    """
    instants = pd.to_datetime(frame["time"], utc=True).dt.as_unit("us")
    return frame.assign(time=instants.astype(pd.ArrowDtype(pa.timestamp("us", "UTC"))))


def decades(highest: float) -> list[float]:
    """What stands at an axis that squeezes large numbers: 0, 1, 10, and so on up to the last that is reached."""
    last = int(np.log10(highest)) if highest >= 1 else 0
    return [0.0, *(10.0**power for power in range(last + 1))]


def waterfall(explanation: Explanation, shown: int = 8) -> Picture:
    """From the base value to the raw score, one bar a feature in words, the largest first, the rest as one."""
    frame = _steps(explanation, shown)
    order = frame["what"].tolist()
    y = alt.Y("what:N", sort=order, title=None, axis=alt.Axis(labelLimit=430, ticks=False, domain=False))
    base = alt.Chart(frame)
    bars = base.mark_bar(height=18, cornerRadius=2).encode(
        x=alt.X("low:Q", title="raw score", scale=alt.Scale(zero=False, nice=True)),
        x2="high:Q",
        y=y,
        color=alt.Color("colour:N", scale=None),
        tooltip=[alt.Tooltip("what:N", title="reason"), alt.Tooltip("change:Q", format="+.4f")],
    )
    texts = base.mark_text(align="left", dx=5, color=INK).encode(x="high:Q", y=y, text="label:N")
    return alt.layer(bars, texts).properties(height=30 * len(frame) + 40)


def _steps(explanation: Explanation, shown: int) -> pd.DataFrame:
    words = {feature.name: feature for feature in FEATURES}
    parts = sorted(explanation.contributions.items(), key=lambda item: -abs(item[1]))
    named = [(words[name].reason_text(explanation.features[name]), value) for name, value in parts[:shown]]
    rest = parts[shown:]
    if rest:
        named.append((f"{len(rest)} other features together", sum(value for _, value in rest)))
    rows: list[dict[str, Any]] = [_total("without knowing anything", explanation.base_value)]
    at = explanation.base_value
    for text, change in named:
        rows.append(
            {
                "what": text,
                "low": min(at, at + change),
                "high": max(at, at + change),
                "change": change,
                "label": f"{change:+.3f}",
                "colour": FRAUD if change > 0 else LEGITIMATE,
            }
        )
        at += change
    rows.append(_total("raw score", explanation.raw_score))
    return pd.DataFrame(rows)


def _total(what: str, value: float) -> dict[str, Any]:
    low, high = min(0.0, value), max(0.0, value)
    return {"what": what, "low": low, "high": high, "change": value, "label": f"{value:.3f}", "colour": NEUTRAL}


def score_scale(value: float, thresholds: ThresholdPair) -> Picture:
    """The scores from 0 to 1 in the colours of their decisions, with a mark where this one lies."""
    bounds = [0.0, thresholds.review, thresholds.block, 1.0]
    zones = pd.DataFrame({"from": bounds[:-1], "to": bounds[1:], "decision": DECISIONS})
    # Close bounds are written all the same: where review begins is what people look for.
    axis = alt.Axis(values=bounds[1:], format=".2f", labelOverlap=False)
    x = alt.X("from:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=axis)
    band = (
        alt.Chart(zones)
        .mark_bar(height=16, opacity=0.85)
        .encode(x=x, x2="to:Q", color=alt.Color("decision:N", scale=_DECISION_COLOURS, legend=None), tooltip="decision")
    )
    mark = pd.DataFrame({"from": [value], "text": [score(value)]})
    tick = alt.Chart(mark).mark_point(
        shape="triangle-down", size=170, filled=True, fill="#1d2733", stroke="#ffffff", strokeWidth=1, opacity=1
    )
    return alt.layer(band, tick.encode(x=x)).properties(height=58)


def score_curve(frame: pd.DataFrame, now: float, thresholds: ThresholdPair, title: str, *, log: bool) -> Picture:
    """How the score moves with one field (columns ``value`` and ``score``), and where the transaction is."""
    scale = alt.Scale(type="symlog", constant=10, nice=False) if log else alt.Scale(nice=False)
    axis = alt.Axis(values=decades(float(frame["value"].max()))[2:], grid=False) if log else alt.Axis(grid=False)
    x = alt.X("value:Q", title=title, scale=scale, axis=axis)
    y = alt.Y("score:Q", title=None, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=3))
    line = alt.Chart(frame).mark_line(color=LEGITIMATE, strokeWidth=2).encode(x=x, y=y, tooltip=["value", "score"])
    limits = pd.DataFrame({"score": [thresholds.review, thresholds.block], "decision": ["review", "block"]})
    rules = (
        alt.Chart(limits)
        .mark_rule(strokeDash=[4, 3], opacity=0.8)
        .encode(y="score:Q", color=alt.Color("decision:N", scale=_DECISION_COLOURS, legend=None))
    )
    here = alt.Chart(pd.DataFrame({"value": [now]})).mark_rule(color=INK, strokeWidth=1.5).encode(x=x)
    return alt.layer(rules, here, line).properties(height=150)


def score_histogram(scores: Sequence[float], decisions: Sequence[str]) -> Picture:
    """How many have which score, in twenty bins, coloured by decision; counts on a scale that shows single ones."""
    edges = np.linspace(0, 1, 21)
    bins = np.clip(np.digitize(np.asarray(scores, dtype=np.float64), edges) - 1, 0, 19)
    counted = pd.DataFrame({"bin": bins, "decision": list(decisions)}).value_counts().rename("rows").reset_index()
    counted["low"], counted["high"] = edges[counted["bin"]], edges[counted["bin"] + 1]
    counted = counted.sort_values(
        ["bin", "decision"], key=lambda column: column.map(_PLACES) if column.name == "decision" else column
    )
    # Stacked by hand: Vega stacks no logarithms.
    counted["top"] = counted.groupby("bin")["rows"].cumsum()
    counted["base"] = counted["top"] - counted["rows"]
    picture: Picture = (
        alt.Chart(counted)
        .mark_rect(stroke=None)
        .encode(
            x=alt.X("low:Q", title="score", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=10, grid=False)),
            x2="high:Q",
            y=alt.Y(
                "base:Q",
                title="transactions",
                scale=alt.Scale(type="symlog"),
                axis=alt.Axis(values=decades(float(counted["top"].max())), format=",.0f", labelOverlap=False),
            ),
            y2="top:Q",
            color=alt.Color("decision:N", scale=_DECISION_COLOURS, title=None, legend=alt.Legend(orient="top")),
            tooltip=["decision", alt.Tooltip("low", format=".2f"), alt.Tooltip("high", format=".2f"), "rows"],
        )
        .properties(height=300)
    )
    return picture


def stacked_decisions(frame: pd.DataFrame) -> Picture:
    """Transactions a second by decision; columns ``time`` and one a decision."""
    tall = drawn(frame.melt("time", list(DECISIONS), "decision", "a second"))
    tall["place"] = tall["decision"].map(_PLACES)
    picture: Picture = (
        alt.Chart(tall)
        .mark_area(opacity=0.85)
        .encode(
            x=alt.X("time:T", title=None),
            y=alt.Y(
                "a second:Q", stack="zero", title="transactions a second", axis=alt.Axis(format=",.4~g", tickCount=4)
            ),
            color=alt.Color("decision:N", scale=_DECISION_COLOURS, title=None, legend=alt.Legend(orient="top")),
            order="place:Q",
            tooltip=["time:T", "decision:N", alt.Tooltip("a second:Q", format=".1f")],
        )
        .properties(height=230)
    )
    return picture


def lines(frame: pd.DataFrame, columns: dict[str, str], title: str, *, x: str = "time:T", form: str = ".1f") -> Picture:
    """Lines over time, or over another column; ``columns`` maps those of the frame to their names in the legend."""
    tall = frame.rename(columns=columns).melt(x.partition(":")[0], list(columns.values()), "series", "value")
    picture: Picture = (
        alt.Chart(drawn(tall) if x.startswith("time:") else tall)
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X(x, title=None),
            y=alt.Y("value:Q", title=title, axis=alt.Axis(format=",.4~g", tickCount=4)),
            color=alt.Color(
                "series:N",
                scale=alt.Scale(domain=list(columns.values()), range=list(SERIES[: len(columns)])),
                title=None,
                legend=alt.Legend(orient="top"),
            ),
            tooltip=[x, "series:N", alt.Tooltip("value:Q", format=form)],
        )
        .properties(height=230)
    )
    return picture
