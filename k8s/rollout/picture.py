"""Weights and verdicts of a rollout over time, as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from bentos.core.errors import ConfigError
from k8s.rollout.record import Rollout
from k8s.rollout.verdict import GATE_NAMES

__all__ = ["draw"]

_COLOURS: Final = {"pass": "#2a9d4a", "inconclusive": "#d9d9d9", "fail": "#c8322b"}


def draw(rollout: Rollout, path: Path) -> None:
    """Write a picture; the file's ending says which kind.

    Raises
    ------
    ConfigError
        There is no matplotlib, the kind is unknown, or the file cannot be written.
    """
    if path.suffix not in {".png", ".svg"}:
        raise ConfigError(f"a picture ends in .png or .svg, got {path.name!r}")
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a picture needs matplotlib: pip install matplotlib, or use --output json") from error
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes: Any = figure.subplots(2, sharex=True, height_ratios=(1, 2))
    weights, gates = axes
    times = [change.at for change in rollout.changes]
    weights.step(times, [change.weight for change in rollout.changes], where="post", color="#264653")
    weights.set_ylabel("weight, %")
    weights.set_ylim(-5, 105)
    weights.set_title(f"{rollout.name}: {rollout.champion.shown} to {rollout.challenger.shown}, {rollout.phase}")
    for row, gate in enumerate(GATE_NAMES):
        for outcome, colour in _COLOURS.items():
            seen = [
                look.at for look in rollout.looks for item in look.gates if (item.gate, item.outcome) == (gate, outcome)
            ]
            gates.scatter(seen, [row] * len(seen), marker="s", s=14, color=colour, label=None if row else outcome)
    gates.set_yticks(range(len(GATE_NAMES)), GATE_NAMES)
    gates.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.autofmt_xdate()
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise ConfigError(f"the picture {path} cannot be written: {error}") from error
