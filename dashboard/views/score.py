"""Score one transaction: decision, reasons, feature row, and what would move it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final
from uuid import uuid4

import pandas as pd
import streamlit as st
from pydantic import ValidationError

from bentos.core.answers import Explanation
from bentos.core.errors import InvalidInput
from bentos.core.features import FEATURES
from bentos.core.transaction import MAXIMUM_AMOUNT, Transaction, field_errors
from dashboard import reads
from dashboard.charts import score_curve, score_scale, waterfall
from dashboard.examples import EXAMPLES
from dashboard.past import show_past
from dashboard.session import session
from dashboard.style import decision_line, page_title
from dashboard.troubles import Trouble, show_trouble, trouble_of, troubles_shown
from dashboard.what_if import at_distance, at_hour, distance_km, varied
from dashboard.words import plain, score

_PLACES: Final = ("customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude")
_CURVES: Final = {"amount": "amount", "hour": "hour", "distance": "km apart"}


def page() -> None:
    """The page."""
    page_title("Score", "One transaction: its score, why, and what would change it.")
    form, result = st.columns([4, 7], gap="large")
    with form:
        _form()
    with result:
        if "scored" in st.session_state:
            _result(Transaction.model_validate_json(st.session_state["scored"]))


def _form() -> None:
    if "form_customer_id" not in st.session_state:
        _fill(next(iter(EXAMPLES)))
    st.selectbox(
        "Example", list(EXAMPLES), key="form_example", on_change=lambda: _fill(st.session_state["form_example"])
    )
    with st.form("transaction", border=True):
        left, right = st.columns(2)
        left.text_input("Customer", key="form_customer_id", max_chars=128)
        right.text_input("Merchant", key="form_merchant_id", max_chars=128)
        left.text_input("Merchant's category", key="form_merchant_category", max_chars=128)
        right.number_input("Amount", key="form_amount", min_value=0.0, max_value=MAXIMUM_AMOUNT, format="%.2f")
        left.date_input("Day", key="form_day")
        right.time_input("Time there", key="form_time", step=60)
        left.number_input("UTC offset, h", key="form_offset", min_value=-12.0, max_value=14.0, step=0.5, format="%.1f")
        right.text_input("Transaction id", key="form_transaction_id", max_chars=128, placeholder="made if empty")
        with st.expander("Places", expanded=False):
            left, right = st.columns(2)
            for column, name in zip((left, left, right, right), _PLACES, strict=True):
                label = name.replace("_", " ").capitalize()
                column.number_input(label, key=f"form_{name}", value=None, format="%.5f", step=0.01)
        st.toggle(
            "Record it",
            key="form_record",
            help="It becomes part of the customer's history, and is kept for the review queue. Off: only asked.",
        )
        if st.form_submit_button("Score", type="primary", icon=":material/bolt:", width="stretch"):
            _submit()


def _fill(name: str) -> None:
    fields = EXAMPLES[name]
    moment = datetime.fromisoformat(fields["timestamp"])
    offset = moment.utcoffset() or timedelta()
    values: dict[str, Any] = {
        "customer_id": fields["customer_id"],
        "merchant_id": fields["merchant_id"],
        "merchant_category": fields["merchant_category"],
        "amount": fields["amount"],
        "day": moment.date(),
        "time": moment.time(),
        "offset": offset.total_seconds() / 3600,
        "transaction_id": "",
        **{place: fields.get(place) for place in _PLACES},
    }
    for field, value in values.items():
        st.session_state[f"form_{field}"] = value
    # An example is answered at once. Nothing is recorded by looking at it.
    _keep(Transaction.model_validate({**fields, "transaction_id": uuid4().hex}), recorded=False)


def _keep(transaction: Transaction, *, recorded: bool) -> None:
    st.session_state["scored"] = transaction.model_dump_json(exclude_none=True)
    st.session_state["scored_recorded"] = recorded


def _submit() -> None:
    given = {
        str(name).removeprefix("form_"): value
        for name, value in st.session_state.items()
        if str(name).startswith("form_")
    }
    zone = timezone(timedelta(hours=given["offset"]))
    try:
        transaction = Transaction(
            transaction_id=given["transaction_id"].strip() or uuid4().hex,
            customer_id=given["customer_id"],
            merchant_id=given["merchant_id"],
            merchant_category=given["merchant_category"] or "unknown",
            amount=given["amount"],
            timestamp=datetime.combine(given["day"], given["time"], zone),
            **{place: given[place] for place in _PLACES},
        )
    except ValidationError as error:
        show_trouble(trouble_of(InvalidInput(field_errors(error))))
        return
    with troubles_shown():
        if given["record"]:
            session().service.client.predict(transaction, explain="all", record=True)
            reads.predictions.clear()
            reads.history.clear()
        _keep(transaction, recorded=given["record"])


def _result(transaction: Transaction) -> None:
    service = session().service
    explanation = reads.explanation(service, transaction.model_dump_json(exclude_none=True))
    if isinstance(explanation, Trouble):
        show_trouble(explanation)
        return
    _verdict(transaction, explanation)
    reasons, what_if, row, past = st.tabs(["Reasons", "What if", "Feature row", "Customer's past"])
    with reasons:
        st.altair_chart(waterfall(explanation), width="stretch")
        st.caption(
            "Each bar adds its part to the raw score: red towards fraud, blue away from it. The score is the raw score,"
            " calibrated to a probability."
        )
    with what_if:
        _what_if(transaction, explanation)
    with row:
        st.dataframe(_row(explanation), hide_index=True, width="stretch", height=560)
    with past:
        show_past(service, transaction.customer_id)


def _verdict(transaction: Transaction, explanation: Explanation) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.metric("Score", score(explanation.score), width="content")
        with st.container(width="content"):
            decision_line(explanation.decision)
        review, block = explanation.thresholds.review, explanation.thresholds.block
        with st.container():
            st.altair_chart(score_scale(explanation.score, explanation.thresholds), width="stretch")
    kept = "recorded" if st.session_state.get("scored_recorded") else "not recorded"
    st.caption(
        f"Reviewed from {review:.3f} on, blocked from {block:.3f} on · {plain(explanation.model.name)} version"
        f" {plain(explanation.model.version)} · {kept} as {plain(str(transaction.transaction_id))}"
    )
    if explanation.degraded:
        st.warning(
            f"Made with defaults instead of: {plain(', '.join(explanation.degraded))}. The overview says what is down.",
            icon=":material/warning:",
        )


def _row(explanation: Explanation) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "feature": [feature.name for feature in FEATURES],
            "value": [explanation.features[feature.name] for feature in FEATURES],
            "unit": [feature.unit for feature in FEATURES],
            "contribution": [round(explanation.contributions[feature.name], 4) for feature in FEATURES],
            "in words": [feature.reason_text(explanation.features[feature.name]) for feature in FEATURES],
            "meaning": [feature.description for feature in FEATURES],
        }
    )


@st.fragment
def _what_if(transaction: Transaction, explanation: Explanation) -> None:
    moved = _sliders(transaction)
    service = session().service
    answer = reads.explanation(service, moved.model_dump_json(exclude_none=True))
    if isinstance(answer, Trouble):
        show_trouble(answer)
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        change = answer.score - explanation.score
        delta = f"{change:+.3f}" if abs(change) >= 0.0005 else None
        st.metric("Score, moved", score(answer.score), delta=delta, delta_color="inverse", width="content")
        with st.container(width="content"):
            decision_line(answer.decision)
        with st.container():
            st.altair_chart(score_scale(answer.score, answer.thresholds), width="stretch")
    variants = varied(moved)
    rows = tuple(row.model_dump_json(exclude_none=True) for values in variants.values() for _, row in values)
    scores = reads.scores(service, rows)
    if isinstance(scores, Trouble):
        show_trouble(scores)
        return
    now = {"amount": moved.amount, "hour": float(moved.timestamp.hour), "distance": distance_km(moved) or 0.0}
    left = iter(scores)
    for column, (field, values) in zip(st.columns(len(variants)), variants.items(), strict=True):
        frame = pd.DataFrame({"value": [value for value, _ in values], "score": [next(left) for _ in values]})
        log = field != "hour"
        chart = score_curve(frame.dropna(), now[field], answer.thresholds, _CURVES[field], log=log)
        column.altair_chart(chart, width="stretch")
    st.caption("Nothing here is recorded. Dashed: where review and block begin. The upright line: the transaction.")


def _sliders(transaction: Transaction) -> Transaction:
    first, second, third = st.columns(3)
    name = transaction.transaction_id  # new sliders for each transaction, at its own values
    top = max(2000.0, 3 * transaction.amount)
    amount = first.slider("Amount", 0.0, min(MAXIMUM_AMOUNT, top), transaction.amount, key=f"amount_{name}")
    hour = second.slider("Hour", 0, 23, transaction.timestamp.hour, key=f"hour_{name}")
    moved = transaction.model_copy(update={"amount": amount})
    if hour != transaction.timestamp.hour:
        moved = at_hour(moved, hour)
    distance = distance_km(transaction)
    if distance is None:
        third.caption("Distance: fill in both places to move it.")
        return moved
    here = min(5000, round(distance))
    kilometres = third.slider("Distance, km", 0, 5000, here, key=f"distance_{name}")
    return moved if kilometres == here else at_distance(moved, kilometres)


page()
