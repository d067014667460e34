"""The command that searches hyper-parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    import optuna

    from training.tune.search import Watcher

__all__ = ["tune"]


@click.command()
@click.argument("features", type=click.Path(path_type=Path))
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
@click.option("--storage", help="SQLAlchemy URL of the studies.  [default: sqlite:///$FRAUD_HOME/tune.db]")
@click.option("--study", help="Name to resume or to share.  [default: made from data, features, ranges and model]")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file for `train --model`; a picture goes beside it.  [default: $FRAUD_HOME/tune/NAME.yaml]",
)
def tune(  # noqa: PLR0913, PLR0917 - click hands every option over by name
    features: Path,
    model: str,
    trials: int,
    jobs: int,
    seed: int,
    fraction: float,
    folds: int,
    storage: str | None,
    study: str | None,
    output: Path | None,
) -> None:
    """Search the hyper-parameters of a model on FEATURES, the highest mean average precision over folds in time.

    The first trial is the model as it is. A search that was interrupted or killed goes on where it was when the same
    command runs again; the same command in several terminals, or --jobs, shares the work.
    """
    from bentos.core.errors import ConfigError
    from bentos.core.features import FEATURE_SCHEMA
    from bentos.core.settings import TrainingSettings, load_settings
    from training.data.table import table_hash
    from training.features_file import read_features
    from training.models.config import load_config, save_config
    from training.tune.identity import study_identity
    from training.tune.objective import Objective, space_of, tuning_folds
    from training.tune.picture import draw_history
    from training.tune.search import SearchPlan, result_of, run_search
    from training.tune.storage import default_storage
    from training.tune.workers import Task, helpers

    home = load_settings(TrainingSettings).home
    config = load_config(model)
    space = space_of(config)
    if not space:
        raise ConfigError(
            f"nobody wrote down ranges for {config.estimator}; a search knows forests and the network: start from one"
            " of these presets, or try values by hand with `train`"
        )
    table = read_features(features)
    parts = tuning_folds(table, fraction=fraction, folds=folds)
    objective = Objective.of(config, space, table, parts, seed)
    identity = study_identity(
        config, space, parts, data_hash=table_hash(table), feature_schema=FEATURE_SCHEMA, seed=seed
    )
    name = study or identity.name(config.name)
    plan = SearchPlan(storage or default_storage(home), name, identity, trials)
    task = Task(features, config, space, fraction, folds, seed)
    click.echo(f"study {name}: {len(parts)} folds, {len(space)} parameters", err=True)
    with helpers(plan, task, jobs - 1), _shown(trials) as watch:
        done = run_search(plan, objective, watch=watch)
    result = result_of(done, objective)
    path = output or home / "tune" / f"{name}.yaml"
    before = "" if result.default_value is None else f", {result.default_value:.4f} before"
    words = f"mean average precision {result.best_value:.4f}{before}"
    save_config(result.best, path, comment=f"{words}; study {name}")
    picture = draw_history(result, path.with_suffix(".png"))
    click.echo(f"{words}\n{path}\n{picture}\nnext: python -m training train {features} --model {path}")


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
            values = [trial.values[0] for trial in trials if trial.state.name == "COMPLETE" and trial.values]
            best = f"best {max(values):.4f}" if values else ""
            done = finished_trials(trials)
            bars.update(task, completed=min(done, total), best=best)
            if not console.is_terminal:
                console.print(f"{done}/{total} trials, {best}", highlight=False)

        yield watch
