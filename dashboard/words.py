"""Text and numbers as they are shown."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

__all__ = ["ago", "amount", "percent", "plain", "score", "seconds"]

# Whatever Markdown, Streamlit's own directives (:red[…]), LaTeX, links and HTML are made with.
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|$~:@/&])")


def plain(text: str) -> str:
    """Text of others for a place that reads Markdown: shown as it is, whatever it holds."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def amount(value: float) -> str:
    """Such as 1,890.00; Markdown reads it as it is."""
    return f"{value:,.2f}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share as 12.5 %; a dash for None."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def score(value: float) -> str:
    """A score, with more digits where it is small."""
    return f"{value:.3f}" if value >= 0.01 else f"{value:.4f}"


def seconds(value: float | None) -> str:
    """A latency in milliseconds, a dash for None."""
    if value is None:
        return "–"
    return f"{1000 * value:.1f} ms" if value < 0.1 else f"{1000 * value:.0f} ms"


def ago(then: datetime, now: datetime) -> str:
    """How long ago, in one unit."""
    passed = max(0.0, (now - then).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if passed >= length:
            return f"{passed / length:.0f} {unit} ago"
    return f"{passed:.0f} s ago"
