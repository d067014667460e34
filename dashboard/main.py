"""What a visit to the dashboard runs: settings, login, navigation, the page."""

from __future__ import annotations

import streamlit as st

from dashboard.access import User
from dashboard.session import begin

__all__: list[str] = []


def _pages(user: User) -> list[st.Page]:
    """Pages for a user. What has no backend has no page."""
    pages = [st.Page("views/overview.py", title="Overview", icon=":material/monitoring:", default=True)]
    if user.may("analyst", "scientist"):
        pages.append(st.Page("views/score.py", title="Score", icon=":material/bolt:", url_path="score"))
    if user.may("analyst"):
        pages.append(st.Page("views/review.py", title="Review queue", icon=":material/rule:", url_path="review"))
    if user.may("analyst", "scientist"):
        pages.append(st.Page("views/batch.py", title="Batch", icon=":material/table_view:", url_path="batch"))
    if user.may("scientist", "operator"):
        pages.append(st.Page("views/models.py", title="Models", icon=":material/model_training:", url_path="models"))
    if user.may("scientist", "operator"):
        pages.append(st.Page("views/rollout.py", title="Rollout", icon=":material/swap_horiz:", url_path="rollout"))
        pages.append(st.Page("views/drift.py", title="Drift", icon=":material/trending_up:", url_path="drift"))
    return pages


def _main() -> None:
    st.set_page_config(page_title="Fraud platform", page_icon=":material/shield:", layout="wide")
    user = begin().user
    if not user.roles:
        st.warning(
            "You are logged in, and have none of the roles analyst, scientist and operator. Ask who keeps the users for"
            " one of them, then log in again.",
            icon=":material/lock:",
        )
        st.stop()
    st.navigation(_pages(user)).run()


_main()
