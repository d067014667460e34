"""The history of a search as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import optuna

from training.evaluate.files import write_atomic
from training.evaluate.style import FRAUD, GREY, LEGITIMATE, STYLE
from training.tune.search import SearchResult

__all__ = ["draw_history"]


def draw_history(result: SearchResult, path: Path) -> Path:
    """Write a PNG: the value of every trial, the best so far, and what was started from.

    Raises
    ------
    DataError
        When the file cannot be written.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    complete = [trial for trial in result.trials if trial.state == optuna.trial.TrialState.COMPLETE and trial.values]
    pruned = [
        trial for trial in result.trials if trial.state == optuna.trial.TrialState.PRUNED and trial.intermediate_values
    ]
    with rc_context(dict(STYLE)):
        figure = Figure(figsize=(6.4, 4.0), layout="constrained")
        axes = figure.add_subplot()
        numbers = [trial.number for trial in complete]
        values = [trial.values[0] for trial in complete]
        axes.plot(numbers, values, "o", color=LEGITIMATE, markersize=5, label="complete")
        if pruned:
            last = [trial.intermediate_values[max(trial.intermediate_values)] for trial in pruned]
            axes.plot(
                [trial.number for trial in pruned], last, "x", color=GREY, markersize=6, label="pruned, folds so far"
            )
        axes.step(numbers, np.maximum.accumulate(values), where="post", color=FRAUD, label="best so far")
        if result.default_value is not None:
            axes.axhline(result.default_value, color=GREY, linewidth=1, linestyle="--", label="started from")
        axes.set_xlabel("trial")
        axes.set_ylabel("mean average precision over folds")
        axes.set_title(f"{result.study}: best {result.best_value:.4f}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right")
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150)
    return write_atomic(path, buffer.getvalue())
