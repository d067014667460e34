"""Who looks, and what they may do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from bentos.core.errors import ConfigError
from dashboard.settings import ROLES, DashboardSettings, Role

__all__ = ["User", "claimed_roles", "current_user", "log_in_first", "login_ended"]

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class User:
    """Who looks.

    Parameters
    ----------
    name
        Names the person in claims and labels; empty as long as nobody said it.
    roles
        What they are.
    """

    name: str
    roles: frozenset[Role]

    def may(self, *roles: Role) -> bool:
        """Whether they have one of these roles."""
        return not self.roles.isdisjoint(roles)


def claimed_roles(claims: Mapping[str, Any], path: str) -> frozenset[Role]:
    """The dashboard's roles among those of a token: a list or words; dots of the path lead into objects."""
    value: Any = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    named = value.split() if isinstance(value, str) else value if isinstance(value, list | tuple) else ()
    return frozenset(role for role in ROLES if role in named)


def login_ended(claims: Mapping[str, Any], hours: float, now: float) -> bool:
    """Whether a login is older than it may get.

    Streamlit's own cookie lives for thirty days, and the token's ``exp`` says how long it may be shown to others, which
    is some minutes: neither is how long somebody stays at a desk.

    Parameters
    ----------
    claims
        Of the token; one without ``iat``, which OpenID Connect asks for, has ended.
    hours
        How long a login lasts.
    now
        Seconds since 1970.
    """
    issued = claims.get("iat")
    return not isinstance(issued, int | float) or now - issued > 3600 * hours


def log_in_first(settings: DashboardSettings) -> None:
    """Stop the page with a button to log in, when login is asked for and has not happened or has ended.

    Raises
    ------
    ConfigError
        When nobody is asked to log in and other machines reach the dashboard, without the setting that allows it.
    """
    if not settings.dashboard_login:
        address = st.get_option("server.address")
        if address not in _LOOPBACK and not settings.dashboard_allow_unauthenticated:
            raise ConfigError(
                f"other machines reach this dashboard (it listens on {address or 'every address'}), and nobody is asked"
                " to log in: set FRAUD_DASHBOARD_LOGIN=true, or --server.address 127.0.0.1, or"
                " FRAUD_DASHBOARD_ALLOW_UNAUTHENTICATED=true when something else guards the network"
            )
        return
    ended = st.user.is_logged_in and login_ended(st.user.to_dict(), settings.dashboard_login_hours, time.time())
    if st.user.is_logged_in and not ended:
        return
    st.title("Fraud platform")
    if ended:
        st.warning(
            f"Your login has ended after {settings.dashboard_login_hours:g} hours. Labels and jobs are kept.",
            icon=":material/lock_clock:",
        )
    st.write("Log in to go on.")
    st.button("Log in", type="primary", on_click=st.login, icon=":material/login:")
    st.stop()


def current_user(settings: DashboardSettings) -> User:
    """Who looks at this session, with their name in the side bar."""
    if settings.dashboard_login:
        claims = st.user.to_dict()
        name = str(claims.get("email") or claims.get("preferred_username") or claims.get("sub") or "")
        with st.sidebar:
            st.caption("Logged in as")
            st.text(name)
            st.button("Log out", on_click=st.logout, icon=":material/logout:")
        return User(name[:128], claimed_roles(claims, settings.dashboard_roles_claim))
    # A name in the address survives a reload, and lets a bookmark say who one is.
    if "analyst" not in st.session_state:
        st.session_state["analyst"] = st.query_params.get("analyst", "")
    name = st.sidebar.text_input(
        "Your name", key="analyst", max_chars=128, placeholder="ann", help="Stands beside your claims and labels."
    ).strip()
    if name:
        st.query_params["analyst"] = name
    return User(name, settings.dashboard_roles)
