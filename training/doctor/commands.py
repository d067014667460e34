"""`python -m training doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.core.errors import DataError
from training.evaluate.split_options import SplitChoice, split_options

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["doctor"]


@click.command()
@click.option(
    "--features",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Feature table, Parquet, written by `python -m training features`.",
)
@click.option("--model", help="Version, alias (champion, challenger) or folder of an artifact; without it, only data.")
@click.option(
    "--transactions",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Canonical table the features were made from: they are computed again to find a look into the future.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@split_options
def doctor(features: Path, model: str | None, transactions: Path | None, as_json: bool, split: SplitChoice) -> None:
    """Examine a model and its data for the usual suspects.

    Each check says what it found, what that means and what to do. The exit code is 1 when a check fails.
    """
    import numpy as np
    from rich.console import Console

    from bentos.core.settings import TrainingSettings, load_settings
    from training.data.table import read_transactions
    from training.doctor.check import Patient
    from training.doctor.examine import CHECKS, examine, failed, to_json, to_table

    settings = load_settings(TrainingSettings)
    opened = trained = scorer = None
    if model is not None:
        from training.evaluate.artifact_scorer import ArtifactScorer
        from training.registry.opened import open_model

        opened = open_model(settings, model, with_trained=True)
        trained = opened.trained
        scorer = trained if trained is not None else ArtifactScorer(opened.artifact)
    table = _read_as_is(features)
    notes = Console(stderr=True)
    try:
        last = split.folds_of(table)[-1]
        train, test = last.train, last.test
    except (DataError, KeyError) as error:
        # A table that cannot be split is examined all the more; the last fifth stands in for the test.
        notes.print(f"[yellow]the split failed: {error}; checking with the last fifth of the rows as test[/]")
        cut = int(len(table) * 0.8)
        train, test = np.arange(cut), np.arange(cut, len(table))
    patient = Patient(
        table,
        train,
        test,
        by_time=split.by_time,
        scorer=scorer,
        model=trained,
        artifact=None if opened is None else opened.artifact,
        transactions=None if transactions is None else read_transactions(transactions),
    )
    with notes.status("examining"):
        answers = examine(patient, CHECKS)
    if as_json:
        click.echo(to_json(answers))
    else:
        Console().print(to_table(answers))
    if failed(answers):
        raise SystemExit(1)


def _read_as_is(path: Path) -> pd.DataFrame:
    """Read a feature table with all that is wrong with it: training refuses such a table, the doctor explains it.

    Raises
    ------
    DataError
        When there is none, it is empty, or it is not Parquet.
    """
    import pandas as pd

    try:
        table = pd.read_parquet(path)
    except FileNotFoundError as error:
        raise DataError(f"there is no feature table at {path}: make one with `python -m training features`") from error
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise DataError(f"{path} is no Parquet file that can be read: {error}") from error
    if table.empty:
        raise DataError(f"the feature table {path} has no rows")
    return table
