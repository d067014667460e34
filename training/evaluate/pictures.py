"""Pictures of an evaluation. Drawn without pyplot, so that nothing is kept between calls or shared by threads."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from training.evaluate.evaluation import Evaluation
from training.evaluate.explanation_picture import GlobalExplainer, explanation_figure
from training.evaluate.files import write_atomic
from training.evaluate.intervals import Interval
from training.evaluate.metrics import FloatArray, calibration_bins, quantile_edges
from training.evaluate.style import APPROVE, BLOCK, FRAUD, GREY, LEGITIMATE, REVIEW, STYLE
from training.evaluate.thresholds import cost_curve

__all__ = ["draw_pictures"]

_DPI: Final = 140


def draw_pictures(evaluation: Evaluation, folder: Path, *, explainer: GlobalExplainer | None = None) -> list[Path]:
    """Write the pictures as PNG and return their paths.

    Parameters
    ----------
    evaluation
        With its held-out rows.
    folder
        Made when it is not there.
    explainer
        Adds the global summary of contributions, when given.
    """
    makers = {
        "roc": _roc,
        "precision_recall": _precision_recall,
        "calibration": _calibration,
        "scores": _scores,
        "costs": _costs,
        "decisions": _decisions,
    }
    written = []
    with rc_context(dict(STYLE)):
        for name, make in makers.items():
            written.append(_save(make(evaluation), folder / f"{name}.png"))
        if explainer is not None:
            figure = explanation_figure(explainer, evaluation.held_out.rows)
            written.append(_save(figure, folder / "contributions.png"))
    return written


def _save(figure: Figure, path: Path) -> Path:
    # Without the version of matplotlib in it, the same evaluation gives the same bytes.
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return write_atomic(path, buffer.getvalue())


def _axes(width: float = 6.4, height: float = 4.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _words(name: str, interval: Interval) -> str:
    if not np.isfinite(interval.low):
        return f"{name} {interval.mean:.3f}"
    return f"{name} {interval.mean:.3f} ({interval.confidence:.0%} interval {interval.low:.3f} to {interval.high:.3f})"


def _by_fold(evaluation: Evaluation) -> list[tuple[str, np.ndarray, FloatArray]]:
    frame = evaluation.held_out.frame
    return [
        (str(name), part["is_fraud"].to_numpy(dtype=bool), part["score"].to_numpy(dtype=np.float64))
        for name, part in frame.groupby("fold", sort=False)
    ]


def _roc(evaluation: Evaluation) -> Figure:
    figure, axes = _axes()
    rows = evaluation.held_out
    folds = _by_fold(evaluation)
    if len(folds) > 1:
        for place, (_, labels, scores) in enumerate(folds):
            false_positive, true_positive, _ = roc_curve(labels, scores)
            label = f"each of {len(folds)} folds" if place == 0 else None
            axes.plot(false_positive, true_positive, color=LEGITIMATE, lw=0.9, alpha=0.45, label=label)
    false_positive, true_positive, _ = roc_curve(rows.labels, rows.scores)
    axes.plot(false_positive, true_positive, color=LEGITIMATE, lw=2.2, label="all held-out rows")
    axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls="--", label="chance")
    for name, threshold, colour in _marks(evaluation):
        flagged = rows.scores >= threshold
        point = (flagged[~rows.labels].mean(), flagged[rows.labels].mean())
        label = f"{name} from {threshold:.3f} on"
        axes.plot(*point, "o", color=colour, ms=8, mec="white", mew=1.2, label=label, zorder=5)
    axes.set(xlabel="legitimate transactions flagged", ylabel="frauds flagged", xlim=(-0.01, 1.01), ylim=(-0.01, 1.02))
    _percent(axes)
    axes.set_title(_words("ROC AUC", evaluation.summary["roc_auc"]))
    axes.legend(loc="lower right")
    return figure


def _marks(evaluation: Evaluation) -> list[tuple[str, float, str]]:
    chosen = evaluation.thresholds
    return [("review", chosen.review, REVIEW), ("block", chosen.block, BLOCK)]


def _percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _precision_recall(evaluation: Evaluation) -> Figure:
    figure, axes = _axes()
    rows = evaluation.held_out
    folds = _by_fold(evaluation)
    if len(folds) > 1:
        for place, (_, labels, scores) in enumerate(folds):
            precision, recall, _ = precision_recall_curve(labels, scores)
            label = f"each of {len(folds)} folds" if place == 0 else None
            axes.step(recall, precision, where="post", color=FRAUD, lw=0.9, alpha=0.4, label=label)
    precision, recall, _ = precision_recall_curve(rows.labels, rows.scores)
    axes.step(recall, precision, where="post", color=FRAUD, lw=2.2, label="all held-out rows")
    share = float(rows.labels.mean())
    axes.axhline(share, color=GREY, lw=1, ls="--", label=f"chance: {share:.2%} of transactions are fraud")
    for name, threshold, colour in _marks(evaluation):
        flagged = rows.scores >= threshold
        if flagged.any():
            point = (flagged[rows.labels].mean(), rows.labels[flagged].mean())
            label = f"{name} from {threshold:.3f} on"
            axes.plot(*point, "o", color=colour, ms=8, mec="white", mew=1.2, label=label, zorder=5)
    axes.set(xlabel="recall: frauds flagged", ylabel="precision: frauds among flagged", xlim=(-0.01, 1.01))
    axes.set_ylim(-0.01, 1.03)
    _percent(axes)
    axes.set_title(_words("average precision", evaluation.summary["average_precision"]))
    axes.legend(loc="best")
    return figure


def _wilson(frauds: FloatArray, rows: FloatArray, z: float = 1.96) -> tuple[FloatArray, FloatArray]:
    """Wilson (1927) score interval of a share; holds for few frauds, where the normal one reaches below 0."""
    share = frauds / rows
    middle = (share + z**2 / (2 * rows)) / (1 + z**2 / rows)
    half = z / (1 + z**2 / rows) * np.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)


def _calibration(evaluation: Evaluation) -> Figure:
    figure = Figure(figsize=(6.4, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    rows = evaluation.held_out
    # Quantiles of all scores describe the many small ones, quantiles of the frauds' scores the few large ones.
    edges = np.concatenate([quantile_edges(rows.scores, 10), quantile_edges(rows.scores[rows.labels], 10)[1:-1]])
    found = calibration_bins(rows.labels, rows.scores, np.unique(edges))
    low, high = _wilson(found.frauds.astype(float), found.rows.astype(float))
    floor = max(float(found.predicted.min()) / 2, 1e-4)
    promised, share = np.maximum(found.predicted, floor), np.maximum(found.observed, floor)
    upper.plot([floor, 1], [floor, 1], color=GREY, ls="--", lw=1, label="what is promised comes")
    bars = np.vstack([share - np.maximum(low, floor), high - share]).clip(min=0)
    upper.errorbar(promised, share, yerr=bars, color=FRAUD, fmt="o", ms=5, lw=1.2, capsize=2.5, label="observed")
    empty = found.frauds == 0
    if empty.any():
        upper.plot(
            promised[empty],
            share[empty],
            "o",
            color="white",
            mec=FRAUD,
            ms=5,
            zorder=5,
            label="no fraud in the bin",
        )
    upper.set(xscale="log", yscale="log", ylabel="share of fraud", ylim=(floor * 0.8, 1.3))
    error = evaluation.summary["calibration_error"].mean
    upper.set_title(f"Calibration: mean error {error:.4f}, Brier score {evaluation.summary['brier'].mean:.4f}")
    upper.legend(loc="upper left")
    edges = np.geomspace(floor, 1, 41)
    scores = rows.scores.clip(floor, 1)
    lower.stairs(
        np.histogram(scores[~rows.labels], edges)[0], edges, fill=True, color=LEGITIMATE, alpha=0.75, label="legitimate"
    )
    lower.stairs(np.histogram(scores[rows.labels], edges)[0], edges, fill=True, color=FRAUD, alpha=0.75, label="fraud")
    lower.set(
        yscale="log", xlabel="score: promised probability of fraud", ylabel="transactions", xlim=(floor * 0.8, 1.2)
    )
    lower.legend(loc="upper right", ncols=2)
    for axes in (upper, lower):
        axes.xaxis.set_major_formatter(FuncFormatter(_short_percent))
    upper.yaxis.set_major_formatter(FuncFormatter(_short_percent))
    return figure


def _short_percent(value: float, _: int) -> str:
    return f"{value * 100:g}%"


def _scores(evaluation: Evaluation) -> Figure:
    figure, axes = _axes(height=4.2)
    rows = evaluation.held_out
    edges = np.linspace(0, 1, 51)
    for labels, name, colour in ((~rows.labels, "legitimate", LEGITIMATE), (rows.labels, "fraud", FRAUD)):
        scores = rows.scores[labels]
        share = np.histogram(scores, edges)[0] / len(scores)
        axes.stairs(share, edges, color=colour, alpha=0.3, fill=True)
        axes.stairs(share, edges, color=colour, lw=1.4, label=f"{name}, {len(scores):,} transactions")
    for name, threshold, colour in _marks(evaluation):
        axes.axvline(threshold, color=colour, lw=1.4, ls="--", label=f"{name} from {threshold:.3f} on")
    axes.set(
        yscale="log", xlabel="score: probability of fraud", ylabel="share of the class, per bin of 0.02", xlim=(0, 1)
    )
    axes.yaxis.set_major_formatter(FuncFormatter(_short_percent))
    axes.set_title("Scores by class, on rows the model has not seen")
    axes.legend(loc="upper center")
    return figure


def _costs(evaluation: Evaluation) -> Figure:
    figure, axes = _axes(width=7.2, height=4.8)
    rows = evaluation.held_out
    curve = cost_curve(rows.labels, rows.scores, rows.amounts, evaluation.costs)
    floor = max(float(rows.scores.min()) / 2, 1e-4)
    place = curve.threshold.clip(floor, 1)
    axes.plot(place, curve.reviewed, color=REVIEW, lw=2, label="review everything from the threshold on")
    axes.plot(place, curve.blocked, color=BLOCK, lw=2, label="block everything from the threshold on")
    decided, nothing = evaluation.cost["decided"], evaluation.cost["approve_all"]
    axes.axhline(nothing, color=GREY, ls="--", lw=1, label=f"approve everything: {nothing:,.0f}")
    axes.axhline(
        decided, color=APPROVE, ls="-", lw=1.6, label=f"both thresholds together, cross-fitted: {decided:,.0f}"
    )
    for name, threshold, colour in _marks(evaluation):
        axes.axvline(
            max(threshold, floor), color=colour, lw=1.2, ls=":", label=f"chosen: {name} from {threshold:.3f} on"
        )
    # Where everything is flagged the cost dwarfs what one wants to see.
    top = max(nothing, decided) * 2.6
    axes.set(xscale="log", ylim=(0, top), xlim=(floor, 1), xlabel="threshold on the score")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylabel("cost per 1,000 transactions,\ncurrency of the amounts")
    costs = evaluation.costs
    axes.set_title(
        f"Cost of decisions\nmissed fraud {costs.missed_share:g} × amount, review {costs.review:g},"
        f" blocked legitimate transaction {costs.blocked_customer:g}",
        fontsize=9.5,
    )
    axes.legend(loc="upper right" if evaluation.thresholds.review < 0.02 else "upper left")
    return figure


def _decisions(evaluation: Evaluation) -> Figure:
    figure, axes = _axes(height=3.6)
    found = evaluation.confusion
    counts = np.array(
        [
            [found.approved_legitimate, found.reviewed_legitimate, found.blocked_legitimate],
            [found.approved_fraud, found.reviewed_fraud, found.blocked_fraud],
        ]
    )
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for row in range(2):
        for column in range(3):
            text = f"{counts[row, column]:,}\n{share[row, column]:.2%}"
            colour = "white" if share[row, column] > 0.6 else "#222222"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=11)
    axes.set_xticks(range(3), ["approve", "review", "block"])
    axes.set_yticks(range(2), ["legitimate", "fraud"])
    axes.set(xlabel="decision", ylabel="label")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.set_title(
        f"Decisions at cross-fitted thresholds\nprecision {found.precision:.1%}, recall {found.recall:.1%},"
        f" {found.alert_rate:.2%} of transactions flagged",
        fontsize=9.5,
    )
    return figure
