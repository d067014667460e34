"""What went wrong, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import streamlit as st

from bentos.core.errors import (
    ConfigError,
    Conflict,
    Expired,
    FraudError,
    InvalidInput,
    NotAllowed,
    NotFound,
    Overloaded,
    RegistryError,
    Unauthenticated,
    Unavailable,
)
from dashboard.words import plain

__all__ = ["Trouble", "show_trouble", "trouble_of", "troubles_shown"]

#: The most special kind first: title and what to do.
_ADVICE: Final[tuple[tuple[type[FraudError], str, str], ...]] = (
    (InvalidInput, "This cannot be used", ""),
    (NotFound, "Not there", ""),
    (Conflict, "Not now", ""),
    (Expired, "No longer kept", ""),
    (
        Unauthenticated,
        "The service does not know this dashboard",
        "Set FRAUD_DASHBOARD_SERVICE_KEY to a key with the roles score and feedback, then start the dashboard again.",
    ),
    (
        NotAllowed,
        "The dashboard's key may not do this",
        "Make a key that has the role named above as well, and set it as FRAUD_DASHBOARD_SERVICE_KEY.",
    ),
    (Overloaded, "The service is busy", "Try again in a moment; this page does so by itself when it is touched."),
    (
        Unavailable,
        "The service does not answer",
        "Start it (make serve), or set FRAUD_DASHBOARD_SERVICE_URL to where it is. The other pages need it as well.",
    ),
    (RegistryError, "MLflow does not answer as it should", ""),
    (ConfigError, "A setting cannot be used", "Correct it and start the dashboard again."),
)


@dataclass(frozen=True)
class Trouble:
    """A failure as it is shown. Can be cached in the place of an answer.

    Parameters
    ----------
    title
        In a few words.
    detail
        What was answered.
    advice
        What to do; empty when the detail says it.
    gone
        Whether what was asked for does not exist, now or ever.
    """

    title: str
    detail: str
    advice: str = ""
    gone: bool = False


def trouble_of(error: FraudError) -> Trouble:
    """An error in words."""
    gone = isinstance(error, NotFound | Expired)
    for kind, title, advice in _ADVICE:
        if isinstance(error, kind):
            return Trouble(title, str(error), advice, gone)
    return Trouble("The service failed", str(error), "Look into its log for the request id named above.")


def show_trouble(trouble: Trouble) -> None:
    """Put an error box here."""
    text = f"**{trouble.title}.** {plain(trouble.detail)}"
    st.error(f"{text}\n\n{trouble.advice}" if trouble.advice else text, icon=":material/error:")


@contextmanager
def troubles_shown() -> Iterator[None]:
    """Show an error in the place where the block stands, and go on after it."""
    try:
        yield
    except FraudError as error:
        show_trouble(trouble_of(error))
