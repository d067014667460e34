"""``python -m training``: every step from raw transactions to a promoted model, in working order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

from bentos.core.commands import CONTEXT, Entry, LazyGroup, run_command

__all__ = ["STEPS", "cli", "main"]


#: In working order.
STEPS: Final[tuple[Entry, ...]] = (
    Entry("generate", "training.data.commands", "Make synthetic transactions."),
    Entry("ingest", "training.data.commands", "Bring raw transactions, CSV or Parquet, into the canonical form."),
    Entry("features", "training.features_file", "Compute the 21 features of a table of transactions."),
    Entry("snapshot", "training.run", "Write the feature state that a fresh server starts with."),
    Entry("train", "training.models.commands", "Train a model, evaluate it on the later part, register it."),
    Entry("tune", "training.tune.commands", "Search hyper-parameters; resumes, and several processes can share it."),
    Entry("evaluate", "training.evaluate.commands", "Evaluate a model: metrics, intervals, pictures."),
    Entry("doctor", "training.doctor.commands", "Look for the usual suspects in a model and its data."),
    Entry("register", "training.registry.commands", "Register an artifact that was exported elsewhere."),
    Entry("models", "training.registry.commands", "List the registered versions."),
    Entry("accept", "training.registry.commands", "Say whether a version is good enough to become champion."),
    Entry("promote", "training.registry.commands", "Make a version the champion, if it is good enough."),
    Entry("export", "training.registry.commands", "Write the artifact of a version to a folder."),
    Entry("run", "training.run", "Train, register and promote: from transactions to a champion in one."),
)


@click.group(cls=LazyGroup, entries=STEPS, heading="Steps, in working order", context_settings=CONTEXT)
def cli() -> None:
    """From raw transactions to a registered, exported fraud model.

    Everything is written under FRAUD_HOME (default: var); MLFLOW_TRACKING_URI names a server in place of the SQLite
    there. `python -m training STEP --help` explains a step.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 2 for an error that was explained, 130 after Ctrl-C."""
    return run_command(cli, "training", arguments, "interrupted; nothing was left half-written")


if __name__ == "__main__":
    sys.exit(main())
