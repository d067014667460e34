"""The command that searches hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bentos.core.commands import terminable

if TYPE_CHECKING:
    import optuna
    import pandas as pd

    from bentos.core.settings import TrainingSettings
    from training.tune.search import SearchResult, Watcher

__all__ = ["tune"]


@click.command()
@click.argument("source", metavar="FEATURES")
@click.option(
    "--model", default="forest", show_default=True, help="What to start from: a preset's name or a path of a YAML file."
)
@click.option(
    "--trials",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Finished trials that the study is to reach, those of earlier runs included.",
)
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that try at once.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of search and models.")
@click.option(
    "--fraction",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="Share of the rows, the latest, that the search must not see, as `train` evaluates on them.",
)
@click.option("--folds", type=click.IntRange(2), default=4, show_default=True, help="Folds in the order of time.")
@click.option(
    "--storage", help="SQLAlchemy URL of the studies.  [default: FRAUD_TUNE_URL, else sqlite:///$FRAUD_HOME/tune.db]"
)
@click.option("--study", help="Name to resume or to share.  [default: made from data, features, ranges and model]")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file for `train --model`; a picture goes beside it.  [default: $FRAUD_HOME/tune/NAME.yaml]",
)
@click.option(
    "--register/--no-register",
    default=False,
    show_default=True,
    help="Train what was found as `train` would, and register it as challenger.",
)
@click.option("--index", type=click.IntRange(0), default=0, envvar="JOB_COMPLETION_INDEX", hidden=True)
def tune(  # noqa: PLR0913, PLR0917 - click hands every option over by name
    source: str,
    model: str,
    trials: int,
    jobs: int,
    seed: int,
    fraction: float,
    folds: int,
    storage: str | None,
    study: str | None,
    output: Path | None,
    register: bool,
    index: int,
) -> None:
    """Search the hyper-parameters of a model on FEATURES, the highest mean average precision over folds in time.

    FEATURES is a path or URL of a feature table, or of transactions, whose features are then computed.

    The first trial is the model as it is. A search that was interrupted or killed goes on where it was when the same
    command runs again; the same command in several terminals, or --jobs, shares the work, and so do the pods of an
    indexed Job of Kubernetes, of which the first trains in the end.
    """
    from bentos.core.errors import ConfigError
    from bentos.core.features import FEATURE_SCHEMA
    from bentos.core.settings import TrainingSettings, load_settings
    from training.data.table import table_hash
    from training.features_file import read_or_compute_features
    from training.models.config import load_config, save_config
    from training.tune.identity import study_identity
    from training.tune.objective import Objective, space_of, tuning_folds
    from training.tune.picture import draw_history
    from training.tune.search import SearchPlan, result_of, run_search
    from training.tune.storage import default_storage
    from training.tune.workers import Task, helpers, interrupt_helpers

    settings = load_settings(TrainingSettings)
    config = load_config(model)
    space = space_of(config)
    if not space:
        raise ConfigError(
            f"nobody wrote down ranges for {config.estimator}; a search knows forests and the network: start from one"
            " of these presets, or try values by hand with `train`"
        )
    table, transactions = read_or_compute_features(source)
    parts = tuning_folds(table, fraction=fraction, folds=folds)
    objective = Objective.of(config, space, table, parts, seed)
    identity = study_identity(
        config, space, parts, data_hash=table_hash(table), feature_schema=FEATURE_SCHEMA, seed=seed
    )
    name = study or identity.name(config.name)
    url = storage or (settings.tune_url.get_secret_value() if settings.tune_url else default_storage(settings.home))
    plan = SearchPlan(url, name, identity, trials)
    task = Task(source, config, space, fraction, folds, seed)
    click.echo(f"study {name}: {len(parts)} folds, {len(space)} parameters", err=True)
    # Numbers of processes, of all pods together.
    first, *others = range(index * jobs, (index + 1) * jobs)
    with terminable(interrupt_helpers), helpers(plan, task, others), _shown(trials) as watch:
        done = run_search(plan, objective, worker=first, watch=watch)
    result = result_of(done, objective)
    before = "" if result.default_value is None else f", {result.default_value:.4f} before"
    words = f"mean average precision {result.best_value:.4f}{before}"
    click.echo(words)
    if index:
        return
    path = output or settings.home / "tune" / f"{name}.yaml"
    save_config(result.best, path, comment=f"{words}; study {name}")
    picture = draw_history(result, path.with_suffix(".png"))
    click.echo(f"{path}\n{picture}")
    if register:
        _register(settings, result, table, transactions, seed=seed, fraction=fraction)
    else:
        click.echo(f"next: python -m training train {source} --model {path}")


def _register(
    settings: TrainingSettings,
    result: SearchResult,
    table: pd.DataFrame,
    transactions: pd.DataFrame | None,
    *,
    seed: int,
    fraction: float,
) -> None:
    import tempfile

    from training.models.progress import rich_progress
    from training.pipeline import train_and_register
    from training.run import write_table_snapshot

    with tempfile.TemporaryDirectory(prefix="fraud-tune-") as folder, rich_progress() as progress:
        snapshot = None
        if transactions is not None:
            snapshot = Path(folder) / "features.npz"
            write_table_snapshot(transactions, snapshot, settings)
        version, _ = train_and_register(
            settings,
            result.best,
            table,
            seed=seed,
            fraction=fraction,
            snapshot=snapshot,
            parameters={"study": result.study, "study_trials": len(result.trials)},
            progress=progress,
        )
    click.echo(f"registered {version.name} version {version.version} as challenger, run {version.run_id}")


@contextmanager
def _shown(total: int) -> Iterator[Watcher]:
    """A bar on stderr with the best value; a line a trial where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from training.tune.search import finished_trials

    console = Console(stderr=True)
    columns = (
        TextColumn("trials"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[best]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        task = bars.add_task("trials", total=total, best="")

        def watch(trials: Sequence[optuna.trial.FrozenTrial]) -> None:
            values = [trial.value for trial in trials if trial.state.name == "COMPLETE" and trial.value is not None]
            best = f"best {max(values):.4f}" if values else ""
            done = finished_trials(trials)
            bars.update(task, completed=min(done, total), best=best)
            if not console.is_terminal:
                console.print(f"{done}/{total} trials, {best}", highlight=False)

        yield watch
