"""``python -m k8s``: work that the cluster does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import click

from bentos.core.commands import CONTEXT, Entry, LazyGroup, run_command

__all__ = ["COMMANDS", "cli", "main"]


COMMANDS: Final[tuple[Entry, ...]] = (
    Entry("train", "k8s.jobs.commands", "Train on the cluster, and register a challenger."),
    Entry("tune", "k8s.jobs.commands", "Search hyper-parameters in several pods, then train."),
    Entry("bulk", "k8s.jobs.commands", "Score a partitioned Parquet data set in several pods."),
    Entry("follow", "k8s.jobs.commands", "Stay with a Job that runs already."),
    Entry("retrain-schedule", "k8s.retraining.commands", "Train again and again, by a schedule of the release."),
    Entry("release", "k8s.release.commands", "Bring the registry's challenger to customers: image, rollout, champion."),
    Entry("rollout", "k8s.rollout.commands", "Move a release to another model by evidence, or back."),
    Entry("monitoring", "k8s.monitoring.commands", "Write alerting rules and dashboards, for objectives of your own."),
)


@click.group(cls=LazyGroup, entries=COMMANDS, context_settings=CONTEXT)
def cli() -> None:
    """Run training, tuning and bulk scoring on a cluster, beside a release of the chart.

    The cluster is the one of the kubeconfig. `python -m k8s COMMAND --help` explains a command.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 2 for an error that was explained, 130 after Ctrl-C."""
    return run_command(cli, "python -m k8s", arguments, "interrupted")


if __name__ == "__main__":
    sys.exit(main())
