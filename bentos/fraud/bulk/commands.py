"""``python -m bentos.fraud bulk``: score a partitioned data set on this machine."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click

from bentos.core.settings import load_settings
from bentos.fraud.application import load_artifact
from bentos.fraud.bulk.partitions import find_partitions, share
from bentos.fraud.bulk.targets import Target
from bentos.fraud.options import Explain
from bentos.fraud.settings import ScoringSettings

__all__ = ["bulk"]


class _Share(click.ParamType[tuple[int, int]]):
    name = "I/N"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        number, _, of = str(value).partition("/")
        if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
            self.fail(f"{value!r} is no share: 0/4 to 3/4 are the four shares of four machines", param, ctx)
        return int(number), int(of)


@click.command("bulk")
@click.argument("source")
@click.argument("target")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Processes.")
@click.option(
    "--explain",
    type=click.Choice(["none", "flagged", "all"]),
    default="flagged",
    show_default=True,
    help="Which rows get reasons.",
)
@click.option("--partition", type=_Share(), default=None, help="Only this share of the files, such as 0/4.")
@click.option(
    "--completions",
    type=click.IntRange(1, 100_000),
    default=None,
    help="Shares in all; the number of this one is JOB_COMPLETION_INDEX, as an indexed Job of Kubernetes sets it.",
)
@click.option("--index", type=click.IntRange(0), envvar="JOB_COMPLETION_INDEX", hidden=True)
def bulk(
    source: str,
    target: str,
    workers: int,
    explain: Explain,
    partition: tuple[int, int] | None,
    completions: int | None,
    index: int | None,
) -> int:
    """Score every Parquet file below SOURCE into a file of the same name below TARGET; both are folders or URLs.

    Each file is scored like a batch job: what the feature store knows, and its own rows in order of time. Files that
    were scored already, and are unchanged since, are passed over. The exit code is 1 when a file could not be scored.
    """
    # Its libraries take a second to import.
    from bentos.fraud.bulk.parallel import score_partitions

    settings = load_settings(ScoringSettings)
    if completions is not None:
        if partition is not None or index is None or index >= completions:
            raise click.UsageError("--completions needs JOB_COMPLETION_INDEX below it, and no --partition")
        partition = index, completions
    results = Target(target, f"{load_artifact(settings).digest}:{explain}")
    found = share(find_partitions(source), *(partition or (0, 1)))
    left = [one for one in found if not results.done(one)]
    click.echo(f"{len(found)} files, {len(found) - len(left)} of them done before")
    started, rows, failed, troubles, done = time.monotonic(), 0, 0, 0, 0
    base = settings.home / "serving"
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bulk-", dir=base) as scratch:
        outcomes = score_partitions(left, results, settings, Path(scratch), workers=workers, explain=explain)
        for outcome in outcomes if left else ():
            done += 1
            name = outcome.partition.name
            if outcome.trouble is not None:
                troubles += 1
                click.echo(f"{done}/{len(left)} {name}: failed: {outcome.trouble}", err=True)
                continue
            rows, failed = rows + outcome.rows, failed + outcome.failed
            click.echo(f"{done}/{len(left)} {name}: {outcome.rows:,} rows, {outcome.failed:,} with an error")
    seconds = time.monotonic() - started
    click.echo(
        f"{rows:,} rows in {seconds:.1f} s, {failed:,} with an error; {len(left) - troubles} files scored,"
        f" {troubles} failed"
    )
    return 1 if troubles else 0
