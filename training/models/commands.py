"""The command that trains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from training.pipeline import TrainingResult

__all__ = ["train"]


@click.command()
@click.argument("features")
@click.option(
    "--model",
    default="forest",
    show_default=True,
    help="A preset's name (forest, network, …) or the path of a YAML file, such as `tune` writes.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of everything random.")
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the rows, the latest, to evaluate on; the model is fitted on the others.",
)
@click.option(
    "--register/--no-register",
    default=True,
    show_default=True,
    help="Export the model and register it as challenger, or only say how good it is.",
)
@click.option(
    "--snapshot", type=click.Path(path_type=Path, exists=True), help="Feature snapshot that a bento of it carries."
)
@click.option(
    "--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for evaluation.json and model.yaml."
)
def train(
    features: str, model: str, seed: int, fraction: float, register: bool, snapshot: Path | None, output: Path | None
) -> None:
    """Train a model on FEATURES, a path or URL, evaluate it on the later part, register it.

    The same seed on the same table gives the same model, which the printed digest shows.
    """
    from bentos.core.settings import TrainingSettings, load_settings
    from training.features_file import read_features
    from training.models.config import load_config, save_config
    from training.models.digest import model_digest
    from training.models.progress import rich_progress
    from training.pipeline import train_and_evaluate, train_and_register

    settings = load_settings(TrainingSettings)
    config = load_config(model)
    table = read_features(features)
    version = None
    with rich_progress() as progress:
        if register:
            version, result = train_and_register(
                settings, config, table, seed=seed, fraction=fraction, snapshot=snapshot, progress=progress
            )
        else:
            result = train_and_evaluate(config, table, seed=seed, fraction=fraction, progress=progress)
    if output is not None:
        from training.evaluate.files import write_atomic

        write_atomic(output / "evaluation.json", result.evaluation.to_json())
        save_config(config, output / "model.yaml")
    _show(result)
    click.echo(f"digest {model_digest(result.model)}")
    if version is not None:
        click.echo(f"registered {version.name} version {version.version} as challenger, run {version.run_id}")


def _show(result: TrainingResult) -> None:
    from rich.console import Console
    from rich.table import Table

    fold, evaluation = result.fold, result.evaluation
    table = Table(title=f"{result.model.config.name}: {len(fold.train):,} rows to fit, {len(fold.test):,} later rows")
    for name in ("metric", "value", "interval"):
        table.add_column(name)
    for name, value in evaluation.summary.items():
        table.add_row(name, f"{value.mean:.4f}", f"{value.low:.4f} to {value.high:.4f}")
    console = Console()
    console.print(table)
    console.print(evaluation.overfitting.message, highlight=False)
