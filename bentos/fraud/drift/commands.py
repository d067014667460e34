"""``python -m bentos.fraud drift``: the drift report."""

from __future__ import annotations

import contextlib
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from bentos.core.errors import ConfigError
from bentos.core.settings import load_settings

if TYPE_CHECKING:
    from bentos.fraud.drift.report import Period
    from bentos.fraud.records.database import Database

__all__ = ["drift"]

_SECOND = 1_000_000


@click.group("drift")
def drift() -> None:
    """Payments against the rows of training."""


@drift.command("report")
@click.argument("output")
@click.option("--days", type=click.IntRange(1, 400), default=28, show_default=True, help="How far back.")
@click.option(
    "--minimum-rows", type=click.IntRange(50), help="Predictions of a day.  [default: FRAUD_DRIFT_MINIMUM_ROWS]"
)
def report(output: str, days: int, minimum_rows: int | None) -> None:
    """Write OUTPUT, a file or a URL of fsspec: an HTML page about the recorded predictions of the artifact's version.

    Distributions, the stability index of every feature and the score by day, traffic, and what labels say of every
    version, in periods of a week. A server may run meanwhile.
    """
    import fsspec

    from bentos.core.answers import ModelVersion
    from bentos.fraud.application import load_artifact
    from bentos.fraud.drift.layout import Layout
    from bentos.fraud.drift.page import page
    from bentos.fraud.drift.report import drift_report
    from bentos.fraud.records.database import open_database, upgrade
    from bentos.fraud.records.scored import scored_rows
    from bentos.fraud.settings import ScoringSettings

    settings = load_settings(ScoringSettings)
    artifact = load_artifact(settings)
    model = ModelVersion(name=artifact.card.name, version=artifact.card.version)
    until = time.time_ns() // 1000
    since = until - days * 86_400 * _SECOND
    upgrade(settings)
    with contextlib.closing(open_database(settings)) as database, database.read(patient=True) as connection:
        parts = scored_rows(connection, model, since, until)
        least = settings.drift_minimum_rows if minimum_rows is None else minimum_rows
        found = drift_report(model, Layout(artifact.distributions), parts, least, _periods(database, days, until))
    try:
        with fsspec.open(output, "w", encoding="utf-8") as file:
            file.write(page(found))
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{output} cannot be written: {error}") from error
    drifted = ", ".join(one.name for one in found.drifted) or "nothing"
    rows = sum(day.rows for day in found.days.values())
    click.echo(f"{output}: {rows:,} predictions of {len(found.days)} days; drifted: {drifted}")


def _periods(database: Database, days: int, until: int) -> list[Period]:
    from bentos.fraud.drift.report import Period
    from bentos.fraud.records.quality import count_quality

    last = datetime.fromtimestamp(until / _SECOND, UTC).date()
    first = last - timedelta(days=days)
    periods = []
    with database.read(patient=True) as connection:
        while first <= last:
            end = min(first + timedelta(days=6), last)
            bounds = [
                int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * _SECOND for day in (first, end)
            ]
            periods.append(Period(first, end, count_quality(connection, bounds[0], bounds[1] + 86_400 * _SECOND)))
            first = end + timedelta(days=1)
    return periods
