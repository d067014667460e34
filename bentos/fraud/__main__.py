"""``python -m bentos.fraud``: what operators do beside serving."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import click

from bentos.core.errors import FraudError

__all__ = ["COMMANDS", "cli", "main"]


@dataclass(frozen=True)
class Entry:
    """A command or a group of them: where it is, and its line in the overview, which is shown without importing it."""

    name: str
    module: str
    summary: str


COMMANDS: Final[tuple[Entry, ...]] = (
    Entry("features", "bentos.fraud.store.commands", "Fill the feature store, look at it, forget a customer."),
    Entry("feast", "bentos.fraud.store.feast_commands", "Make a Feast repository for the features."),
    Entry("model", "bentos.fraud.remote.commands", "Write the model for another server to run."),
    Entry("keys", "bentos.fraud.access.commands", "Make, show and revoke API keys."),
    Entry("bulk", "bentos.fraud.bulk.commands", "Score a partitioned Parquet data set on this machine."),
    Entry("records", "bentos.fraud.records.commands", "Predictions and labels: quality, erasure, retention."),
    Entry("jobs", "bentos.fraud.jobs.commands", "Batch jobs: be a worker, look at them, cancel them."),
)


class Commands(click.Group):
    """Lists and finds commands by :data:`COMMANDS`, importing only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of the commands."""
        return [entry.name for entry in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        for entry in COMMANDS:
            if entry.name == cmd_name:
                found = vars(importlib.import_module(entry.module)).values()
                return next(item for item in found if isinstance(item, click.Command) and item.name == entry.name)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the overview from the summaries."""
        with formatter.section("Commands"):
            formatter.write_dl([(entry.name, entry.summary) for entry in COMMANDS])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Look after a fraud service: its features, records, jobs and keys, and files to be scored.

    Settings are those of the service, FRAUD_*. `python -m bentos.fraud COMMAND --help` explains a command.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 2 for an error that was explained, 130 after Ctrl-C."""
    try:
        result = cli.main(
            None if arguments is None else list(arguments), prog_name="python -m bentos.fraud", standalone_mode=False
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FraudError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was finished is kept, nothing is half-written", err=True)
        return 130
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
