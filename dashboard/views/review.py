"""The review queue: flagged transactions, the most valuable first, labelled with one key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

import altair as alt
import pandas as pd
import streamlit as st

from bentos.core.errors import Conflict, FraudError
from bentos.core.records import KeptPrediction, LabelValue
from dashboard import reads
from dashboard.past import show_past
from dashboard.queue import Tally, at_stake, label_item, ordered, second_opinions, take_next
from dashboard.session import session
from dashboard.style import FRAUD, INK, LEGITIMATE, decision_line, page_title
from dashboard.troubles import Trouble, show_trouble, trouble_of
from dashboard.words import ago, amount, percent, plain, score

_FIRST: Final = "Not labelled yet"
_SECOND: Final = "Second opinion"
_DAYS: Final = {"today": 1, "7 days": 7, "30 days": 30, "all": 400}
#: Pages of 500 that are looked through: sorting by value needs them here.
_PAGES: Final = 4
_SHOWN: Final = 12


def page() -> None:
    """The page."""
    page_title("Review queue", "Flagged transactions, the most valuable first (score × amount).")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        kind = st.segmented_control("Queue", [_FIRST, _SECOND], default=_FIRST, required=True, key="queue_kind")
        span = st.segmented_control("Predicted within", list(_DAYS), default="7 days", required=True, key="queue_span")
    analyst = session().user.name
    if not analyst:
        st.info("Write your name into the side bar: it keeps others from your items, and stands with your labels.")
        st.stop()
    second = kind == _SECOND
    items = _queue(analyst, _DAYS[span or "7 days"], second)
    if isinstance(items, Trouble):
        show_trouble(items)
        return
    for kind_of, text in st.session_state.pop("review_messages", ()):
        st.toast(text, icon=":material/warning:" if kind_of == "warning" else ":material/check:")
    waiting = [item for item in items if item.transaction_id not in _passed()]
    _numbers(waiting)
    item = _current(waiting, analyst, second)
    if item is None:
        st.success("Nothing waits here.", icon=":material/done_all:")
        if _passed():
            st.button("Look again at what was skipped", on_click=_passed().clear)
        return
    _show(item, second)
    _rest([other for other in waiting if other.transaction_id != item.transaction_id], second)


def _queue(analyst: str, days: int, second: bool) -> list[KeptPrediction] | Trouble:
    # To the minute, so that reruns share what was read.
    since = (datetime.now(UTC) - timedelta(days=days)).replace(second=0, microsecond=0).isoformat()
    service = session().service
    if not second:
        filters = (("decision", "flagged"), ("label", "none"), ("since", since))
        found = reads.predictions(service, filters, _PAGES)
        return found if isinstance(found, Trouble) else ordered(found, analyst)
    both: list[KeptPrediction] = []
    for value in ("fraud", "legitimate"):
        found = reads.predictions(service, (("label", value), ("since", since)), _PAGES)
        if isinstance(found, Trouble):
            return found
        both += second_opinions(found, analyst)
    return ordered(both, analyst)


def _passed() -> set[str]:
    """What this session has labelled or skipped."""
    passed: set[str] = st.session_state.setdefault("review_passed", set())
    return passed


def _tally() -> Tally:
    tally: Tally = st.session_state.setdefault("review_tally", Tally())
    return tally


def _current(waiting: list[KeptPrediction], analyst: str, second: bool) -> KeptPrediction | None:
    """The item that is looked at, claimed. It stays until it is labelled or skipped, whatever comes above it."""
    held: tuple[KeptPrediction, str, bool] | None = st.session_state.get("review_item")
    if held is not None and held[1:] == (analyst, second):
        return held[0]
    try:
        item = take_next(session().service, waiting, analyst, _passed())
    except FraudError as error:
        show_trouble(trouble_of(error))
        st.stop()
    if item is None:
        return None
    st.session_state["review_item"] = (item, analyst, second)
    st.session_state["review_shown_at"] = datetime.now(UTC)
    return item


def _numbers(waiting: list[KeptPrediction]) -> None:
    tally = _tally()
    with st.container(horizontal=True):
        more = "+" if len(waiting) >= 500 * _PAGES else ""
        st.metric("Waiting", f"{len(waiting):,}{more}", border=True)
        st.metric("At stake", amount(sum(map(at_stake, waiting))), border=True, help="Sum of score × amount.")
        st.metric("Labelled by you", len(tally.labels), border=True, help="In this session.")
        typical = "–" if tally.median_seconds is None else f"{tally.median_seconds:.0f} s"
        st.metric("Time per item", typical, border=True, help="Median of this session.")
        st.metric("Were fraud", percent(tally.fraud_share, 0), border=True, help="Of your labels in this session.")
        second = "Of your second opinions, the share that agrees with the first label."
        st.metric("Agreement", percent(tally.agreement, 0), border=True, help=second)


def _show(item: KeptPrediction, second: bool) -> None:
    left, right = st.columns([5, 6], gap="large")
    with left, st.container(border=True):
        _facts(item)
        _reasons(item)
        _buttons(item, second)
    with right:
        st.markdown("**The customer's other transactions**")
        show_past(session().service, item.customer_id, without=item.transaction_id, height=330)


def _facts(item: KeptPrediction) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.metric("Amount", amount(item.amount), width="content")
        st.metric("Score", score(item.score), width="content")
        st.metric("At stake", amount(at_stake(item)), width="content")
        with st.container(width="content"):
            decision_line(item.decision)
    # Every word of a caller is escaped: merchants may be called anything.
    st.markdown(
        f"Customer **{plain(item.customer_id)}** at merchant **{plain(item.merchant_id)}**"
        f" ({plain(item.merchant_category)}), {item.timestamp:%A %-d %B %Y, %H:%M} on the customer's clock"
    )
    st.caption(
        f"{plain(item.transaction_id)} · predicted {ago(item.created_at, datetime.now(UTC))} by version"
        f" {plain(item.model.version)}"
        + (f" · defaults for {plain(', '.join(item.degraded))}" if item.degraded else "")
    )


def _reasons(item: KeptPrediction) -> None:
    if not item.reasons:
        st.caption("No reasons were kept with this prediction.")
        return
    frame = pd.DataFrame(
        {
            "reason": [reason.text for reason in item.reasons],
            "contribution": [reason.contribution for reason in item.reasons],
            "colour": [FRAUD if reason.contribution > 0 else LEGITIMATE for reason in item.reasons],
        }
    )
    # Room for the numbers beside the bars; the words stand above them, as long as they are.
    least, most = min(0.0, frame["contribution"].min()), max(0.0, frame["contribution"].max())
    room = 0.2 * (most - least)
    domain = [least - room * (least < 0), most + room * (most > 0)]
    base = alt.Chart(frame).encode(y=alt.Y("reason:N", sort=None, axis=None))
    x = alt.X("contribution:Q", axis=None, scale=alt.Scale(domain=domain))
    bars = base.mark_bar(height=12, yOffset=9, cornerRadius=2).encode(x=x, color=alt.Color("colour:N", scale=None))
    words = base.mark_text(align="left", dy=-9, fontSize=13, limit=460, color=INK).encode(
        x=alt.value(0), text="reason:N"
    )
    number = alt.Text("contribution:Q", format="+.3f")
    after = base.mark_text(align="left", dx=4, dy=9, color=INK).encode(x=x, text=number)
    before = base.mark_text(align="right", dx=-4, dy=9, color=INK).encode(x=x, text=number)
    signs = after.transform_filter("datum.contribution > 0"), before.transform_filter("datum.contribution <= 0")
    st.altair_chart(alt.layer(bars, words, *signs).properties(height=44 * len(frame) + 8), width="stretch")


def _buttons(item: KeptPrediction, second: bool) -> None:
    with st.container(horizontal=True):
        for value, key, text in (("fraud", "f", "Fraud"), ("legitimate", "l", "Legitimate")):
            st.button(
                text,
                key=f"label_{value}",
                type="primary" if value == "fraud" else "secondary",
                icon=":material/gpp_bad:" if value == "fraud" else ":material/verified_user:",
                shortcut=key,
                on_click=_label,
                args=(item, value, second),
            )
        st.button("Skip", key="skip", icon=":material/skip_next:", shortcut="s", on_click=_next, args=(item,))
    st.caption("Keys: f, l, s. The item is yours for five minutes; a label renews that and is on disk when it counts.")


def _next(item: KeptPrediction) -> None:
    _passed().add(item.transaction_id)
    st.session_state.pop("review_item", None)


def _label(item: KeptPrediction, value: LabelValue, second: bool) -> None:
    held = st.session_state.get("review_item")
    # A key that was pressed twice arrives for an item that is gone already.
    if held is None or held[0].transaction_id != item.transaction_id:
        return
    try:
        outcome = label_item(session().service, item, value, session().user.name, second=second)
    except Conflict as error:
        _say("warning", plain(str(error)))
    except FraudError as error:
        trouble = trouble_of(error)
        _say("warning", f"Not labelled. {plain(trouble.detail)}. {trouble.advice}")
        return
    else:
        _tally().add(outcome, st.session_state["review_shown_at"], second=second, clock=datetime.now)
        _say("done", f"{plain(item.transaction_id)}: {value}")
    _next(item)
    reads.predictions.clear()
    reads.history.clear()


def _say(kind: str, text: str) -> None:
    st.session_state.setdefault("review_messages", []).append((kind, text))


def _rest(waiting: list[KeptPrediction], second: bool) -> None:
    if not waiting:
        return
    st.markdown("**Next in the queue**")
    shown = waiting[:_SHOWN]
    frame = pd.DataFrame(
        {
            "at stake": [at_stake(item) for item in shown],
            "amount": [item.amount for item in shown],
            "score": [item.score for item in shown],
            "decision": [item.decision for item in shown],
            "customer": [item.customer_id for item in shown],
            "merchant": [item.merchant_id for item in shown],
            "first reason": [item.reasons[0].text if item.reasons else "" for item in shown],
        }
    )
    columns = {
        "at stake": st.column_config.NumberColumn(format="%.2f"),
        "amount": st.column_config.NumberColumn(format="%.2f"),
        "score": st.column_config.ProgressColumn(min_value=0, max_value=1, format="%.3f"),
    }
    st.dataframe(frame, hide_index=True, width="stretch", column_config=columns)
    if second:
        st.caption("The first label is not shown, so that it does not lead you.")


page()
