"""``python -m bentos.fraud jobs``: work, look, cancel, sweep."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, get_args

import click

from bentos.core.jobs import Job, JobState
from bentos.core.settings import load_settings
from bentos.fraud.settings import ScoringSettings

if TYPE_CHECKING:
    from bentos.fraud.jobs.ledger import Ledger

__all__ = ["jobs"]


@click.group("jobs")
def jobs() -> None:
    """Batch jobs: be a worker, look at them, cancel them, do what is due."""


@jobs.command()
@click.option(
    "--concurrency", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes, with a broker."
)
@click.option("--lane", type=click.IntRange(0, 63), default=0, hidden=True)
@click.option("--beside-server", is_flag=True, hidden=True)
def worker(concurrency: int, lane: int, beside_server: bool) -> None:
    """Do jobs until a signal ends it: as a worker of Celery when FRAUD_QUEUE_URL is set.

    Without a broker it is a process as a server has beside it; start the command several times for several.
    """
    from bentos.fraud.observe.logs import configure_logging

    settings = load_settings(ScoringSettings)
    configure_logging(settings)
    if settings.queue_url is not None:
        from bentos.fraud.jobs import celery_worker

        click.get_current_context().exit(celery_worker.run(settings, concurrency))
    if concurrency > 1:
        raise click.UsageError("without a broker a worker is one process; start the command several times")
    from bentos.fraud.jobs.worker import run

    run(settings, lane, beside_server=beside_server)


@jobs.command("list")
@click.option("--state", type=click.Choice(get_args(JobState)), help="Only jobs in this state.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
def list_jobs(state: JobState | None, limit: int) -> None:
    """The newest jobs first."""
    with _ledger() as ledger:
        for job in ledger.jobs(state, limit):
            click.echo(_line(job))


@jobs.command()
@click.argument("job_id")
def status(job_id: str) -> None:
    """One job, as JSON."""
    with _ledger() as ledger:
        click.echo(ledger.job(job_id).model_dump_json(indent=2))


@jobs.command()
@click.argument("job_id")
def cancel(job_id: str) -> None:
    """Cancel a job that is pending or running."""
    with _ledger() as ledger:
        click.echo(_line(ledger.cancel(job_id)))


@jobs.command()
def expire() -> None:
    """Do what is due once: results removed after their time, files that belong to no job, lost messages."""
    from bentos.fraud.jobs.open import open_files, open_sweeper
    from bentos.fraud.records.database import open_database

    settings = load_settings(ScoringSettings)
    with (
        contextlib.closing(open_database(settings)) as database,
        contextlib.closing(open_sweeper(settings, database, open_files(settings))) as sweeper,
    ):
        sweeper.sweep()
        click.echo(f"removed the files of {sweeper.remove_left_files()} uploads that never became jobs")


@contextlib.contextmanager
def _ledger() -> Iterator[Ledger]:
    from bentos.fraud.jobs.ledger import Ledger
    from bentos.fraud.records.database import open_database

    with contextlib.closing(open_database(load_settings(ScoringSettings))) as database:
        yield Ledger(database)


def _line(job: Job) -> str:
    rows = f"{job.rows_done}/{'?' if job.rows_total is None else job.rows_total}"
    created = job.created_at.isoformat(timespec="seconds")
    return (
        f"{job.job_id}  {job.status:9}  {job.progress:5.1f} %  {rows:>17} rows  {created}  {job.error or ''}".rstrip()
    )
