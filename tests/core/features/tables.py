"""Tables of transactions for tests of the features, and the features again, straight from their definition."""

from __future__ import annotations

import math
import statistics
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd

from bentos.core.features import FEATURE_NAMES
from bentos.core.transaction import LABEL_COLUMNS, TRANSACTION_COLUMNS, Transaction

START = datetime(2026, 3, 27, 21, 30, tzinfo=UTC)
DAY = timedelta(days=1)


def canonical(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Build a canonical table; what a row does not name is filled in."""
    filled = [
        {
            "transaction_id": f"t{number}",
            "customer_id": "c0",
            "merchant_id": "m0",
            "merchant_category": "unknown",
            "amount": 10.0,
            "utc_offset_seconds": 0,
            "customer_latitude": math.nan,
            "customer_longitude": math.nan,
            "merchant_latitude": math.nan,
            "merchant_longitude": math.nan,
            "is_fraud": False,
            "label_timestamp": pd.NaT,
            **row,
        }
        for number, row in enumerate(rows)
    ]
    columns = {**TRANSACTION_COLUMNS, **LABEL_COLUMNS}
    table = pd.DataFrame(filled, columns=list(columns))
    for name, dtype in columns.items():
        if dtype.startswith("datetime"):
            table[name] = pd.to_datetime(table[name], utc=True).dt.as_unit("us")
        else:
            table[name] = table[name].astype(dtype)
    return table.sort_values("timestamp", kind="stable", ignore_index=True)


def transactions(table: pd.DataFrame) -> list[Transaction]:
    """The rows of a canonical table as a caller would send them."""
    result = []
    for row in table.to_dict("records"):
        zone = timezone(timedelta(seconds=row["utc_offset_seconds"]))
        places = {
            name: None if math.isnan(row[name]) else row[name]
            for name in ("customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude")
        }
        texts = {name: row[name] for name in ("transaction_id", "customer_id", "merchant_id", "merchant_category")}
        moment = row["timestamp"].to_pydatetime().astimezone(zone)
        result.append(Transaction(amount=row["amount"], timestamp=moment, **texts, **places))
    return result


def by_definition(table: pd.DataFrame) -> np.ndarray:
    """The 21 features row by row in plain Python, after the words of the definition."""
    rows = table.to_dict("records")
    return np.array([_row(rows[:index], rows, row) for index, row in enumerate(rows)])[:, : len(FEATURE_NAMES)]


def _row(before: list[dict], rows: list[dict], row: dict) -> list[float]:
    now = row["timestamp"]
    local = now.to_pydatetime().astimezone(timezone(timedelta(seconds=row["utc_offset_seconds"])))
    own = [other for other in before if other["customer_id"] == row["customer_id"]]
    result = [row["amount"], local.hour, local.weekday(), float(local.weekday() >= 5), float(local.hour <= 5)]
    gaps = [(now - other["timestamp"]).total_seconds() / 60 for other in own]
    result.append(min([43_200.0, *gaps]))
    month = [other["amount"] for other in own if other["timestamp"] > now - 30 * DAY]
    spread = statistics.stdev(month) if len(month) >= 2 else 0.0
    result.append((row["amount"] - statistics.fmean(month)) / spread if spread >= 0.01 else 0.0)
    windows = {w: [other["amount"] for other in [*own, row] if other["timestamp"] > now - w * DAY] for w in (1, 7, 30)}
    result += [len(windows[w]) for w in (1, 7, 30)]
    result += [statistics.fmean(windows[w]) for w in (1, 7, 30)]
    merchant = {w: _shifted(rows, row, "merchant_id", w) for w in (1, 7, 30)}
    result += [len(merchant[w]) for w in (1, 7, 30)]
    result += [_rate(merchant[w]) for w in (1, 7, 30)]
    result.append(_rate(_shifted(rows, row, "merchant_category", 30)))
    result.append(_distance(row))
    return result


def _shifted(rows: list[dict], row: dict, column: str, days: int) -> list[bool]:
    end = row["timestamp"] - 7 * DAY
    window = [r for r in rows if r[column] == row[column] and end - days * DAY < r["timestamp"] <= end]
    known = [pd.isna(r["label_timestamp"]) or r["label_timestamp"] <= row["timestamp"] for r in window]
    return [bool(r["is_fraud"] and there) for r, there in zip(window, known, strict=True)]


def _rate(labels: list[bool]) -> float:
    return sum(labels) / len(labels) if labels else 0.0


def _distance(row: dict) -> float:
    names = ("customer_latitude", "customer_longitude", "merchant_latitude", "merchant_longitude")
    if any(math.isnan(row[name]) for name in names):
        return -1.0
    lat_a, lon_a, lat_b, lon_b = (math.radians(row[name]) for name in names)
    # By vectors, so that the formula under test is not its own witness.
    a = (math.cos(lat_a) * math.cos(lon_a), math.cos(lat_a) * math.sin(lon_a), math.sin(lat_a))
    b = (math.cos(lat_b) * math.cos(lon_b), math.cos(lat_b) * math.sin(lon_b), math.sin(lat_b))
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return 6371.0088 * math.atan2(math.hypot(*cross), sum(x * y for x, y in zip(a, b, strict=True)))
