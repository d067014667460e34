"""``python -m k8s retrain-schedule``: show, set or remove the schedule of a release."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from k8s.helm import CHART, Helm
from k8s.jobs.places import Places
from k8s.jobs.release import find_template
from k8s.options import Target, release_option, target_options
from k8s.retraining.schedule import Schedule, read_schedule

__all__ = ["retrain_schedule"]

_chart_option = click.option(
    "--chart",
    default=str(CHART),
    help="The release's chart: folder, package or oci:// address.  [default: helm/fraud-platform of this repository]",
)


@click.group("retrain-schedule")
def retrain_schedule() -> None:
    """Train again and again: values of the release (jobs.retraining), of which the chart makes a CronJob.

    Each training is the Job that `python -m k8s train` starts; the best model becomes challenger. A release whose
    values are kept elsewhere, such as in a repository, is changed there.
    """


@retrain_schedule.command("show")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
@target_options
@release_option
def show(output: str, target: Target, release: str | None) -> None:
    """Show the schedule and the trainings that it began."""
    cluster = target.connect()
    template = find_template(cluster, "training", release)
    found = read_schedule(cluster, template)
    if output == "json":
        click.echo(json.dumps(None if found is None else asdict(found), indent=2))
        return
    click.echo(_words(found))


@retrain_schedule.command("set")
@click.argument("schedule")
@click.argument("transactions")
@click.option("--time-zone", default="Etc/UTC", show_default=True, help="Of the schedule, such as Europe/Paris.")
@click.option("--model", "models", multiple=True, help="Preset or URL of a YAML file; several times.")
@click.option("--timeout", type=click.IntRange(1), help="Time after which a training is ended, seconds.")
@click.option("--retries", type=click.IntRange(0), help="How often a training that failed is tried again.")
@click.option("--suspend/--resume", default=False, show_default=True, help="Keep the schedule without following it.")
@_chart_option
@target_options
@release_option
def set_schedule(  # noqa: PLR0913, PLR0917 - click hands every option over by name
    schedule: str,
    transactions: str,
    time_zone: str,
    models: tuple[str, ...],
    timeout: int | None,
    retries: int | None,
    suspend: bool,
    chart: str,
    target: Target,
    release: str | None,
) -> None:
    """Train by SCHEDULE, the five fields of cron in quotes, on TRANSACTIONS, a URL or claim://CLAIM/path."""
    Places().path(transactions)
    values: dict[str, Any] = {
        "enabled": True,
        "schedule": schedule,
        "timeZone": time_zone,
        "transactions": transactions,
        "suspend": suspend,
        **({"models": list(models)} if models else {}),
        **({"timeoutSeconds": timeout} if timeout is not None else {}),
        **({"retries": retries} if retries is not None else {}),
    }
    click.echo(_words(_changed(target, release, chart, values)))


@retrain_schedule.command("remove")
@_chart_option
@target_options
@release_option
def remove(chart: str, target: Target, release: str | None) -> None:
    """Remove the schedule; a training that runs is ended with it."""
    _changed(target, release, chart, {"enabled": False})
    click.echo("removed")


def _changed(target: Target, release: str | None, chart: str, values: dict[str, Any]) -> Schedule | None:
    cluster = target.connect()
    template = find_template(cluster, "training", release)
    Helm(cluster.namespace, target.context).set_values(template.release, chart, {"jobs": {"retraining": values}})
    return read_schedule(cluster, template)


def _words(found: Schedule | None) -> str:
    if found is None:
        return "there is no schedule"
    lines = [
        f"{found.name}: {found.schedule} ({found.time_zone}){', suspended' if found.suspended else ''}",
        f"runs      python -m training {' '.join(found.arguments)}",
        f"last      {found.last_scheduled or 'never'}, successful {found.last_successful or 'never'}",
    ]
    lines += [f"training  {item.job} began {item.started}: {item.state}" for item in found.trainings]
    return "\n".join(lines)
