"""The charts of the drift page."""

from __future__ import annotations

from collections.abc import Sequence

import altair as alt
import pandas as pd

from dashboard.charts import Picture, drawn
from dashboard.drift import OTHERS
from dashboard.style import FRAUD, INK, LEGITIMATE, NEUTRAL, SERIES

__all__ = ["effects", "indices", "side_by_side"]


def side_by_side(frame: pd.DataFrame, title: str) -> Picture:
    """Shares of the bins in training and now; see :func:`dashboard.drift.distributions`."""
    order = frame.sort_values("place")["bin"].unique().tolist()
    # Where a bin ends is enough under its bars; a category stands there as it is.
    ends = "indexof(datum.label, ' – ') < 0 ? datum.label : '≤ ' + split(datum.label, ' – ')[1]"
    axis = alt.Axis(
        labelAngle=-40, labelOverlap=False, labelLimit=110, labelExpr="datum.label" if OTHERS in order else ends
    )
    picture: Picture = (
        alt.Chart(frame)
        .mark_bar(cornerRadius=1)
        .encode(
            x=alt.X("bin:N", sort=order, title=None, axis=axis),
            xOffset=alt.XOffset("of:N", sort=["training", "now"]),
            y=alt.Y("share:Q", title="share", axis=alt.Axis(format=".0%", tickCount=4)),
            color=alt.Color(
                "of:N",
                scale=alt.Scale(domain=["training", "now"], range=[NEUTRAL, LEGITIMATE]),
                title=None,
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["of:N", "bin:N", alt.Tooltip("share:Q", format=".2%")],
        )
        .properties(height=360, title=alt.Title(title, anchor="start", fontSize=13))
    )
    return picture


def indices(frame: pd.DataFrame, names: Sequence[str]) -> Picture:
    """Indices over time as multiples of their limits, with a line at 1."""
    tall = drawn(frame.melt("time", list(names), "series", "value").dropna())
    tall["label"] = tall["value"].map("{:.2f} of its limit".format)
    base = alt.Chart(tall).encode(
        x=alt.X("time:T", title=None),
        y=alt.Y("value:Q", title="index, multiples of its limit", axis=alt.Axis(tickCount=5)),
        color=alt.Color(
            "series:N",
            scale=alt.Scale(domain=list(names), range=list(SERIES[: len(names)])),
            title=None,
            legend=alt.Legend(orient="bottom", columns=1, labelLimit=300),
        ),
        tooltip=["time:T", "series:N", "label:N"],
    )
    limit = alt.Chart(pd.DataFrame({"value": [1.0]})).mark_rule(strokeDash=[5, 4], color=INK).encode(y="value:Q")
    # Points as well: a single moment has no line.
    return alt.layer(limit, base.mark_line(strokeWidth=2), base.mark_circle(size=28)).properties(height=380)


def effects(frame: pd.DataFrame) -> Picture:
    """What each feature's drift did to the mean score; see :func:`dashboard.drift.moved_the_score`."""
    shown = frame.assign(
        colour=[FRAUD if value > 0 else LEGITIMATE for value in frame["effect"]],
        low=frame["effect"] - 2 * frame["error"],
        high=frame["effect"] + 2 * frame["error"],
    )
    y = alt.Y("feature:N", sort=shown["feature"].tolist(), title=None, axis=alt.Axis(labelLimit=260))
    base = alt.Chart(shown, height=30 * len(shown) + 40)
    bars = base.mark_bar(height=16, cornerRadius=2).encode(
        x=alt.X("effect:Q", title="change of the mean score", axis=alt.Axis(tickCount=5, format="+.3~f")),
        y=y,
        color=alt.Color("colour:N", scale=None),
        tooltip=["feature:N", alt.Tooltip("effect:Q", format="+.5f"), alt.Tooltip("error:Q", format=".5f")],
    )
    spans = base.mark_rule(color=INK, strokeWidth=2).encode(x="low:Q", x2="high:Q", y=y)
    return alt.layer(bars, spans)
