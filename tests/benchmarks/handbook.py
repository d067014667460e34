"""The Fraud Detection Handbook's protocol: its own features and model, then the 21 features, forest and network.

Run with ``make handbook`` or ``python -m tests.benchmarks.handbook``; needs the handbook's data (FRAUD_SHARED_DATA).
Writes docs/handbook.md with every fold, and docs/images/handbook.png. Configurations are the presets
``handbook_forest`` and ``handbook_network``, chosen on the folds of ``TUNING_START`` alone: their last test day lies
before the first test day of the folds that are reported.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from sklearn.ensemble import RandomForestClassifier

from bentos.core.features import feature_table
from bentos.core.settings import TrainingSettings, load_settings
from training.data.ingest import ingest_table
from training.evaluate.intervals import Interval, interval_over_folds, paired_difference
from training.evaluate.metrics import card_precision_at_k, day_of, ranking_metrics
from training.models.config import load_config
from training.models.train import fit_pipeline
from training.models.trained import raw_scores
from training.splits import Fold, prequential

SINGLE_START: Final = date(2018, 7, 25)
TUNING_START: Final = date(2018, 6, 20)
TUNING_FOLDS: Final = 4
REPORTED_START: Final = date(2018, 7, 25)
REPORTED_FOLDS: Final = 4
SEEDS: Final = 5
METRICS: Final = {"average_precision": "AP", "roc_auc": "AUC", "card_precision": "CP@100"}
#: The handbook's best figures of any model, prequential, test.
PUBLISHED_BEST: Final = {"average_precision": 0.687, "roc_auc": 0.876, "card_precision": 0.303}
#: Its random forest of 100 trees, one split.
PUBLISHED_SINGLE: Final = {"average_precision": 0.658, "roc_auc": 0.867, "card_precision": 0.287}
MODELS: Final = {"forest": "handbook_forest", "network": "handbook_network"}
DOCS: Final = Path(__file__).parents[2] / "docs"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """The handbook's transactions: its own 15 features, and the 21."""

    table: pd.DataFrame
    handbook: Floats
    features: Floats


def load_data(folder: Path) -> Data:
    """Read and compute everything; scenario is never read."""
    table = ingest_table([folder / "fdh_transactions_raw.parquet"], "fdh")
    baseline = pd.read_parquet(folder / "fdh_features_baseline.parquet").set_index("TRANSACTION_ID")
    ids = table["transaction_id"].astype(baseline.index.dtype)
    own = np.column_stack([table["amount"].to_numpy(), baseline.loc[ids].to_numpy(np.float64)])
    return Data(table, own, feature_table(table))


def quality(data: Data, rows: NDArray[np.int64], scores: Floats) -> dict[str, float]:
    """The handbook's three metrics."""
    part = data.table.iloc[rows]
    labels = part["is_fraud"].to_numpy()
    cards = card_precision_at_k(labels, scores, part["customer_id"].to_numpy(), day_of(part["timestamp"]))
    return {**ranking_metrics(labels, scores), "card_precision": cards.mean}


def single_split(data: Data) -> dict[str, float]:
    """RandomForest defaults, random_state 0, on the handbook's 15 features and its own split."""
    (fold,) = prequential(data.table, first_train_day=SINGLE_START, folds=1)
    model = RandomForestClassifier(random_state=0, n_jobs=-1)
    model.fit(data.handbook[fold.train], data.table["is_fraud"].to_numpy()[fold.train])
    return quality(data, fold.test, model.predict_proba(data.handbook[fold.test])[:, 1])


def run(data: Data, folds: list[Fold], seeds: int) -> pd.DataFrame:
    """Every model, fold and seed: one row each with metrics and seconds of fitting."""
    rows = data.features.astype(np.float32)
    labels = data.table["is_fraud"].to_numpy().astype(np.int64)
    results = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("fits", total=len(MODELS) * len(folds) * seeds)
        for name, preset in MODELS.items():
            config = load_config(preset)
            for fold in folds:
                for seed in range(seeds):
                    start = time.perf_counter()
                    pipeline = fit_pipeline(config, rows[fold.train], labels[fold.train], seed)
                    seconds = time.perf_counter() - start
                    found = quality(data, fold.test, raw_scores(pipeline, config.kind, rows[fold.test]))
                    results.append({"model": name, "fold": fold.name, "seed": seed, "seconds": seconds, **found})
                    progress.advance(task)
                    progress.console.print(f"{name} {fold.name} seed {seed}: {_line(found)}, {seconds:.0f} s")
    return pd.DataFrame(results)


def _line(metrics: dict[str, float]) -> str:
    return " ".join(f"{short} {metrics[name]:.4f}" for name, short in METRICS.items())


