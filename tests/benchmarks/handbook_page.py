"""The page and the picture of the handbook's benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Final

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.evaluate.intervals import Interval, interval_over_folds, paired_difference

METRICS: Final = {"average_precision": "AP", "roc_auc": "AUC", "card_precision": "CP@100"}
MODELS: Final = {"forest": "handbook_forest", "network": "handbook_network"}
#: Days of training; the last day is the same.
WINDOWS: Final = (7, 28)
#: The handbook's best figures of any model, prequential, test.
PUBLISHED_BEST: Final = {"average_precision": 0.687, "roc_auc": 0.876, "card_precision": 0.303}
#: Its random forest of 100 trees, one split.
PUBLISHED_SINGLE: Final = {"average_precision": 0.658, "roc_auc": 0.867, "card_precision": 0.287}
COLOURS: Final = ("#a6dba0", "#c2a5cf", "#1b7837", "#762a83")
HEAD: Final = """\
# The Fraud Detection Handbook's benchmark

1,754,155 simulated transactions; training, a week of label delay, a week of test; customers known as defrauded are out
of the test. Made by `make handbook`; the protocol is in `tests/benchmarks/handbook.py`, what was chosen and how in
[decision 2](decisions/0002-models-for-the-handbook.md).

## One split, the handbook's 15 features

RandomForest with defaults, random_state 0, trained on 2018-07-25..31, tested on 08-08..14.
"""


def line(metrics: Mapping[str, float]) -> str:
    """Metrics in one line."""
    return " ".join(f"{short} {metrics[name]:.4f}" for name, short in METRICS.items())


def _row(first: str, *cells: str) -> str:
    return "| " + " | ".join([first, *cells]) + " |"


def _heading(*first: str, last: tuple[str, ...] = ()) -> list[str]:
    names = [*first, *METRICS.values(), *last]
    return [_row(*names), "|" + "---|" * len(names)]


def _per_fold(results: pd.DataFrame, window: int, model: str, metric: str) -> NDArray[np.float64]:
    """One model's metric, float64 [folds, seeds]."""
    own = results[(results["model"] == model) & (results["window"] == window)]
    return own.pivot_table(index="fold", columns="seed", values=metric).to_numpy()


def _spread(interval: Interval, form: str = "") -> str:
    return f"{interval.mean:{form}.4f} [{interval.low:{form}.3f}, {interval.high:{form}.3f}]"


def page(single: Mapping[str, float], results: pd.DataFrame) -> str:
    """The page in Markdown."""
    lines = [HEAD, *_heading("")]
    lines.append(_row("published", *(f"{PUBLISHED_SINGLE[name]:.3f}" for name in METRICS)))
    lines.append(_row("here", *(f"{single[name]:.4f}" for name in METRICS)))
    lines += ["", f"## Prequential, the 21 features, mean over {results['fold'].nunique()} folds and"]
    lines[-1] += f" {results['seed'].nunique()} seeds"
    lines += ["", "Intervals: 95 %, Student's t over folds, seeds averaged within a fold.", ""]
    lines += _heading("", last=("seconds a fit",))
    lines.append(_row("best published of any model", *(f"{PUBLISHED_BEST[name]:.3f}" for name in METRICS), ""))
    for window, model in product(WINDOWS, MODELS):
        own = results[(results["model"] == model) & (results["window"] == window)]
        cells = [_spread(interval_over_folds(_per_fold(results, window, model, name).mean(axis=1))) for name in METRICS]
        lines.append(_row(f"{model}, {window} days of training", *cells, f"{own['seconds'].median():.0f}"))
    for window in WINDOWS:
        both = [[_per_fold(results, window, model, name) for model in ("network", "forest")] for name in METRICS]
        cells = [_spread(paired_difference(*pair), "+") for pair in both]
        lines.append(_row(f"network − forest, {window} days, paired", *cells, ""))
    lines += ["", "## Every fold, mean over seeds (standard deviation)", "", *_heading("model", "week from")]
    for (window, model, fold), part in results.groupby(["window", "model", "fold"]):
        cells = [f"{part[name].mean():.4f} ({part[name].std():.4f})" for name in METRICS]
        lines.append(_row(f"{model}, {window} days", fold, *cells))
    return "\n".join([*lines, "", "![Every fold and seed](images/handbook.png)", ""])


def draw(results: pd.DataFrame, path: Path) -> None:
    """Every fold and seed, beside the best published figure."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(METRICS), figsize=(12, 4), layout="constrained")
    folds = sorted(results["fold"].unique())
    for axis, (metric, short) in zip(axes, METRICS.items(), strict=True):
        for place, (window, model) in enumerate(product(WINDOWS, MODELS)):
            for number, of_fold in enumerate(_per_fold(results, window, model, metric)):
                label = f"{model}, {window} days" if number == 0 else None
                x = np.full(len(of_fold), number + 0.16 * (place - 1.5))
                axis.plot(x, of_fold, "o", ms=4, alpha=0.7, color=COLOURS[place], label=label)
        axis.axhline(PUBLISHED_BEST[metric], color="black", lw=1, ls="--", label="best published mean")
        axis.set_xticks(range(len(folds)), [fold[5:] for fold in folds])
        axis.set_xlabel("handbook's week of training, from")
        axis.set_title(short)
        axis.grid(axis="y", alpha=0.3)
    axes[1].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)
