"""Command lines of several commands, of which each is imported only when it is called."""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import click

from bentos.core.errors import FraudError

__all__ = ["CONTEXT", "Entry", "LazyGroup", "run_command", "terminable"]

#: Of every command line.
CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@dataclass(frozen=True)
class Entry:
    """A command or a group of them: where it is, and its line in the overview, which is shown without importing it."""

    name: str
    module: str
    summary: str


class LazyGroup(click.Group):
    """Lists and finds commands by their entries.

    Parameters
    ----------
    entries
        In the order of the overview.
    heading
        Over them.
    options
        See :class:`click.Group`.
    """

    def __init__(self, *, entries: Sequence[Entry], heading: str = "Commands", **options: Any) -> None:
        super().__init__(**options)
        self._entries = {entry.name: entry for entry in entries}
        self._heading = heading

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of the commands."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        found = vars(importlib.import_module(entry.module)).values()
        return next(item for item in found if isinstance(item, click.Command) and item.name == cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the summaries."""
        with formatter.section(self._heading):
            formatter.write_dl([(entry.name, entry.summary) for entry in self._entries.values()])


def run_command(cli: click.Command, program: str, arguments: Sequence[str] | None, interrupted: str) -> int:
    """Run a command line; returns the exit code: 2 for an error that was explained, 130 after Ctrl-C.

    Parameters
    ----------
    cli
        What is run.
    program
        How help calls it.
    arguments
        None means those of the process.
    interrupted
        What is said after Ctrl-C.
    """
    try:
        result = cli.main(None if arguments is None else list(arguments), prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FraudError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo(interrupted, err=True)
        return 130
    return result if isinstance(result, int) else 0


@contextmanager
def terminable(first: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Let SIGTERM, as Kubernetes or a cancelled step of a CI sends it, end the block as Ctrl-C does.

    In another thread than the process's first, which no signal reaches, nothing changes.

    Parameters
    ----------
    first
        Called when it comes, before the block is left.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        first()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
