"""After how many payments injected drift is flagged, and how often payments without drift are.

Run with ``python -m tests.benchmarks.drift``. Synthetic payments, 3,000 a day: 110 days to train on, then 71 days
without drift, and, in their place, four days in which something has changed. Features are computed of the changed
payments, and counted as a server counts them; scores are those of a model that was trained on the 110 days. At last
rarer categories than the synthetic ones: payments drawn at random are given one that then disappears.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from bentos.core.artifact.categories import reference_categories
from bentos.core.artifact.distributions import Distributions, reference_histogram
from bentos.core.drift import MERCHANT_CATEGORY
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
#: Shares of categories that are rarer.
RARE: Final = (0.02, 0.015, 0.0125, 0.01, 0.005)
#: What is wanted.
SOON: Final = 5_000


@dataclass(frozen=True)
class Trained:
    """A model, what it was trained on, and the payments of all days."""

    table: pd.DataFrame
    begin: pd.Timestamp
    model: HistGradientBoostingClassifier
    distributions: Distributions
    categories: list[str]
    hours: Floats

    def flags(self, changed: pd.DataFrame) -> tuple[int, dict[str, int]]:
        """How many payments came after training, and what was flagged after how many of them."""
        return self.flags_of(feature_frame(changed), self.distributions)

    def rare_flags(self, share: float, seed: int) -> tuple[int, dict[str, int]]:
        """The same when a category has this share of the payments of training, and none of those after."""
        rng = np.random.default_rng(seed)
        before = np.where(rng.random(len(self.categories)) < share, "rare", self.categories).tolist()
        reference = reference_categories(before, self.hours)
        features = feature_frame(self.days_after())
        left = features[rng.random(len(features)) >= share]
        return self.flags_of(left, self.distributions.model_copy(update={MERCHANT_CATEGORY: reference}))

    def flags_of(self, features: pd.DataFrame, distributions: Distributions) -> tuple[int, dict[str, int]]:
        """The same of a feature table."""
        later = (features["timestamp"] >= self.begin).to_numpy()
        rows = features.loc[later, list(FEATURE_NAMES)].to_numpy()
        seconds = features.loc[later, "timestamp"].astype("int64").to_numpy() / 1e6
        scores = self.model.predict_proba(rows)[:, 1]
        categories = features.loc[later, MERCHANT_CATEGORY].tolist()
        return len(rows), first_flags(Layout(distributions), seconds, rows, scores, categories)

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
    categories, hours = features[MERCHANT_CATEGORY].tolist(), features["hour"].to_numpy()
    known = reference_categories(categories, hours)
    distributions = Distributions(features=histograms, score=scores, merchant_category=known)
    return Trained(table, begin, model, distributions, categories, hours)


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
    kept = (table["timestamp"] < begin) | (table[MERCHANT_CATEGORY] != category)
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
        shares = after[MERCHANT_CATEGORY].value_counts(normalize=True)
        for category, share in shares.items():
            gone = without(after, trained.begin, str(category))
            _told(f"{category} ({100 * share:.1f} %) disappears", *trained.flags(gone))
        for share in RARE:
            _told(f"a rare one ({100 * share:.2f} %) disappears", *trained.rare_flags(share, seed))


if __name__ == "__main__":
    main()
