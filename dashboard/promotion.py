"""Promotion of a version, as the models page shows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
import streamlit as st

from bentos.core.errors import FraudError
from dashboard.registry import ModelVersion, promote
from dashboard.session import session
from dashboard.troubles import Trouble, show_trouble, trouble_of
from dashboard.words import plain

__all__ = ["show_promotion", "version_name"]


def version_name(version: ModelVersion) -> str:
    """A version with its aliases, in words."""
    return f"version {version.number}" + (f" ({', '.join(version.aliases)})" if version.aliases else "")


def show_promotion(versions: Sequence[ModelVersion], forget: Callable[[], None]) -> None:
    """Show what can be promoted, and what became of the last promotion.

    Parameters
    ----------
    versions
        Registered ones.
    forget
        Called when the registry was changed.
    """
    outcome = st.session_state.pop("promotion", None)
    if isinstance(outcome, Trouble):
        show_trouble(outcome)
    elif outcome is not None:
        number, findings = outcome
        st.success(
            f"Version {plain(number)} is champion. Servers take it when they start anew.", icon=":material/trophy:"
        )
        if findings:
            st.dataframe(pd.DataFrame(findings), hide_index=True, width="stretch")
    if not session().user.may("operator"):
        st.info("Promoting needs the role operator.", icon=":material/lock:")
        return
    others = [item for item in versions if "champion" not in item.aliases]
    if not others:
        st.info("The champion is the only version.", icon=":material/trophy:")
        return
    version = st.selectbox("Version", others, format_func=version_name, key="promoted")
    st.caption(
        "The rule compares it with the champion on its held-out transactions: average precision, Brier score,"
        " calibration, overfitting, feature schema. Nothing is promoted against the rule unless you say so."
    )
    if st.button("Promote …", icon=":material/trophy:", type="primary"):
        _confirm(version, forget)


@st.dialog("Promote to champion")
def _confirm(version: ModelVersion, forget: Callable[[], None]) -> None:
    st.markdown(
        f"**{plain(version_name(version)).capitalize()}** becomes champion. What is asked for here is kept with it."
    )
    reason = st.text_area("Reason", key="promotion_reason", max_chars=1000, placeholder="why now, and who agreed")
    force = st.checkbox("Promote against the rule", key="promotion_force")
    ready = bool(reason.strip())
    if st.button("Promote", type="primary", disabled=not ready, key="promotion_go"):
        who = session().user.name or "the dashboard"
        with st.spinner("Comparing with the champion"):
            try:
                findings = promote(session().settings, version.number, f"{reason.strip()} ({who})", force=force)
                st.session_state["promotion"] = (version.number, findings)
            except FraudError as error:
                st.session_state["promotion"] = trouble_of(error)
        forget()
        st.rerun()
    if not ready:
        st.caption("Write a reason first.")
