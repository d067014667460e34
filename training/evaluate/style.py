"""Colours and fonts of the pictures: Okabe and Ito's palette, which colour-blind readers can tell apart."""

from __future__ import annotations

from typing import Any, Final

__all__ = ["APPROVE", "BLOCK", "FRAUD", "GREY", "LEGITIMATE", "REVIEW", "STYLE"]

LEGITIMATE: Final = "#0072B2"
FRAUD: Final = "#D55E00"
APPROVE: Final = "#009E73"
REVIEW: Final = "#E69F00"
BLOCK: Final = "#B3276F"
GREY: Final = "#7A7A7A"

STYLE: Final[dict[Any, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.labelcolor": "#222222",
    "axes.labelsize": 10,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",  # matplotlib carries it, so that the same picture comes out everywhere
    "font.size": 9.5,
    "grid.alpha": 0.6,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.7,
    "legend.fontsize": 8.5,
    "legend.framealpha": 0.9,
    "legend.edgecolor": "#DDDDDD",
    "svg.hashsalt": "fraud",
}
