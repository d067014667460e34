"""Checks of a feature table and its split."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from bentos.core.features import FEATURE_NAMES
from training.doctor.check import Check, Outcome, Patient, fail, ok, warn

__all__ = ["DATA_CHECKS"]

_RANGES: Final[dict[str, tuple[float, float]]] = {
    "amount": (0, 1e7),
    "hour": (0, 23),
    "day_of_week": (0, 6),
    "is_weekend": (0, 1),
    "is_night": (0, 1),
    "minutes_since_last_transaction": (0, 43_200),
    "distance_km": (-1, 20_040),  # half of the equator
}


def _range(name: str) -> tuple[float, float]:
    if name in _RANGES:
        return _RANGES[name]
    if "fraud_rate" in name:
        return 0, 1
    if "_transactions_" in name or "_average_amount_" in name:
        return 0, np.inf
    return -np.inf, np.inf


def columns(patient: Patient) -> Outcome:
    missing = [name for name in FEATURE_NAMES if name not in patient.table.columns]
    missing += [
        name for name in ("transaction_id", "customer_id", "timestamp", "is_fraud") if name not in patient.table.columns
    ]
    if missing:
        return fail(f"missing: {', '.join(missing)}")
    if patient.features != list(FEATURE_NAMES):
        first = next(i for i, (a, b) in enumerate(zip(patient.features, FEATURE_NAMES, strict=True)) if a != b)
        return fail(f"feature {first + 1} is {patient.features[first]}, {FEATURE_NAMES[first]} belongs there")
    return ok(f"{len(FEATURE_NAMES)} features in order, {len(patient.table):,} rows")


def dtypes(patient: Patient) -> Outcome:
    kinds = patient.table.dtypes
    wrong = [f"{name} is {kinds[name]}" for name in patient.features if not pd.api.types.is_float_dtype(kinds[name])]
    if "is_fraud" in kinds and not pd.api.types.is_bool_dtype(kinds["is_fraud"]):
        wrong.append(f"is_fraud is {kinds['is_fraud']}, bool is needed")
    if "timestamp" in kinds and not isinstance(kinds["timestamp"], pd.DatetimeTZDtype):
        wrong.append(f"timestamp is {kinds['timestamp']}, an instant in UTC is needed")
    return fail("; ".join(wrong)) if wrong else ok("features are floats, the label is bool, timestamps are instants")


def finite(patient: Patient) -> Outcome:
    bad = {}
    for name in patient.features:
        values = pd.to_numeric(patient.table[name], errors="coerce").to_numpy(dtype=np.float64)
        count = int((~np.isfinite(values)).sum())
        if count:
            bad[name] = count
    if bad:
        return fail("NaN or infinite: " + ", ".join(f"{name} in {count:,} rows" for name, count in bad.items()))
    return ok("every value is finite")


def ranges(patient: Patient) -> Outcome:
    bad = []
    for name in patient.features:
        low, high = _range(name)
        values = pd.to_numeric(patient.table[name], errors="coerce").to_numpy(dtype=np.float64)
        outside = (values < low) | (values > high)
        if outside.any():
            worst = values[outside][np.argmax(np.abs(values[outside]))]
            bad.append(f"{name} leaves {low:g} to {high:g} in {int(outside.sum()):,} rows, as far as {worst:g}")
    return fail("; ".join(bad)) if bad else ok("hours, flags, rates, counts and distances lie where they must")


def constant_features(patient: Patient) -> Outcome:
    table = patient.table
    names = [name for name in patient.features if len(table) and (table[name] == table[name].iloc[0]).all()]
    if names:
        return warn("one value only: " + ", ".join(names))
    return ok("every feature varies")


def duplicates(patient: Patient) -> Outcome | None:
    if "transaction_id" not in patient.table.columns:
        return None
    ids = patient.table["transaction_id"]
    repeated = ids[ids.duplicated()]
    if len(repeated):
        return fail(f"{len(repeated):,} repeated transaction ids, the first is {repeated.iloc[0]!r}")
    known = [name for name in ("customer_id", "timestamp") if name in patient.table.columns]
    same = int(patient.table.duplicated([*known, *patient.features]).sum())
    if same > 0.001 * len(ids):
        return warn(f"{same:,} rows equal another in customer, time and all features, under different ids")
    return ok("every transaction id occurs once")


def classes(patient: Patient) -> Outcome:
    train, test = int(patient.labels[patient.train].sum()), int(patient.labels[patient.test].sum())
    text = f"{train:,} frauds of {len(patient.train):,} training rows, {test:,} of {len(patient.test):,} test rows"
    if train in (0, len(patient.train)) or test in (0, len(patient.test)):
        return fail(f"{text}: one class only")
    return warn(f"{text}: too few for a steady number") if min(train, test) < 30 else ok(text)


def balance(patient: Patient) -> Outcome | None:
    train, test = patient.labels[patient.train], patient.labels[patient.test]
    if not train.any() or not test.any():
        return None
    left, right = float(train.mean()), float(test.mean())
    # Two proportions: the standard error says whether the difference is more than chance.
    pooled = (train.sum() + test.sum()) / (len(train) + len(test))
    error = float(np.sqrt(pooled * (1 - pooled) * (1 / len(train) + 1 / len(test))))
    ratio = max(left, right) / min(left, right)
    errors = abs(left - right) / max(error, 1e-12)
    text = f"{left:.2%} fraud in training, {right:.2%} in test, {errors:.1f} standard errors apart"
    return warn(text) if ratio > 2 and errors > 3 else ok(text)


def id_overlap(patient: Patient) -> Outcome | None:
    if "transaction_id" not in patient.table.columns:
        return None
    ids = patient.table["transaction_id"]
    both = set(ids.iloc[patient.train]) & set(ids.iloc[patient.test])
    if both:
        return fail(f"{len(both):,} transactions are in training and in test, such as {min(both)!r}")
    return ok("no transaction is in both training and test")


def time_order(patient: Patient) -> Outcome | None:
    if "timestamp" not in patient.table.columns or not len(patient.train) or not len(patient.test):
        return None
    times = patient.table["timestamp"]
    last, first = times.iloc[patient.train].max(), times.iloc[patient.test].min()
    text = f"training ends {last:%Y-%m-%d %H:%M}, the test starts {first:%Y-%m-%d %H:%M}"
    if first >= last:
        return ok(text)
    return fail(text) if patient.by_time else warn(f"{text}: a shuffled split, easier than life")


def sorted_rows(patient: Patient) -> Outcome | None:
    if "timestamp" not in patient.table.columns:
        return None
    times = patient.table["timestamp"]
    if times.is_monotonic_increasing:
        return ok("rows are in order of time")
    place = int(np.flatnonzero((times.diff().dt.total_seconds() < 0).to_numpy())[0])
    return fail(f"row {place} is earlier than the row before it")


def scaling(patient: Patient) -> Outcome | None:
    if len(patient.train) < 100 or len(patient.test) < 100:
        return None
    shifted = []
    for name in patient.features:
        values = patient.table[name].to_numpy(dtype=np.float64)
        train, test = values[patient.train], values[patient.test]
        low, middle, high = np.nanquantile(train, [0.05, 0.5, 0.95])
        width = max(high - low, 1e-9)
        there = np.nanquantile(test, [0.05, 0.5, 0.95])
        moved = abs(there[1] - middle) / width
        stretch = max((there[2] - there[0]) / width, 1e-9)
        # Hours, flags and rates are often concentrated on a value; only a spread on both sides can be compared.
        spread = high > low and there[2] > there[0]
        if moved > 1 or (spread and not 0.1 < stretch < 10):
            shifted.append(f"{name}: median {middle:.4g} in training, {there[1]:.4g} in test")
    return fail("; ".join(shifted)) if shifted else ok("medians and spreads of training and test are alike")


DATA_CHECKS: Final = (
    Check(
        "columns",
        "The model would be given something other than it was trained on, without an error.",
        "Make the table with `python -m training features`; never reorder its columns.",
        columns,
    ),
    Check(
        "dtypes",
        "Numbers that are text, or labels that are numbers, are silently converted on the way.",
        "Make the table with `python -m training features`.",
        dtypes,
    ),
    Check(
        "finite values",
        "A feature is never NaN by definition: something else wrote this column.",
        "Look at the named rows; make the table again.",
        finite,
    ),
    Check(
        "ranges",
        "A unit or an offset is wrong: seconds for minutes, metres for kilometres, percent for shares, scaled values.",
        "Check the mapping of the source; features are stored unscaled, the pipeline scales.",
        ranges,
    ),
    Check(
        "constant features",
        "The source lacks what this feature needs, such as coordinates or categories.",
        "Complete the source if it can be; the model ignores the feature otherwise.",
        constant_features,
    ),
    Check(
        "duplicates",
        "Copies of a transaction inflate counts and let a test row be learnt by heart.",
        "Remove the copies in the source and make the table again.",
        duplicates,
    ),
    Check(
        "both classes",
        "Nothing can be learnt or measured without frauds and legitimate transactions.",
        "Choose a longer period, or check the label column and its mapping.",
        classes,
    ),
    Check(
        "class balance",
        "The share of fraud differs between training and test: probabilities will be off.",
        "Check that labels of the later period have arrived, and that no side was sampled.",
        balance,
    ),
    Check(
        "overlap",
        "A test row that was trained on measures memory, not skill.",
        "Make the split by row, once; use training.splits.",
        id_overlap,
    ),
    Check(
        "time order",
        "The model is tested on days before those it learnt from: it knows the future.",
        "Use --split later or prequential.",
        time_order,
    ),
    Check(
        "sorted rows",
        "Splits by position mix days, and features that look back are wrong.",
        "Sort by timestamp before computing features.",
        sorted_rows,
    ),
    Check(
        "scaling of the test",
        "The two sides are on different scales: one was scaled, converted or made by other code.",
        "Make both with the same command from the same source.",
        scaling,
    ),
)
