"""``python -m bentos.fraud``: what operators do beside serving."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

from bentos.core.commands import CONTEXT, Entry, LazyGroup, run_command

__all__ = ["COMMANDS", "cli", "main"]


COMMANDS: Final[tuple[Entry, ...]] = (
    Entry("features", "bentos.fraud.store.commands", "Fill the feature store, look at it, forget a customer."),
    Entry("feast", "bentos.fraud.store.feast_commands", "Make a Feast repository for the features."),
    Entry("model", "bentos.fraud.remote.commands", "Write the model for another server to run."),
    Entry("keys", "bentos.fraud.access.commands", "Make, show and revoke API keys."),
    Entry("bulk", "bentos.fraud.bulk.commands", "Score a partitioned Parquet data set on this machine."),
    Entry("records", "bentos.fraud.records.commands", "Predictions and labels: quality, erasure, retention."),
    Entry("jobs", "bentos.fraud.jobs.commands", "Batch jobs: be a worker, look at them, cancel them."),
    Entry("drift", "bentos.fraud.drift.commands", "A report on payments against the rows of training."),
)


@click.group(cls=LazyGroup, entries=COMMANDS, context_settings=CONTEXT)
def cli() -> None:
    """Look after a fraud service: its features, records, jobs and keys, and files to be scored.

    Settings are those of the service, FRAUD_*. `python -m bentos.fraud COMMAND --help` explains a command.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 2 for an error that was explained, 130 after Ctrl-C."""
    interrupted = "interrupted; what was finished is kept, nothing is half-written"
    return run_command(cli, "python -m bentos.fraud", arguments, interrupted)


if __name__ == "__main__":
    sys.exit(main())