def per_fold(results: pd.DataFrame, model: str, metric: str) -> Floats:
    """One model's metric, float64 [folds, seeds]."""
    own = results[results["model"] == model]
    return own.pivot_table(index="fold", columns="seed", values=metric).to_numpy()


def _spread(interval: Interval) -> str:
    return f"{interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def report(single: dict[str, float], results: pd.DataFrame) -> str:
    """The page in Markdown."""
    seeds = results["seed"].nunique()
    lines = [
        "# The Fraud Detection Handbook's benchmark",
        "",
        "1,754,155 simulated transactions; a week of training, a week of label delay, a week of test; customers known as",
        "defrauded are out of the test. Made by `make handbook`; the protocol is in `tests/benchmarks/handbook.py`.",
        "",
        "## One split, the handbook's 15 features",
        "",
        "RandomForest with defaults, random_state 0, trained on 2018-07-25..31, tested on 08-08..14.",
        "",
        "| | " + " | ".join(METRICS.values()) + " |",
        "|---|" + "---|" * len(METRICS),
        "| published | " + " | ".join(f"{PUBLISHED_SINGLE[name]:.3f}" for name in METRICS) + " |",
        "| here | " + " | ".join(f"{single[name]:.4f}" for name in METRICS) + " |",
        "",
        f"## Prequential, the 21 features, mean over {results['fold'].nunique()} folds and {seeds} seeds",
        "",
        "Intervals: 95 %, Student's t over folds, seeds averaged within a fold.",
        "",
        "| | " + " | ".join(METRICS.values()) + " | seconds a fit |",
        "|---|" + "---|" * (len(METRICS) + 1),
        "| best published of any model | " + " | ".join(f"{PUBLISHED_BEST[name]:.3f}" for name in METRICS) + " | |",
    ]
    for model in MODELS:
        cells = [_spread(interval_over_folds(per_fold(results, model, name).mean(axis=1))) for name in METRICS]
        seconds = results.loc[results["model"] == model, "seconds"].median()
        lines.append(f"| {model} | " + " | ".join(cells) + f" | {seconds:.0f} |")
    differences = [
        paired_difference(per_fold(results, "network", name), per_fold(results, "forest", name)) for name in METRICS
    ]
    lines.append("| network − forest, paired | " + " | ".join(map(_spread, differences)) + " | |")
    lines += ["", "## Every fold, mean over seeds (standard deviation)", ""]
    lines += ["| model | training from | " + " | ".join(METRICS.values()) + " |", "|---|---|" + "---|" * len(METRICS)]
    for (model, fold), part in results.groupby(["model", "fold"]):
        cells = [f"{part[name].mean():.4f} ({part[name].std():.4f})" for name in METRICS]
        lines.append(f"| {model} | {fold} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", "![Every fold and seed](images/handbook.png)", ""])


def draw(results: pd.DataFrame, path: Path) -> None:
    """Every fold and seed, beside the best published figure."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(METRICS), figsize=(11, 3.6), layout="constrained")
    folds = sorted(results["fold"].unique())
    for axis, (metric, short) in zip(axes, METRICS.items(), strict=True):
        for offset, model, colour in ((-0.12, "forest", "#1b7837"), (0.12, "network", "#762a83")):
            values = per_fold(results, model, metric)
            for number, of_fold in enumerate(values):
                label = model if number == 0 else None
                axis.plot(
                    np.full(len(of_fold), number + offset), of_fold, "o", ms=4, alpha=0.6, color=colour, label=label
                )
        axis.axhline(PUBLISHED_BEST[metric], color="black", lw=1, ls="--", label="best published mean")
        axis.set_xticks(range(len(folds)), [fold[5:] for fold in folds])
        axis.set_xlabel("first day of training, 2018")
        axis.set_title(short)
        axis.grid(axis="y", alpha=0.3)
    axes[0].legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds per fold (default: %(default)s)")
    parser.add_argument(
        "--tuning", action="store_true", help="run the folds that the presets were chosen on; writes nothing"
    )
    options = parser.parse_args()
    folder = load_settings(TrainingSettings).shared_data / "fdh"
    if not folder.is_dir():
        sys.exit(f"the handbook's data is not at {folder}; set FRAUD_SHARED_DATA to the folder that holds fdh/")
    data = load_data(folder)
    if options.tuning:
        folds = prequential(data.table, first_train_day=TUNING_START, folds=TUNING_FOLDS)
        found = run(data, folds, options.seeds)
        print(found.groupby("model")[list(METRICS)].mean().round(4).to_string())
        return
    single = single_split(data)
    print(f"one split, the handbook's 15 features: {_line(single)}", file=sys.stderr)
    results = run(data, prequential(data.table, first_train_day=REPORTED_START, folds=REPORTED_FOLDS), options.seeds)
    page = report(single, results)
    draw(results, DOCS / "images" / "handbook.png")
    (DOCS / "handbook.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
