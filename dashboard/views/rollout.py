"""Rollout: how far the challenger is, what the gates say, what it would have said."""

from __future__ import annotations

from dashboard.session import session
from dashboard.shadow import show_pairs
from dashboard.style import page_title
from dashboard.troubles import troubles_shown


def page() -> None:
    """The page."""
    page_title("Rollout", "From champion to challenger: stage, weight, gates, and paired scores.")
    here = session()
    show_pairs(here.service, here.settings.dashboard_refresh_seconds / 2)


with troubles_shown():
    page()
