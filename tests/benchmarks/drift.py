"""After how many payments injected drift is flagged, and how often payments without drift are.

Run with ``python -m tests.benchmarks.drift``. Synthetic payments, 3,000 a day: 110 days to train on, then 71 days
without drift, and, in their place, four days in which something has changed. Features are computed of the changed
payments, and counted as a server counts them; scores are those of a model that was trained on the 110 days.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from bentos.core.artifact.distributions import Distributions, reference_histogram
from bentos.core.features import FEATURE_NAMES
from bentos.fraud.drift.layout import Layout
from tests.fraud.drift.replay import first_flags
from training.data.synthetic import GeneratorConfig, generate_chunks
from training.features_file import feature_frame

Floats: TypeAlias = NDArray[np.float64]
A_DAY: Final = 3_000
TRAINED_DAYS: Final = 110
QUIET_DAYS: Final = 71
CHANGED_DAYS: Final = 4
#: What is wanted.
SOON: Final = 5_000


@dataclass(frozen=True)
class Trained:
    """A model, what it was trained on, and the payments of all days."""

    table: pd.DataFrame
    begin: pd.Timestamp
    model: HistGradientBoostingClassifier
    layout: Layout

    def flags(self, changed: pd.DataFrame) -> tuple[int, dict[str, int]]:
        """How many payments came after training, and what was flagged after how many of them."""
        features = feature_frame(changed)
        later = (features["timestamp"] >= self.begin).to_numpy()
        rows = features.loc[later, list(FEATURE_NAMES)].to_numpy()
        seconds = features.loc[later, "timestamp"].astype("int64").to_numpy() / 1e6
        return len(rows), first_flags(self.layout, seconds, rows, self.model.predict_proba(rows)[:, 1])

    def days_after(self) -> pd.DataFrame:
        """History, and the days in which something may change."""
        return self.table[self.table["timestamp"] < self.begin + pd.Timedelta(days=CHANGED_DAYS)]


def train(seed: int) -> Trained:
    """Make payments, and a model of the earlier ones."""
    days = TRAINED_DAYS + QUIET_DAYS
    config = GeneratorConfig(rows=A_DAY * days, days=days, seed=seed)
    table = pd.concat(generate_chunks(config), ignore_index=True)
    begin = table["timestamp"].iloc[0].normalize() + pd.Timedelta(days=TRAINED_DAYS)
    features = feature_frame(table[table["timestamp"] < begin])
    rows = features[list(FEATURE_NAMES)].to_numpy()
    model = HistGradientBoostingClassifier(random_state=seed).fit(rows, features["is_fraud"])
    histograms = {name: reference_histogram(rows[:, place]) for place, name in enumerate(FEATURE_NAMES)}
    scores = reference_histogram(model.predict_proba(rows)[:, 1])
    return Trained(table, begin, model, Layout(Distributions(features=histograms, score=scores)))


def larger(table: pd.DataFrame, begin: pd.Timestamp) -> pd.DataFrame:
    """Amounts × 1.5."""
    later = table["timestamp"] >= begin
    return table.assign(amount=table["amount"].where(~later, (1.5 * table["amount"]).round(2)))


def more_night(table: pd.DataFrame, begin: pd.Timestamp, seed: int) -> pd.DataFrame:
    """Each payment of a night is followed by another one of the same customer, within ten minutes."""
    rng = np.random.default_rng(seed)
    local = table["timestamp"] + pd.to_timedelta(table["utc_offset_seconds"], unit="s")
    chosen = table[(table["timestamp"] >= begin) & (local.dt.hour < 6)]
    shift = pd.to_timedelta(rng.integers(1, 600, len(chosen)), unit="s")
    again = chosen.assign(
        transaction_id=chosen["transaction_id"] + "-again", timestamp=(chosen["timestamp"] + shift).dt.as_unit("us")
    )
    return pd.concat([table, again]).sort_values("timestamp", kind="stable", ignore_index=True)


def without(table: pd.DataFrame, begin: pd.Timestamp, category: str) -> pd.DataFrame:
    """A category of merchants is gone."""
    kept = (table["timestamp"] < begin) | (table["merchant_category"] != category)
    return table.loc[kept].reset_index(drop=True)


def _told(what: str, rows: int, flags: dict[str, int]) -> None:
    first = sorted(flags.items(), key=lambda item: item[1])
    soon = bool(first) and first[0][1] <= SOON
    names = ", ".join(f"{name} after {count:,}" for name, count in first[:3]) or f"nothing in {rows:,}"
    print(f"  {what:34} {'within' if soon else 'NOT within'} {SOON:,}: {names}", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the payments (default %(default)s)")
    options = parser.parse_args()
    for seed in options.seeds:
        trained = train(seed)
        rows, flags = trained.flags(trained.table)
        print(f"seed {seed}: of {rows:,} payments without drift, flagged: {flags or 'nothing'}", flush=True)
        after = trained.days_after()
        _told("amounts × 1.5", *trained.flags(larger(after, trained.begin)))
        _told("night traffic doubles", *trained.flags(more_night(after, trained.begin, seed)))
        shares = after["merchant_category"].value_counts(normalize=True)
        for category, share in shares.items():
            gone = without(after, trained.begin, str(category))
            _told(f"{category} ({100 * share:.1f} %) disappears", *trained.flags(gone))


if __name__ == "__main__":
    main()
