"""How training tells how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Progress", "rich_progress", "silent"]


class Progress(Protocol):
    """Called often, from the thread that trains."""

    def __call__(self, stage: str, done: int, total: int, note: str = "") -> None:
        """``done`` of ``total`` units of a stage are finished; the stage ends when they are equal."""


def silent(stage: str, done: int, total: int, note: str = "") -> None:
    """Say nothing."""


@contextmanager
def rich_progress() -> Iterator[Progress]:
    """Bars on stderr, one per stage; plain lines at its start and end where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
    tasks = {}

    def show(stage: str, done: int, total: int, note: str = "") -> None:
        starts = stage not in tasks
        if starts:
            tasks[stage] = bars.add_task(stage, total=total, note=note)
        bars.update(tasks[stage], completed=done, total=total, note=note)
        if not console.is_terminal and (starts or done >= total):
            console.print(f"{stage}: {done} of {total} {note}".rstrip(), highlight=False, soft_wrap=True)

    with bars:
        yield show
