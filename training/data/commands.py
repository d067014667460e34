"""Commands that make a table of transactions: ``generate`` and ``ingest``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ROWS_REFUSED", "generate", "ingest"]

#: Exit code of an ingestion that wrote a table without the rows it refused.
ROWS_REFUSED: Final = 3

_OUTPUT_HELP: Final = "Parquet file to write.  [default: data/transactions.parquet in $FRAUD_HOME, else in var]"


def _output(given: Path | None) -> Path:
    from bentos.core.settings import TrainingSettings, load_settings

    return given or load_settings(TrainingSettings).home / "data" / "transactions.parquet"


@contextmanager
def _progress(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; yields the function that is told how many rows are done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _counted(pieces: Iterable[pd.DataFrame], tell: Callable[[int], None]) -> Iterator[pd.DataFrame]:
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
        tell(done)


@click.command()
@click.option("--rows", type=int, default=10_000, show_default=True, help="Transactions, frauds included.")
@click.option("--fraud-rate", type=float, default=0.03, show_default=True, help="Share of frauds, 0 to 0.5.")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same table.")
@click.option("--days", type=int, default=90, show_default=True, help="Length of the period.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default="2026-03-01",
    show_default=True,
    help="First day of the period, in UTC.",
)
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help=_OUTPUT_HELP)
def generate(rows: int, fraud_rate: float, seed: int, days: int, start: datetime, output: Path | None) -> None:
    """Generate synthetic transactions.

    Customers with homes, habits and hours pay at merchants of twelve categories; cards are stolen, numbers tried,
    accounts taken over, merchants leak. Labels arrive with a delay. More rows mean more customers and merchants;
    memory does not grow with the rows.
    """
    from training.data.synthetic import GeneratorConfig, generate_chunks
    from training.data.table import write_transactions

    config = GeneratorConfig(rows=rows, fraud_rate=fraud_rate, seed=seed, days=days, start=start.date())
    path = _output(output)
    with _progress("generating", rows) as tell:
        summary = write_transactions(_counted(generate_chunks(config), tell), path)
    click.echo("\n".join([*summary.lines(), f"written    {path}"]))


@click.command()
@click.argument("sources", nargs=-1, required=True)
@click.option("--mapping", required=True, help="YAML file, or the name of a mapping that ships: fdh.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help=_OUTPUT_HELP)
@click.option(
    "--refused",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV file for wrong rows (file, line, column, value, reason); the others are written.",
)
@click.option("--allow-refused", is_flag=True, help="Exit with 0 although rows were refused to --refused.")
@click.option(
    "--examples", type=click.IntRange(min=1), default=5, show_default=True, help="Wrong rows named of each kind."
)
def ingest(
    sources: tuple[str, ...],
    mapping: str,
    output: Path | None,
    refused: Path | None,
    allow_refused: bool,
    examples: int,
) -> None:
    """Turn real data into a table of transactions.

    SOURCES are CSV or Parquet files, folders, or glob patterns in quotes. The mapping says what their columns mean;
    those that ship, in bentos/core/ingest/mappings, are examples of the format.

    A wrong row is never dropped in silence: without --refused it ends the command (exit code 2) and nothing is
    written; with --refused it goes to that file and the exit code is 3, or 0 with --allow-refused.
    """
    from bentos.core.ingest.mapping import load_mapping
    from training.data import ingest as ingestion

    if allow_refused and refused is None:
        raise click.UsageError("--allow-refused needs --refused, the file for the rows that it allows.")
    how, path = load_mapping(mapping), _output(output)
    with _progress("reading", None) as tell:
        report = ingestion.ingest(sources, how, path, refused=refused, examples=examples, progress=tell)
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo("\n".join([*report.summary.lines(), f"refused    {report.refused_rows:,}", f"written    {path}"]))
    if refused is not None:
        click.echo(f"refused to {refused}")
        if report.refused_rows and not allow_refused:
            # Not an error: the table is there. But a pipeline should stop and look.
            raise SystemExit(ROWS_REFUSED)
