"""`python -m training evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from training.evaluate.split_options import SplitChoice, split_options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    from rich.console import Console

    from bentos.core.artifact import Artifact
    from training.evaluate.evaluation import Evaluation
    from training.evaluate.report import FoldLike

__all__ = ["evaluate"]


@click.command()
@click.argument("model", default="champion")
@click.option(
    "--features",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Feature table, Parquet, written by `python -m training features`.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for evaluation.json and the pictures; without it, $FRAUD_HOME/evaluations/MODEL.",
)
@click.option("--top-k", type=click.IntRange(1), default=100, show_default=True, help="Cards checked a day.")
@click.option(
    "--thresholds",
    "method",
    type=click.Choice(["cost", "f1"]),
    default="cost",
    show_default=True,
    help="How review and block are chosen.",
)
@click.option(
    "--missed-share", type=float, default=1.0, show_default=True, help="Share of a missed fraud's amount that is lost."
)
@click.option(
    "--review-cost", type=float, default=3.0, show_default=True, help="Cost of a review, currency of amounts."
)
@click.option(
    "--block-cost", type=float, default=30.0, show_default=True, help="Cost of a blocked legitimate transaction."
)
@click.option(
    "--allow-seen", is_flag=True, help="Measure although the model was trained on test days; promises too much."
)
@click.option("--pictures/--no-pictures", default=True, show_default=True, help="Draw curves, calibration and so on.")
@split_options
def evaluate(  # noqa: PLR0913, PLR0917 - click hands every option over by name
    model: str,
    features: Path,
    output: Path | None,
    top_k: int,
    method: Literal["cost", "f1"],
    missed_share: float,
    review_cost: float,
    block_cost: float,
    allow_seen: bool,
    pictures: bool,
    split: SplitChoice,
) -> None:
    """Measure MODEL on rows it has not seen: metrics with intervals, thresholds, pictures.

    MODEL is a registered version, an alias (champion, challenger) or the folder of an artifact.
    """
    from rich.console import Console

    from bentos.core.settings import TrainingSettings, load_settings
    from training.evaluate.artifact_scorer import ArtifactScorer
    from training.evaluate.files import write_atomic
    from training.evaluate.report import evaluate_model
    from training.evaluate.thresholds import CostModel
    from training.registry.opened import open_model

    settings = load_settings(TrainingSettings)
    costs = CostModel(missed_share=missed_share, review=review_cost, blocked_customer=block_cost)
    notes = Console(stderr=True)
    opened = open_model(settings, model)
    from training.features_file import read_features

    table = read_features(features)
    folds = split.folds_of(table)
    with notes.status("scoring"):
        result = evaluate_model(
            ArtifactScorer(opened.artifact),
            table,
            folds,
            split=split.words,
            fitted_on=_trained_on(opened.artifact, table, folds, split, notes, allow_seen=allow_seen),
            top_k=top_k,
            threshold_method=method,
            costs=costs,
        )
    place = output or settings.home / "evaluations" / opened.name.replace("/", "_").replace(" ", "-")
    write_atomic(place / "evaluation.json", result.to_json())
    if pictures:
        from bentos.core.explain import load_explainer
        from training.evaluate.pictures import draw_pictures

        with notes.status("drawing"):
            draw_pictures(result, place, explainer=load_explainer(opened.artifact.kind, opened.artifact.explainer))
    _show(Console(), opened.name, result)
    notes.print(f"written to {place}")


def _trained_on(
    artifact: Artifact,
    table: pd.DataFrame,
    folds: list[FoldLike],
    split: SplitChoice,
    notes: Console,
    *,
    allow_seen: bool,
) -> npt.NDArray[np.int64] | None:
    """Rows of the table in the card's training period, None when they are not known."""
    import numpy as np

    from bentos.core.errors import DataError
    from training.evaluate.metrics import day_of

    period = artifact.card.training_period
    if period is None or not split.by_time:
        if not split.by_time:
            notes.print(
                "[yellow]a stratified split holds out what the model was not trained on only if it was trained on the"
                " same split with the same seed[/]"
            )
        return None
    days = day_of(table["timestamp"])
    first, last = (np.datetime64(day, "D").astype(np.int64) for day in (period.start, period.end))
    tests = np.unique(np.concatenate([fold.test for fold in folds]))
    # The last day may be cut in two by the split that the model was trained on.
    seen = int(((days[tests] >= first) & (days[tests] < last)).sum())
    if seen:
        text = (
            f"{seen:,} of {len(tests):,} test rows lie in the model's training period, {period.start} to {period.end}"
        )
        if not allow_seen:
            raise DataError(f"{text}: choose a later split or newer data, or measure nevertheless with --allow-seen")
        notes.print(f"[yellow]{text}: these numbers promise too much[/]")
        return None
    fitted = np.setdiff1d(np.flatnonzero((days >= first) & (days <= last)), tests)
    labels = table["is_fraud"].to_numpy(dtype=bool)[fitted]
    return fitted if 0 < labels.sum() < len(labels) else None


def _show(console: Console, name: str, result: Evaluation) -> None:
    import math

    from rich.table import Table

    from training.evaluate.metrics import HIGHER_IS_BETTER

    table = Table(title=f"{name} on {result.split}", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for column in ("metric", "mean", "interval 95%", *(fold.name for fold in result.folds)):
        table.add_column(column, justify="left" if column == "metric" else "right")
    for metric, value in result.summary.items():
        interval = f"{value.low:.4f} – {value.high:.4f}" if math.isfinite(value.low) else "–"
        words = metric.replace("_at_k", f"@{result.top_k}").replace("_", " ")
        arrow = "↑" if HIGHER_IS_BETTER[metric] else "↓"
        table.add_row(
            f"{words} {arrow}", f"{value.mean:.4f}", interval, *(f"{fold.metrics[metric]:.4f}" for fold in result.folds)
        )
    console.print(table)
    chosen, found = result.thresholds, result.confusion
    console.print(
        f"\nintervals: {result.summary['average_precision'].method}\n"
        f"review from {chosen.review:.4f}, block from {chosen.block:.4f} (by {result.threshold_method});"
        f" on customers that did not choose them: precision {found.precision:.1%}, recall {found.recall:.1%},"
        f" {found.alert_rate:.2%} flagged\n"
        f"cost per 1,000 transactions {result.cost['decided']:,.0f}, {result.cost['approve_all']:,.0f} without a model",
        highlight=False,
    )
    colour = {"ok": "green", "warn": "yellow", "fail": "red", "unknown": "dim"}[result.overfitting.status]
    console.print(
        f"train against test: [{colour}]{result.overfitting.status}[/] {result.overfitting.message}", highlight=False
    )
