"""``python -m training``: every step from raw transactions to a promoted model, in working order."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import click

from bentos.core.errors import FraudError

__all__ = ["STEPS", "cli", "main"]


@dataclass(frozen=True)
class Step:
    """A command: where it is, and its line in the overview, which is shown without importing it."""

    name: str
    module: str
    summary: str


#: In working order.
STEPS: Final = (
    Step("generate", "training.data.commands", "Make synthetic transactions."),
    Step("ingest", "training.data.commands", "Bring raw transactions, CSV or Parquet, into the canonical form."),
    Step("features", "training.features_file", "Compute the 21 features of a table of transactions."),
    Step("snapshot", "training.run", "Write the feature state that a fresh server starts with."),
    Step("train", "training.models.commands", "Train a model, evaluate it on the later part, register it."),
    Step("tune", "training.tune.commands", "Search hyper-parameters; resumes, and several processes can share it."),
    Step("evaluate", "training.evaluate.commands", "Evaluate a model: metrics, intervals, pictures."),
    Step("doctor", "training.doctor.commands", "Look for the usual suspects in a model and its data."),
    Step("register", "training.registry.commands", "Register an artifact that was exported elsewhere."),
    Step("models", "training.registry.commands", "List the registered versions."),
    Step("promote", "training.registry.commands", "Make a version the champion, if it is good enough."),
    Step("export", "training.registry.commands", "Write the artifact of a version to a folder."),
    Step("run", "training.run", "Train, register and promote: from transactions to a champion in one."),
)


class Steps(click.Group):
    """Lists and finds commands by :data:`STEPS`, importing only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names of the steps, in working order."""
        return [step.name for step in STEPS if _exists(step.module)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name."""
        for step in STEPS:
            if step.name == cmd_name and _exists(step.module):
                return _command(step)
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the summaries."""
        present = self.list_commands(ctx)
        with formatter.section("Steps, in working order"):
            formatter.write_dl([(step.name, step.summary) for step in STEPS if step.name in present])


def _exists(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def _command(step: Step) -> click.Command:
    found = vars(importlib.import_module(step.module)).values()
    return next(item for item in found if isinstance(item, click.Command) and item.name == step.name)


@click.group(cls=Steps, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """From raw transactions to a registered, exported fraud model.

    Everything is written under FRAUD_HOME (default: var); MLFLOW_TRACKING_URI names a server in place of the SQLite
    there. `python -m training STEP --help` explains a step.
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code: 2 for an error that was explained, 130 after Ctrl-C."""
    try:
        result = cli.main(None if arguments is None else list(arguments), prog_name="training", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FraudError as error:
        click.echo(f"error: {error}", err=True)
        return 2
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; nothing was left half-written", err=True)
        return 130
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main())
