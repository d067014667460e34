"""A small feature table with known structure, for tests of what comes after features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from bentos.core.features import FEATURE_NAMES

PLACE = {name: place for place, name in enumerate(FEATURE_NAMES)}


def feature_table(rows: int = 3000, seed: int = 0, fraud_share: float = 0.05, days: int = 40) -> pd.DataFrame:
    """Frauds have larger amounts, sit at riskier merchants and come in quick succession; nothing leaks."""
    random = np.random.default_rng(seed)
    fraud = random.random(rows) < fraud_share
    values = {name: np.zeros(rows) for name in FEATURE_NAMES}
    values["amount"] = np.exp(random.normal(3.3, 0.9, rows)) * np.where(fraud & (random.random(rows) < 0.5), 3, 1)
    values["hour"] = random.integers(0, 24, rows).astype(float)
    values["day_of_week"] = random.integers(0, 7, rows).astype(float)
    values["is_weekend"] = (values["day_of_week"] >= 5).astype(float)
    values["is_night"] = (values["hour"] <= 5).astype(float)
    minutes = random.exponential(1000, rows) * np.where(fraud, 0.4, 1)
    values["minutes_since_last_transaction"] = np.minimum(minutes, 43_200)
    values["amount_deviation"] = random.normal(0, 1, rows) + np.where(fraud, random.exponential(2, rows), 0)
    for name in FEATURE_NAMES:
        if "_transactions_" in name:
            windows = int(name.rpartition("_")[2][:-1])
            values[name] = 1.0 + random.poisson(1.5 * windows, rows) + np.where(fraud, random.poisson(1, rows), 0)
        elif "_average_" in name:
            values[name] = np.exp(random.normal(3.3, 0.5, rows))
        elif "_rate_" in name:
            usual = np.where(random.random(rows) < 0.8, 0, random.beta(1, 20, rows))
            risky = fraud & (random.random(rows) < 0.5)
            values[name] = np.minimum(usual + np.where(risky, random.beta(2, 6, rows), 0), 1)
    values["distance_km"] = random.exponential(20, rows) * np.where(fraud & (random.random(rows) < 0.4), 8, 1)
    seconds = np.sort(random.integers(0, days * 86_400, rows))
    instants = pd.Series(pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(seconds, unit="s"))
    return pd.DataFrame(
        {
            "transaction_id": [f"t{row}" for row in range(rows)],
            "customer_id": [f"c{number}" for number in random.integers(0, 300, rows)],
            "merchant_category": random.choice(["grocery", "fuel", "travel"], rows, p=[0.6, 0.3, 0.1]),
            "timestamp": instants.astype("datetime64[us, UTC]"),
            "utc_offset_seconds": np.zeros(rows, dtype=np.int32),
            **values,
            "is_fraud": fraud,
            "label_timestamp": pd.Series([pd.NaT] * rows, dtype="datetime64[us, UTC]"),
        }
    )


@dataclass(frozen=True)
class Fold:
    """Row numbers to train and to test on."""

    train: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]
    name: str


def later_folds(table: pd.DataFrame, folds: int = 1, fraction: float = 0.4) -> list[Fold]:
    """The last rows, cut into equal parts."""
    start = int(len(table) * (1 - fraction))
    parts = np.array_split(np.arange(start, len(table)), folds)
    return [Fold(np.arange(start), part, f"part {number}") for number, part in enumerate(parts)]


class Linear:
    """A fixed, sensible score: no fitting, so that tests of what follows are quick and exact."""

    def score(self, rows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        signal = (
            8 * rows[:, PLACE["merchant_fraud_rate_7d"]]
            + 0.8 * rows[:, PLACE["amount_deviation"]]
            + 0.01 * rows[:, PLACE["distance_km"]]
        )
        return 1 / (1 + np.exp(-(signal.astype(np.float64) - 4)))
