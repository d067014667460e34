"""Seconds to compute the 21 features of a table, beside a plain pandas implementation with rolling windows.

Run with ``python -m tests.benchmarks.features``. Uses the Fraud Detection Handbook's 1,754,155 transactions
(FRAUD_SHARED_DATA), or as many synthetic ones when they are not there.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from bentos.core.features import FEATURE_NAMES, feature_table
from bentos.core.features.clock import great_circle_km
from tests.benchmarks.data import benchmark_transactions

DELAY = 7


def pandas_features(table: pd.DataFrame) -> np.ndarray:
    """The features as one would write them with pandas: windows of a delay by difference, as the handbook does."""
    frame = pd.DataFrame({"amount": table["amount"]})
    clock = (table["timestamp"] + pd.to_timedelta(table["utc_offset_seconds"], unit="s")).dt
    frame["hour"], frame["day_of_week"] = clock.hour, clock.dayofweek
    frame["is_weekend"], frame["is_night"] = frame["day_of_week"] >= 5, frame["hour"] <= 5
    gap = table.groupby("customer_id")["timestamp"].diff().dt.total_seconds() / 60
    frame["minutes_since_last_transaction"] = gap.fillna(43_200).clip(upper=43_200)
    past = _rolling(table, "customer_id", "amount", 30, closed="left")
    frame["amount_deviation"] = ((table["amount"] - past("mean")) / past("std")).fillna(0)
    for days in (1, 7, 30):
        own = _rolling(table, "customer_id", "amount", days)
        frame[f"customer_transactions_{days}d"] = own("count")
        frame[f"customer_average_amount_{days}d"] = own("mean")
    for key, windows in (("merchant", (1, 7, 30)), ("merchant_category", (30,))):
        column = "merchant_id" if key == "merchant" else key
        for days in windows:
            count = _delayed(table, column, "count", days)
            frame[f"{key}_transactions_{days}d"] = count
            rate = _delayed(table, column, "sum", days) / count.where(count > 0)
            frame[f"{key}_fraud_rate_{days}d"] = rate.fillna(0)
    sides = [
        table[f"{side}_{axis}"].to_numpy() for side in ("customer", "merchant") for axis in ("latitude", "longitude")
    ]
    frame["distance_km"] = great_circle_km(*sides)
    return frame[list(FEATURE_NAMES)].to_numpy(np.float64)


def _rolling(table: pd.DataFrame, key: str, value: str, days: int, closed: str = "right") -> Callable[[str], pd.Series]:
    indexed = table[[key, value, "timestamp"]].copy()
    indexed["row"] = np.arange(len(table))
    indexed[value] = indexed[value].astype(float)
    grouped = indexed.set_index("timestamp").groupby(key, sort=False)
    order = grouped["row"].transform("first").to_numpy()
    rows = np.argsort(order, kind="stable")
    windows = grouped[value].rolling(f"{days}D", closed=closed)

    def statistic(name: str) -> pd.Series:
        result = pd.Series(np.nan, index=range(len(table)))
        result.iloc[rows] = getattr(windows, name)().to_numpy()
        return result

    return statistic


def _delayed(table: pd.DataFrame, key: str, name: str, days: int) -> pd.Series:
    both = _rolling(table, key, "is_fraud", DELAY + days)(name)
    return both - _rolling(table, key, "is_fraud", DELAY)(name)


def timed(compute: Callable[[pd.DataFrame], np.ndarray], table: pd.DataFrame) -> tuple[float, np.ndarray]:
    """Seconds of one call, and its result."""
    start = time.perf_counter()
    result = compute(table)
    return time.perf_counter() - start, result


def main() -> None:
    """Print the table."""
    table = benchmark_transactions()
    print(f"{'rows':>10} {'ours, s':>9} {'us a row':>9}")
    for share in (0.25, 0.5, 1.0):
        part = table.iloc[: int(len(table) * share)]
        seconds, ours = timed(feature_table, part)
        print(f"{len(part):>10,} {seconds:>9.2f} {seconds / len(part) * 1e6:>9.2f}")
    plain_seconds, plain = timed(pandas_features, table)
    print(f"plain pandas rolling: {plain_seconds:.1f} s, {plain_seconds / seconds:.1f} times as long")
    differs = ~np.isclose(plain, ours, rtol=1e-6, atol=1e-6)
    print("rows that differ (ties in time, variances spoilt by running totals, hourly buckets of busy keys):")
    for column in np.flatnonzero(differs.any(axis=0)):
        print(f"  {FEATURE_NAMES[column]:<36} {differs[:, column].sum():>8,}")


if __name__ == "__main__":
    main()
