"""Drift: are payments as in training, since when not, and what does it do to the score."""

from __future__ import annotations

from typing import Final

import pandas as pd
import streamlit as st

from bentos.core.drift import DRIFT_WINDOWS, MERCHANT_CATEGORY, SCORE, DriftState, DriftWindow
from bentos.core.errors import FraudError
from dashboard import reads
from dashboard.drift import distributions, drifted, from_moments, from_prometheus, moved_the_score, table
from dashboard.drift_charts import effects, indices, side_by_side
from dashboard.session import session
from dashboard.style import page_title
from dashboard.troubles import Trouble, show_trouble, trouble_of, troubles_shown
from dashboard.words import plain

#: Of 500 predictions each.
_PAGES: Final = 4
_LINES: Final = 5
_EFFECTS: Final = 8


def page() -> None:
    """The page."""
    page_title("Drift", "Payments of the last hour, day and week against the rows of training.")
    here = session()
    state = reads.drift(here.service)
    if isinstance(state, Trouble):
        show_trouble(state)
        return
    if not state.counted:
        st.info("This service counts no drift: it runs with FRAUD_DRIFT=false.", icon=":material/info:")
        return
    window = st.segmented_control("Window", DRIFT_WINDOWS, default="hour", required=True, key="drift_window")
    _verdict(state, window)
    left, right = st.columns([6, 5], gap="large")
    with left:
        _table(state, window)
    with right:
        _over_time(state, window)
    _distributions(state, window)
    _moved(state)


def _verdict(state: DriftState, window: DriftWindow) -> None:
    rows = state.rows[window]
    who = f"{plain(state.model.name)} version {plain(state.model.version)}"
    if rows < state.minimum_rows:
        st.info(
            f"{rows:,} payments within the last {window}: an index needs {state.minimum_rows:,}, as fewer differ from"
            " training by chance. Distributions below are of these.",
            icon=":material/hourglass:",
        )
        return
    found = drifted(state, window)
    if not found:
        st.success(
            f"Nothing has drifted: {rows:,} payments of the last {window} are as those that {who} was trained on.",
            icon=":material/check_circle:",
        )
        return
    named = ", ".join(
        f"{plain(part.name)} ({part.windows[window].psi or 0:.2f}, limit {part.limit:.2f})" for part in found
    )
    st.warning(f"**Drifted: {named}.** {rows:,} payments of the last {window}.", icon=":material/trending_up:")


def _table(state: DriftState, window: DriftWindow) -> None:
    st.markdown("**Stability index (PSI)**")
    st.dataframe(
        table(state, window),
        hide_index=True,
        width="stretch",
        height=300,
        placeholder="–",
        column_config={
            "psi": st.column_config.NumberColumn("PSI", format="%.3f", width=60),
            "limit": st.column_config.NumberColumn(format="%.3f", width=60),
            "of limit": st.column_config.ProgressColumn(min_value=0, max_value=2, format="%.2f", width=110),
            "missing": st.column_config.NumberColumn(format="percent", width=70),
        },
    )
    about = "Beyond its limit a feature has drifted. Hour and weekday need a whole week, night a whole day."
    category = next((part for part in state.parts if part.name == MERCHANT_CATEGORY), None)
    if category is not None and category.windows[window].unseen is not None:
        about += f" {category.windows[window].unseen:.1%} of payments are of a category that training does not name."
    if category is None:
        about += (
            " Merchant categories are not counted: the model's artifact was made before training kept their shares;"
            " one that is trained anew has them."
        )
    st.caption(about)


@st.cache_data(ttl=30, max_entries=12, show_spinner=False)
def _prometheus(url: str, timeout_seconds: float, window: DriftWindow, _state: DriftState) -> pd.DataFrame | Trouble:
    try:
        return from_prometheus(url, timeout_seconds, _state, window)
    except FraudError as error:
        return trouble_of(error)


def _over_time(state: DriftState, window: DriftWindow) -> None:
    settings = session().settings
    st.markdown("**Over time**")
    if settings.dashboard_prometheus_url is None:
        frame: pd.DataFrame | Trouble = from_moments(state)
        source = (
            "As this one server counted since its start, a week at most. With FRAUD_DASHBOARD_PROMETHEUS_URL: all"
            " replicas, and as long as Prometheus keeps them."
        )
    else:
        frame = _prometheus(settings.dashboard_prometheus_url, settings.dashboard_timeout_seconds, window, state)
        source = "From Prometheus, the mean over all replicas."
    if isinstance(frame, Trouble):
        show_trouble(frame)
        return
    if frame.empty:
        st.info(
            f"A first point comes after {state.minimum_rows:,} payments. This server's counts begin with its start.",
            icon=":material/timeline:",
        )
        return
    highest = frame.drop(columns=["time", SCORE]).max().dropna().sort_values(ascending=False)
    st.altair_chart(indices(frame, [SCORE, *highest.index[: _LINES - 1]]), width="stretch")
    st.caption(source)


def _distributions(state: DriftState, window: DriftWindow) -> None:
    if not state.rows[window]:
        return
    parts = {part.name: part for part in state.parts}
    features = [str(name) for name in table(state, window)["feature"] if name != SCORE]
    left, right = st.columns(2, gap="large")
    with right:
        chosen = st.selectbox("Feature", features, key="drift_feature", help="The farthest from training first.")
        st.altair_chart(side_by_side(distributions(parts[chosen], window), chosen), width="stretch")
    with left:
        st.markdown("**Distributions side by side**")
        st.caption(
            "Bins hold about the same number of training rows each, so that training is nearly flat. Categories are"
            " compared with training at the same hours."
        )
        st.altair_chart(side_by_side(distributions(parts[SCORE], window), SCORE), width="stretch")


def _moved(state: DriftState) -> None:
    st.markdown("**What moved the score**")
    kept = reads.scored_rows(session().service, _PAGES)
    if isinstance(kept, Trouble):
        show_trouble(kept)
        return
    found = moved_the_score(state, kept)
    if found.empty:
        st.info(
            "Needs kept predictions with their feature rows (FRAUD_PREDICTION_LOG=all).", icon=":material/database:"
        )
        return
    beyond = found[found["effect"].abs() > 2 * found["error"]]
    unlike = [plain(str(name)) for name in found.loc[found["effect"].isna(), "feature"]]
    if unlike:
        st.warning(
            f"Hardly a payment is now as most were in training, so that nothing can be said of: {', '.join(unlike)}.",
            icon=":material/warning:",
        )
    if beyond.empty and len(unlike) < len(found):
        st.success("Nothing has moved the mean score by more than chance does.", icon=":material/check_circle:")
    elif not beyond.empty:
        st.altair_chart(effects(beyond.head(_EFFECTS)), width="stretch")
    st.caption(
        f"Over the newest {len(kept):,} kept predictions: by how much their mean score is higher than it would be if"
        " the feature were distributed as in training; the thin line is two standard errors to each side. Features"
        " that go together share an effect: they do not add up. What belongs to the clock is shown when these"
        " predictions cover a day, or a week."
    )


with troubles_shown():
    page()
