"""Colours and marks that mean the same on every page."""

from __future__ import annotations

from html import escape
from typing import Final, Literal, TypeAlias

import streamlit as st

from bentos.core.answers import Decision

__all__ = ["COLOURS", "DECISIONS", "FRAUD", "INK", "LEGITIMATE", "NEUTRAL", "SERIES", "decision_line", "page_title"]

#: Told apart with red-green blindness as well: they differ in lightness.
COLOURS: Final[dict[Decision, str]] = {"approve": "#3f9b77", "review": "#e3a72f", "block": "#c8453f"}
DECISIONS: Final[tuple[Decision, ...]] = ("approve", "review", "block")
#: Towards fraud and away from it, in explanations and for labels.
FRAUD: Final = COLOURS["block"]
LEGITIMATE: Final = "#4a86b8"
NEUTRAL: Final = "#8a94a3"
#: Text within charts, readable on light and on dark ground.
INK: Final = "#8390a1"
#: Lines of a chart, in order.
SERIES: Final = ("#4a86b8", "#e3a72f", "#c8453f", "#3f9b77", "#8a6fb0", "#8a94a3")

_Badge: TypeAlias = Literal["green", "orange", "red"]
_BADGES: Final[dict[Decision, tuple[_Badge, str]]] = {
    "approve": ("green", ":material/check:"),
    "review": ("orange", ":material/visibility:"),
    "block": ("red", ":material/block:"),
}


#: Streamlit leaves a third of a laptop's screen empty.
_LAYOUT: Final = """<style>
[data-testid="stMainBlockContainer"] {padding: 2.2rem 2.5rem 3rem 2.5rem; max-width: 1500px}
[data-testid="stSidebar"] {width: 14rem !important; min-width: 14rem !important}
</style>"""


def page_title(title: str, what: str) -> None:
    """Begin a page."""
    st.html(_LAYOUT)
    st.html(
        f"<h1 style='margin:0;padding:0;font-size:1.7rem;font-weight:650'>{escape(title)}</h1>"
        f"<p style='margin:.15rem 0 0 0;opacity:.72'>{escape(what)}</p>"
    )


def decision_line(decision: Decision) -> None:
    """A decision as its badge."""
    colour, icon = _BADGES[decision]
    st.badge(decision, color=colour, icon=icon)
