"""What a person sees of rollouts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from k8s.rollout.needed import Need
from k8s.rollout.record import Rollout
from k8s.rollout.verdict import Verdict

__all__ = ["history_table", "needs_table", "print_out", "rollout_view"]

_STYLES: Final = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


def print_out(*parts: RenderableType) -> None:
    """To standard output."""
    console = Console(highlight=False)
    for part in parts:
        console.print(part)


def rollout_view(rollout: Rollout, now: datetime | None = None) -> RenderableType:
    """One rollout: where it is and why, its latest verdicts."""
    now = now or datetime.now(UTC)
    head = Table.grid(padding=(0, 2))
    elapsed = rollout.elapsed_seconds(now)
    steps = rollout.plan.steps
    rows = {
        "rollout": f"{rollout.name} of {rollout.release}",
        "models": f"{rollout.champion.shown} -> {rollout.challenger.shown}",
        "phase": rollout.phase,
        "step": f"{rollout.step + 1} of {len(steps)} ({rollout.stage}), for {_duration(elapsed)}",
        "weight": f"{rollout.weight} %",
        "requests": f"{rollout.requests:,.0f} of at least {steps[rollout.step].minimum_requests:,.0f}",
        "why": rollout.reason,
    }
    for name, value in rows.items():
        head.add_row(Text(name, style="bold"), Text(value))
    for trouble in rollout.troubles:
        head.add_row(Text("trouble", style="bold red"), Text(trouble))
    return Group(head, _verdicts(rollout.verdicts)) if rollout.verdicts else head


def history_table(rollouts: Iterable[Rollout]) -> RenderableType:
    """Every change of every rollout, the latest rollout first."""
    table = Table(box=None, pad_edge=False)
    for name in ("rollout", "time (UTC)", "phase", "step", "weight", "revision", "by", "why"):
        table.add_column(name, overflow="fold")
    for rollout in rollouts:
        for change in rollout.changes:
            revision = "" if change.revision is None else str(change.revision)
            time = f"{change.at:%Y-%m-%d %H:%M:%S}"
            cells = (rollout.name, time, change.phase, str(change.step + 1), f"{change.weight} %", revision)
            table.add_row(*(Text(cell) for cell in (*cells, change.by, change.reason)))
    return table


def needs_table(needs: Iterable[Need]) -> RenderableType:
    """How much data verdicts will take."""
    table = Table(box=None, pad_edge=False, title="data to find the planned harm", title_justify="left")
    for name in ("weight", "gate", "harm", "fixed test", "within", "counted", "time"):
        table.add_column(name)
    for need in needs:
        weight = f"{need.weight} %" if need.weight else "shadow"
        numbers = f"{need.fixed:,}", f"{need.sequential:,}"
        table.add_row(weight, need.gate, need.harm, *numbers, need.counted, _duration(need.seconds))
    return table


def _verdicts(verdicts: Iterable[Verdict]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("gate", "verdict", "numbers"):
        table.add_column(name, overflow="fold")
    for verdict in verdicts:
        outcome = Text(verdict.outcome, style=_STYLES[verdict.outcome])
        more = f"; about {verdict.needed:,.0f} more {verdict.counted}" if verdict.needed else ""
        table.add_row(verdict.gate, outcome, Text(verdict.text + more))
    return table


def _duration(seconds: float) -> str:
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"
