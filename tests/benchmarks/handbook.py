"""The Fraud Detection Handbook's protocol: its own features and model, then the 21 features, forest and network.

Every model is trained on one week, as the handbook does, and on four weeks, which meet the same test rows.

Run with ``make handbook`` or ``python -m tests.benchmarks.handbook``; needs the handbook's data (FRAUD_SHARED_DATA).
Writes docs/handbook.md with every fold, and docs/images/handbook.png. Configurations are the presets
``handbook_forest`` and ``handbook_network``, chosen on the folds of ``TUNING_START``, which lie before those reported.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from sklearn.ensemble import RandomForestClassifier

from bentos.core.features import feature_table
from bentos.core.ingest.sources import ingest_table
from bentos.core.settings import TrainingSettings, load_settings
from tests.benchmarks.handbook_page import METRICS, MODELS, WINDOWS, draw, line, page
from training.evaluate.metrics import card_precision_at_k, day_of, ranking_metrics
from training.models.config import load_config, with_values
from training.models.train import fit_pipeline
from training.models.trained import raw_scores
from training.splits import Fold, prequential

WEEK: Final = 7
SINGLE_START: Final = date(2018, 7, 25)
TUNING_START: Final = date(2018, 6, 20)
REPORTED_START: Final = date(2018, 7, 25)
FOLDS: Final = 4
SEEDS: Final = 5
#: Smallest leaf of the forest by days of training, chosen on the tuning folds: more rows allow larger leaves.
LEAVES: Final = {7: 5, 28: 10}
DOCS: Final = Path(__file__).parents[2] / "docs"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    """The transactions as arrays of n rows, which processes share: the 21 features, and what scores are judged by."""

    features: NDArray[np.float32]
    labels: NDArray[np.bool_]
    customers: NDArray[np.int64]
    days: NDArray[np.int64]


@dataclass(frozen=True)
class Job:
    """One fit and its test."""

    model: str
    window: int
    fold: Fold
    week: date
    seed: int


def arrays_of(table: pd.DataFrame) -> Data:
    """The arrays of a canonical table."""
    return Data(
        feature_table(table).astype(np.float32),
        table["is_fraud"].to_numpy(dtype=bool),
        pd.factorize(table["customer_id"])[0].astype(np.int64),
        day_of(table["timestamp"]),
    )


def quality(data: Data, rows: NDArray[np.int64], scores: Floats) -> dict[str, float]:
    """The handbook's three metrics."""
    labels = data.labels[rows]
    cards = card_precision_at_k(labels, scores, data.customers[rows], data.days[rows])
    return {**ranking_metrics(labels, scores), "card_precision": cards.mean}


def single_split(table: pd.DataFrame, data: Data, folder: Path) -> dict[str, float]:
    """RandomForest defaults, random_state 0, on the handbook's own 15 features and its own split."""
    (fold,) = prequential(table, first_train_day=SINGLE_START, folds=1)
    baseline = pd.read_parquet(folder / "fdh_features_baseline.parquet").set_index("TRANSACTION_ID")
    ids = table["transaction_id"].astype("int64")
    rows = np.column_stack([table["amount"].to_numpy(), baseline.loc[ids].to_numpy(np.float64)])
    model = RandomForestClassifier(random_state=0, n_jobs=-1).fit(rows[fold.train], data.labels[fold.train])
    return quality(data, fold.test, model.predict_proba(rows[fold.test])[:, 1])


def jobs(table: pd.DataFrame, first: date, seeds: int) -> list[Job]:
    """Every window, fold, model and seed; folds are named by the handbook's week of training."""
    found = []
    for window in WINDOWS:
        folds = prequential(
            table,
            first_train_day=first - timedelta(days=window - WEEK),
            train_days=window,
            folds=FOLDS,
            known_days=WEEK,
        )
        for (number, fold), model, seed in product(enumerate(folds), MODELS, range(seeds)):
            found.append(Job(model, window, fold, first + timedelta(days=WEEK * number), seed))
    return found


def fit(data: Data, job: Job) -> dict[str, Any]:
    """Fit and test: one row of the results."""
    config = load_config(MODELS[job.model])
    if config.kind == "forest":
        config = with_values(config, {"parameters.min_samples_leaf": LEAVES[job.window]})
    train = job.fold.train
    start = time.perf_counter()
    pipeline = fit_pipeline(config, data.features[train], data.labels[train].astype(np.int64), job.seed)
    seconds = time.perf_counter() - start
    found = quality(data, job.fold.test, raw_scores(pipeline, config.kind, data.features[job.fold.test]))
    about = {"model": job.model, "window": job.window, "fold": str(job.week), "seed": job.seed}
    return {**about, "seconds": seconds, **found}


def run(data: Data, todo: list[Job], processes: int) -> pd.DataFrame:
    """All jobs, in several processes of one thread each."""
    results = []
    with Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("fits", total=len(todo))
        parallel = Parallel(n_jobs=processes, return_as="generator_unordered")
        for found in parallel(delayed(fit)(data, job) for job in todo):
            results.append(found)
            progress.advance(task)
            about = f"{found['model']} {found['window']} days, {found['fold']}, seed {found['seed']}"
            progress.console.print(f"{about}: {line(found)}, {found['seconds']:.0f} s", highlight=False)
    return pd.DataFrame(results)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="seeds per fold (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="fits side by side (default: %(default)s)")
    parser.add_argument(
        "--tuning", action="store_true", help="the folds that the presets were chosen on; prints and writes nothing"
    )
    options = parser.parse_args()
    folder = load_settings(TrainingSettings).shared_data / "fdh"
    if not folder.is_dir():
        sys.exit(f"the handbook's data is not at {folder}; set FRAUD_SHARED_DATA to the folder that holds fdh/")
    # The scenario of a fraud is never read.
    table = ingest_table([folder / "fdh_transactions_raw.parquet"], "fdh")
    data = arrays_of(table)
    if options.tuning:
        found = run(data, jobs(table, TUNING_START, options.seeds), options.processes)
        print(found.groupby(["window", "model"])[list(METRICS)].mean().round(4).to_string())
        return
    single = single_split(table, data, folder)
    print(f"one split, the handbook's 15 features: {line(single)}", file=sys.stderr)
    results = run(data, jobs(table, REPORTED_START, options.seeds), options.processes)
    text = page(single, results)
    draw(results, DOCS / "images" / "handbook.png")
    (DOCS / "handbook.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
