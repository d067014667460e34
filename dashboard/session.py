"""What every page begins with: settings, the service, the user."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from bentos.core.errors import ConfigError
from bentos.core.settings import load_settings
from dashboard.access import User, current_user, log_in_first
from dashboard.service import Service
from dashboard.settings import DashboardSettings
from dashboard.troubles import show_trouble, trouble_of

__all__ = ["Session", "begin", "opened_service", "session"]

_KEY = "dashboard_session"


@dataclass(frozen=True)
class Session:
    """What a run of a page works with."""

    settings: DashboardSettings
    service: Service
    user: User


@st.cache_resource(show_spinner=False, max_entries=4, on_release=Service.close)
def opened_service(url: str, key: str, timeout_seconds: float, _settings: DashboardSettings) -> Service:  # noqa: ARG001
    """The process's one client of a service; the first three arguments tell services apart."""
    return Service(_settings)


def begin() -> Session:
    """Read the settings, let the user log in, open the service. Stops the run when one of them cannot be."""
    try:
        settings = load_settings(DashboardSettings)
        key = settings.dashboard_service_key
        service = opened_service(
            settings.dashboard_service_url,
            "" if key is None else key.get_secret_value(),
            settings.dashboard_timeout_seconds,
            settings,
        )
        log_in_first(settings)
    except ConfigError as error:
        show_trouble(trouble_of(error))
        st.stop()
    started = Session(settings, service, current_user(settings))
    st.session_state[_KEY] = started
    return started


def session() -> Session:
    """What :func:`begin` made for this run."""
    started: Session = st.session_state[_KEY]
    return started
