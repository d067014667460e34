"""The charts of paired scores."""

from __future__ import annotations

import altair as alt
import pandas as pd

from dashboard.charts import Picture
from dashboard.style import FRAUD, LEGITIMATE, NEUTRAL, SERIES

__all__ = ["differences", "side_scores"]


def side_scores(frame: pd.DataFrame) -> Picture:
    """Scores of both sides over the same transactions; see :class:`dashboard.pairs.Pairs`."""
    # Cumulative, so that bins of unequal width compare; most scores are small, hence the root.
    tall = frame.assign(under=frame.groupby("side")["share"].cumsum())
    picture: Picture = (
        alt.Chart(tall)
        .mark_line(interpolate="step-before", strokeWidth=2)
        .encode(
            x=alt.X("high:Q", title="score", scale=alt.Scale(type="sqrt", domain=[0, 1]), axis=alt.Axis(tickCount=6)),
            y=alt.Y("under:Q", title="share of scores at or under", axis=alt.Axis(format=".0%", tickCount=5)),
            color=alt.Color(
                "side:N",
                scale=alt.Scale(domain=["champion", "challenger"], range=list(SERIES[:2])),
                title=None,
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["side:N", alt.Tooltip("high:Q", title="score"), alt.Tooltip("under:Q", format=".2%")],
        )
        .properties(height=340)
    )
    return picture


def differences(frame: pd.DataFrame) -> Picture:
    """Pairs by how much the challenger's score lies over the champion's."""
    shown = frame.assign(
        bin=[f"{low:+g} … {high:+g}" for low, high in zip(frame["low"], frame["high"], strict=True)],
        colour=[NEUTRAL if low < 0 <= high else FRAUD if low >= 0 else LEGITIMATE for low, high in _ends(frame)],
    )
    picture: Picture = (
        alt.Chart(shown)
        .mark_bar(cornerRadius=1)
        .encode(
            x=alt.X(
                "bin:N", sort=shown["bin"].tolist(), title="challenger minus champion", axis=alt.Axis(labelAngle=-45)
            ),
            y=alt.Y("pairs:Q", title="pairs", scale=alt.Scale(type="sqrt"), axis=alt.Axis(tickCount=5)),
            color=alt.Color("colour:N", scale=None),
            tooltip=["bin:N", alt.Tooltip("pairs:Q", format=",")],
        )
        .properties(height=340)
    )
    return picture


def _ends(frame: pd.DataFrame) -> list[tuple[float, float]]:
    return list(zip(frame["low"], frame["high"], strict=True))
