"""Paired scores of the shadow, as the rollout page shows them."""

from __future__ import annotations

import streamlit as st

from dashboard import reads
from dashboard.pair_charts import differences, side_scores
from dashboard.pairs import Pairs, pairs_of
from dashboard.service import Service
from dashboard.troubles import Trouble, show_trouble
from dashboard.words import percent, plain

__all__ = ["show_pairs"]


def show_pairs(service: Service, pause_seconds: float) -> None:
    """Show what champion and challenger said of the same transactions.

    Parameters
    ----------
    service
        The champion's.
    pause_seconds
        Between two scrapes of it at least.
    """
    st.markdown("#### Paired scores")
    scrapes = reads.scrapes(service, pause_seconds)
    if isinstance(scrapes, Trouble):
        show_trouble(scrapes)
        return
    found = pairs_of(scrapes[-1])
    if not found:
        st.info(
            "No challenger is in the shadow of this service. Start one with FRAUD_ROLE=challenger and another artifact,"
            " and the champion with FRAUD_SHADOW_URL=grpc://…: docs/shadow.md. `make demo` does both.",
            icon=":material/visibility_off:",
        )
        return
    for pairs in found:
        _one(pairs)


def _one(pairs: Pairs) -> None:
    flagged = {
        "champion": int(pairs.decisions.loc[["review", "block"]].to_numpy().sum()),
        "challenger": int(pairs.decisions[["review", "block"]].to_numpy().sum()),
    }
    numbers = (
        ("Pairs", f"{pairs.count:,}"),
        ("Same decision", percent(pairs.agreement)),
        ("Champion's alerts", f"{flagged['champion']:,}"),
        ("Challenger's alerts", f"{flagged['challenger']:,}"),
        ("Copies dropped", f"{sum(pairs.dropped.values()):,}"),
    )
    for column, (label, value) in zip(st.columns(len(numbers)), numbers, strict=True):
        column.metric(label, value, border=True)
    left, right = st.columns(2, gap="large")
    left.altair_chart(side_scores(pairs.scores), width="stretch")
    right.altair_chart(differences(pairs.differences), width="stretch")
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Decisions**: champion's down, challenger's across")
        table = pairs.decisions.rename_axis("champion").reset_index()
        st.dataframe(table, hide_index=True, width="stretch")
    with right:
        st.markdown("**Labelled pairs**, at each side's own thresholds")
        if pairs.labelled["pairs"].sum():
            st.dataframe(_quality(pairs), hide_index=True, width="stretch")
        else:
            st.info("Labels of pairs are counted every minute; none has come in yet.", icon=":material/label:")
    dropped = "; ".join(f"{plain(reason)} {count:,}" for reason, count in pairs.dropped.items())
    st.caption(
        f"Champion version {plain(pairs.champion)}, challenger version {plain(pairs.challenger)}, since the server"
        f" started.{f' Dropped: {dropped}.' if dropped else ''}"
    )


def _quality(pairs: Pairs) -> list[dict[str, str | int]]:
    sides = {side: pairs.quality(side) for side in ("champion", "challenger")}
    return [
        {
            "side": side,
            "labelled alerts": found.alerts,
            "precision": percent(found.precision),
            "frauds": found.frauds,
            "recall": percent(found.recall),
        }
        for side, found in sides.items()
    ]
