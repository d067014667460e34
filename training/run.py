"""`python -m training run`: from transactions to a champion, all steps in one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import pandas as pd

    from bentos.core.settings import TrainingSettings
    from training.pipeline import TrainingResult
    from training.registry.record import RegisteredVersion

__all__ = ["run", "write_table_snapshot"]


def write_table_snapshot(transactions: pd.DataFrame, output: Path, settings: TrainingSettings) -> None:
    """Write the feature snapshot of a canonical table: what a fresh feature store starts with."""
    from bentos.core.features.pseudonyms import Pseudonyms
    from bentos.core.features.snapshot import write_snapshot

    write_snapshot(transactions, output, Pseudonyms(settings.pseudonym_key.get_secret_value()))


@click.command("snapshot")
@click.argument("transactions")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write, .npz.")
def snapshot(transactions: str, output: Path) -> None:
    """Write the feature snapshot of TRANSACTIONS: the state of every key after the last row.

    Keys are hashed with FRAUD_PSEUDONYM_KEY; the server that fills its store from the snapshot needs the same key.
    """
    from bentos.core.settings import TrainingSettings, load_settings
    from training.data.table import read_transactions

    write_table_snapshot(read_transactions(transactions), output, load_settings(TrainingSettings))
    click.echo(f"{output}: {output.stat().st_size:,} bytes")


@click.command()
@click.argument("transactions")
@click.option(
    "--features",
    help="Feature table of these transactions, as `features` wrote it; without it the features are computed here.",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    default=("forest", "network"),
    show_default=True,
    help="Presets or YAML files to train; give it several times.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--promote/--no-promote",
    "promoted",
    default=True,
    show_default=True,
    help="Make the best the champion, or the challenger, which a rollout compares with the champion.",
)
def run(transactions: str, features: str | None, models: tuple[str, ...], seed: int, promoted: bool) -> None:
    """Train each model on TRANSACTIONS, a path or URL, register all, and promote the best.

    Each is evaluated on the latest fifth of the rows. The one with the highest average precision becomes champion if
    the acceptance rule lets it; a champion that is better stays.
    """
    from bentos.core.settings import TrainingSettings, load_settings
    from training.data.table import read_transactions
    from training.features_file import feature_frame, read_features
    from training.models.config import load_config
    from training.models.progress import rich_progress
    from training.pipeline import train_and_register
    from training.registry.record import make_challenger

    settings = load_settings(TrainingSettings)
    configs = [load_config(name) for name in models]
    rows = read_transactions(transactions)
    table = feature_frame(rows) if features is None else read_features(features)
    trained: list[tuple[RegisteredVersion, TrainingResult]] = []
    with tempfile.TemporaryDirectory(prefix="fraud-run-") as folder, rich_progress() as progress:
        state = Path(folder) / "features.npz"
        write_table_snapshot(rows, state, settings)
        for config in configs:
            done = train_and_register(settings, config, table, seed=seed, snapshot=state, progress=progress)
            trained.append(done)
    _print(trained)
    version, _ = max(trained, key=lambda item: item[1].evaluation.summary["average_precision"].mean)
    if promoted:
        _promote(settings, version)
    else:
        make_challenger(settings, version)
        click.echo(f"{version.name} version {version.version} is challenger")


def _promote(settings: TrainingSettings, version: RegisteredVersion) -> None:
    from bentos.core.errors import RegistryError
    from training.registry.champion import champion_folder
    from training.registry.promotion import promote

    try:
        promotion = promote(settings, version.version, reason="the best of a run")
    except RegistryError as error:
        if not champion_folder(settings.home).exists():
            raise
        click.echo(f"the champion stays: {error}")
        return
    click.echo(f"{version.name} version {version.version} is champion, at {promotion.folder}")


def _print(trained: list[tuple[RegisteredVersion, TrainingResult]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="latest fifth of the rows")
    for heading in ("version", "model", "average precision", "ROC AUC", "Brier score"):
        table.add_column(heading, justify="right" if heading not in ("version", "model") else "left")
    for version, result in trained:
        summary = result.evaluation.summary
        numbers = [f"{summary[name].mean:.4f}" for name in ("average_precision", "roc_auc", "brier")]
        table.add_row(version.version, result.model.config.name, *numbers)
    Console().print(table)
