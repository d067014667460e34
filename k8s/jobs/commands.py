"""``python -m k8s train``, ``tune``, ``bulk``, ``follow``."""

from __future__ import annotations

import click

from bentos.core.errors import ConfigError
from k8s.cluster import Cluster
from k8s.jobs.launch import Manner, attach, launch
from k8s.jobs.manifests import Plan, Shares, job_manifest, job_name
from k8s.jobs.options import Limits, job_options, manner_options
from k8s.jobs.places import Places
from k8s.jobs.release import Template, find_template
from k8s.options import Target, release_option, target_options

__all__ = ["bulk", "follow", "train", "tune"]


@click.command()
@click.argument("transactions")
@click.argument("options", nargs=-1, metavar="[-- OPTIONS]")
@target_options
@release_option
@job_options
def train(
    transactions: str,
    options: tuple[str, ...],
    target: Target,
    release: str | None,
    manner: Manner,
    limits: Limits,
) -> int:
    """Train on TRANSACTIONS, a URL or claim://CLAIM/path, and register the best model as challenger.

    The Job runs `python -m training run TRANSACTIONS --no-promote OPTIONS`; options of that command stand after `--`:

    \b
    python -m k8s train claim://payments/transactions.parquet -- --model forest --seed 7
    """
    cluster = target.connect()
    template = find_template(cluster, "training", release)
    _require_registry(template)
    places = Places()
    arguments = ["run", places.path(transactions), "--no-promote", *places.arguments(options)]
    return _start(cluster, template, "train", arguments, places, None, manner, limits)


@click.command()
@click.argument("transactions")
@click.argument("options", nargs=-1, metavar="[-- OPTIONS]")
@click.option("--workers", type=click.IntRange(1, 1000), default=2, show_default=True, help="Pods that try at once.")
@target_options
@release_option
@job_options
def tune(
    transactions: str,
    options: tuple[str, ...],
    workers: int,
    target: Target,
    release: str | None,
    manner: Manner,
    limits: Limits,
) -> int:
    """Search hyper-parameters on TRANSACTIONS in several pods, then train what was found and register a challenger.

    TRANSACTIONS is a URL or claim://CLAIM/path, also of a feature table. Each pod runs
    `python -m training tune TRANSACTIONS --register OPTIONS` on one study in the release's PostgreSQL; options of that
    command stand after `--`. Trials that a killed pod leaves are tried again. The first pod trains.

    \b
    python -m k8s tune s3://bank/transactions.parquet --workers 4 -- --model network --trials 100
    """
    cluster = target.connect()
    template = find_template(cluster, "training", release)
    _require_registry(template)
    if workers > 1 and template.variable("FRAUD_TUNE_URL") is None:
        raise ConfigError(
            f"{workers} pods need a study in PostgreSQL, and the release {template.release!r} keeps its records in"
            " SQLite: set global.records.database=postgresql, or --workers 1"
        )
    places = Places()
    arguments = ["tune", places.path(transactions), "--register", *places.arguments(options)]
    shares = Shares(workers, workers, first_decides=True)
    return _start(cluster, template, "tune", arguments, places, shares, manner, limits)


@click.command()
@click.argument("source")
@click.argument("result", metavar="TARGET")
@click.argument("options", nargs=-1, metavar="[-- OPTIONS]")
@click.option(
    "--shares",
    type=click.IntRange(1, 100_000),
    default=8,
    show_default=True,
    help="Parts that the files are divided into; each fails and is tried again for itself.",
)
@click.option("--parallel", type=click.IntRange(1), default=2, show_default=True, help="Pods that score at once.")
@target_options
@release_option
@job_options
def bulk(  # noqa: PLR0913, PLR0917 - click hands every option over by name
    source: str,
    result: str,
    options: tuple[str, ...],
    shares: int,
    parallel: int,
    target: Target,
    release: str | None,
    manner: Manner,
    limits: Limits,
) -> int:
    """Score every Parquet file below SOURCE into a file of the same name below TARGET, both URLs or claim://CLAIM/path.

    Each pod runs `python -m bentos.fraud bulk SOURCE TARGET --completions SHARES OPTIONS` for its share of the files;
    options of that command stand after `--`. Files that were scored already are passed over, so the same command again
    does what is left. A file that fails stops its own share only, after the others of it.
    """
    cluster = target.connect()
    template = find_template(cluster, "bulk", release)
    if template.variable("FRAUD_FEATURE_STORE") == "embedded":
        raise ConfigError(
            f"the release {template.release!r} keeps features in a file of its scoring pod, which no other pod reads:"
            " set global.features.store=redis"
        )
    places = Places()
    arguments = [places.path(source), places.path(result, written=True), f"--completions={shares}"]
    arguments += places.arguments(options)
    return _start(cluster, template, "bulk", arguments, places, Shares(shares, parallel), manner, limits)


@click.command()
@click.argument("job")
@target_options
@manner_options
def follow(job: str, target: Target, manner: Manner) -> int:
    """Show progress and logs of a JOB that runs, and exit with its status; Ctrl-C leaves it alone."""
    return attach(target.connect(), job, manner)


def _require_registry(template: Template) -> None:
    if template.variable("MLFLOW_TRACKING_URI") is None:
        raise ConfigError(
            f"the release {template.release!r} has no MLflow, so what is trained would be lost with the pod: set"
            " mlflow.enabled=true, or jobs.mlflowUrl to another"
        )


def _start(
    cluster: Cluster,
    template: Template,
    kind: str,
    arguments: list[str],
    places: Places,
    shares: Shares | None,
    manner: Manner,
    limits: Limits,
) -> int:
    plan = Plan(
        kind,
        arguments,
        places.writable,
        shares,
        retries=limits.retries,
        timeout_seconds=limits.timeout_seconds,
        cpu=limits.cpu,
        memory=limits.memory,
    )
    return launch(cluster, job_manifest(template, plan, job_name(template, kind)), manner)
