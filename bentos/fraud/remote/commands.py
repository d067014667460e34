"""``python -m bentos.fraud model``: write the model for another server to run."""

from __future__ import annotations

from pathlib import Path

import click

from bentos.core.errors import ConfigError
from bentos.core.settings import load_settings
from bentos.fraud.application import load_artifact
from bentos.fraud.remote.triton import version_number, write_repository
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings

__all__ = ["model"]


@click.group()
def model() -> None:
    """The model step on another server: FRAUD_MODEL_URL names it."""


@model.command()
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--max-batch-size",
    type=click.IntRange(1, 1_000_000),
    default=1024,
    show_default=True,
    help="Rows that Triton scores together at most; not less than FRAUD_BATCH_SIZE of who asks.",
)
@click.option(
    "--queue-delay-microseconds",
    type=click.IntRange(0, 1_000_000),
    default=0,
    show_default=True,
    help="How long Triton lets a request wait for others. The service sends batches, so 0 costs little.",
)
def triton(out: Path, max_batch_size: int, queue_delay_microseconds: int) -> None:
    """Write the artifact that would be served as a Triton model repository below OUT."""
    settings = load_settings(ScoringSettings)
    if max_batch_size < settings.batch_size:
        raise ConfigError(
            f"--max-batch-size is {max_batch_size}, the service sends up to FRAUD_BATCH_SIZE rows, which is"
            f" {settings.batch_size}; raise the one or lower the other"
        )
    artifact = load_artifact(settings)
    # What cannot be served here is not given to another server.
    Scorer(artifact)
    place = write_repository(
        artifact, out, max_batch_size=max_batch_size, queue_delay_microseconds=queue_delay_microseconds
    )
    version = version_number(artifact.card.version)
    click.echo(f"{place} holds version {version}; serve it with: tritonserver --model-repository={out}")
    if str(version) != artifact.card.version:
        click.echo(f"{artifact.card.version!r} is no number for Triton: set FRAUD_MODEL_VERSION={version}")
