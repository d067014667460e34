"""What a person sees of a Job: the pods' lines, notes, and a bar at the bottom of a terminal."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

__all__ = ["Screen"]


class Screen:
    """Lines go to standard output, notes to standard error, so that either can be kept.

    Parameters
    ----------
    quiet_output
        Whether standard output is for something else; lines then go to standard error as well.
    """

    def __init__(self, *, quiet_output: bool = False) -> None:
        self._lines = Console(stderr=quiet_output, highlight=False)
        # Both on one terminal share a console, or the bar is torn.
        self._notes = self._lines if self._lines.is_terminal else Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._lines,
            transient=True,
            disable=not self._lines.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, note="")
        self._shown = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def line(self, source: str, text: str) -> None:
        """A line that a pod printed."""
        self._lines.print(Text(f"{source} | {text}" if source else text), soft_wrap=True)

    def note(self, text: str) -> None:
        """Something that happened."""
        self._notes.print(Text(text, style="bold" if self._notes.is_terminal else ""), soft_wrap=True)

    def progress(self, name: str, done: int, total: int, note: str) -> None:
        """How far it is; a note where there is no terminal."""
        self._bar.update(self._task, description=name, completed=done, total=total, note=note)
        shown = f"{name}: {done} of {total} done{f', {note}' if note else ''}"
        if not self._lines.is_terminal and shown != self._shown:
            self.note(shown)
        self._shown = shown
