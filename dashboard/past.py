"""A customer's recent transactions, as score and review show them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import altair as alt
import pandas as pd
import streamlit as st

from bentos.core.records import KeptPrediction
from dashboard import reads
from dashboard.charts import decades
from dashboard.service import Service
from dashboard.style import COLOURS, DECISIONS
from dashboard.troubles import Trouble, show_trouble

__all__ = ["as_table", "show_past"]


def show_past(service: Service, customer_id: str, *, without: str | None = None, height: int = 250) -> None:
    """Show what is kept of a customer: amounts over time, and the rows.

    Parameters
    ----------
    service
        To be asked.
    customer_id
        The customer.
    without
        A transaction that is shown elsewhere.
    height
        Of the table, in pixels.
    """
    found = reads.history(service, customer_id)
    if isinstance(found, Trouble):
        show_trouble(found)
        return
    events = [event for event in found.events if event.transaction_id != without]
    if not events:
        st.info(
            "No other transaction of this customer is kept. The feature row may still know older ones: the record of"
            " predictions begins when the service first ran.",
            icon=":material/history:",
        )
        return
    table = as_table(events)
    chart = (
        alt.Chart(table)
        .mark_circle(size=70, opacity=0.9)
        .encode(
            x=alt.X("time:T", title=None),
            y=alt.Y(
                "amount:Q",
                title="amount",
                scale=alt.Scale(type="symlog"),
                axis=alt.Axis(values=decades(float(table["amount"].max())), format=",.0f", labelOverlap="greedy"),
            ),
            color=alt.Color(
                "decision:N",
                scale=alt.Scale(domain=list(DECISIONS), range=[COLOURS[name] for name in DECISIONS]),
                title=None,
                legend=alt.Legend(orient="top"),
            ),
            tooltip=["time:T", "amount:Q", "merchant:N", "category:N", alt.Tooltip("score:Q", format=".3f"), "label:N"],
        )
        .properties(height=210)
    )
    st.altair_chart(chart, width="stretch")
    st.dataframe(table, hide_index=True, width="stretch", height=min(height, 38 + 35 * len(table)))


def as_table(events: Sequence[KeptPrediction]) -> pd.DataFrame:
    """Kept predictions as a table for people. Cells are shown as text, whatever they hold."""
    return pd.DataFrame(
        {
            "time": [_clock(event.timestamp) for event in events],
            "amount": [event.amount for event in events],
            "merchant": [event.merchant_id for event in events],
            "category": [event.merchant_category for event in events],
            "score": [round(event.score, 4) for event in events],
            "decision": [event.decision for event in events],
            "label": [event.label.label if event.label else "" for event in events],
        }
    )


def _clock(moment: datetime) -> datetime:
    # The customer's own clock, which a chart or table would otherwise move to the reader's zone.
    return moment.replace(tzinfo=None)
