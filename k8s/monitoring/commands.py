"""``python -m k8s monitoring``."""

from __future__ import annotations

from pathlib import Path

import click

from bentos.core.errors import ConfigError
from k8s.monitoring.files import FOLDER, made_files
from k8s.monitoring.objectives import Objectives

__all__ = ["monitoring"]

_STANDARD = Objectives()


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=FOLDER,
    help="Folder to write rules.yaml and dashboards/ to.  [default: where the chart of this repository packs them]",
)
@click.option(
    "--availability",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=1 - _STANDARD.error_ratio,
    show_default=True,
    help="Share of requests that must not fail.",
)
@click.option(
    "--latency-ms",
    type=click.FloatRange(0, min_open=True),
    default=_STANDARD.latency_seconds * 1000,
    show_default=True,
    help="99 of 100 predictions are answered within; 10, 15, 20, 30, 40, 50, 75, 100, 150, 250 or 500.",
)
@click.option(
    "--drift",
    type=click.FloatRange(0, min_open=True),
    default=_STANDARD.drift,
    show_default=True,
    help="By how much a stability index over a day has to pass its limit.",
)
def monitoring(output: Path, availability: float, latency_ms: float, drift: float) -> None:
    """Write alerting rules and dashboards, with objectives of your own."""
    if latency_ms not in _BOUNDS:
        bounds = ", ".join(map(str, _BOUNDS))
        raise ConfigError(
            f"--latency-ms is {latency_ms:g}; what is late is counted for {bounds} only: name one of these"
        )
    objectives = Objectives(error_ratio=round(1 - availability, 9), latency_seconds=latency_ms / 1000, drift=drift)
    for path, text in made_files(objectives).items():
        target = output / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        click.echo(target)


#: Of the buckets of fraud_prediction_latency_seconds, milliseconds.
_BOUNDS = (10, 15, 20, 30, 40, 50, 75, 100, 150, 250, 500)
