"""Checks for leakage: does a feature know what cannot be known yet?"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from bentos.core.features import FEATURE_NAMES, feature_table
from training.doctor.check import Check, Outcome, Patient, fail, ok, warn

__all__ = ["LEAK_CHECKS"]


def single_feature(patient: Patient) -> Outcome | None:
    """AUC of each feature alone, whichever way it points."""
    labels = patient.labels
    if not labels.any() or labels.all() or not patient.features:
        return None
    areas = {}
    for name in patient.features:
        values = patient.table[name].to_numpy(dtype=np.float64)
        if np.isfinite(values).all():
            area = float(roc_auc_score(labels, values))
            areas[name] = max(area, 1 - area)
    if not areas:
        return None
    best = max(areas, key=lambda name: areas[name])
    text = f"the strongest feature alone is {best} with an AUC of {areas[best]:.3f}"
    if areas[best] > 0.99:
        return fail(text)
    return warn(text) if areas[best] > 0.95 else ok(text)


def identical_to_label(patient: Patient) -> Outcome | None:
    labels = patient.labels
    if not labels.any() or labels.all():
        return None
    same = []
    for name in patient.features:
        values = patient.table[name].to_numpy(dtype=np.float64)
        # Two values that split the rows exactly as the label does, whatever they are.
        if (
            len(np.unique(values[labels])) == 1 == len(np.unique(values[~labels]))
            and values[labels][0] != values[~labels][0]
        ):
            same.append(name)
    return fail(f"the same as the label: {', '.join(same)}") if same else ok("no feature is a copy of the label")


def own_label_in_rates(patient: Patient) -> Outcome | None:
    """A rate that counts the transaction's own label is above 0 for every fraud."""
    labels = patient.labels
    if labels.sum() < 20:
        return None
    shares = {
        name: (
            float((patient.table[name].to_numpy()[labels] > 0).mean()),
            float((patient.table[name].to_numpy()[~labels] > 0).mean()),
        )
        for name in patient.features
        if name.startswith("merchant_fraud_rate")
    }
    wrong = [
        f"{name} is above 0 for {frauds:.0%} of the frauds and {others:.0%} of the others"
        for name, (frauds, others) in shares.items()
        if frauds > 0.99 and others < 0.9
    ]
    if wrong:
        return fail("; ".join(wrong))
    text = ", ".join(f"{name} {frauds:.0%}" for name, (frauds, _) in shares.items())
    return ok(f"frauds with a rate above 0: {text}") if shares else None


def clock(patient: Patient) -> Outcome | None:
    """A feature that grows with the row number tells the date."""
    if len(patient.table) < 200:
        return None
    position = np.arange(len(patient.table))
    step = max(1, len(position) // 20_000)
    telling = []
    for name in patient.features:
        values = patient.table[name].to_numpy(dtype=np.float64)[::step]
        if np.isfinite(values).all() and np.ptp(values) > 0:
            correlation = float(stats.spearmanr(position[::step], values).statistic)
            if abs(correlation) > 0.9:
                telling.append(f"{name} has a rank correlation of {correlation:+.2f} with time")
    return warn("; ".join(telling)) if telling else ok("no feature is a clock")


def label_times(patient: Patient) -> Outcome | None:
    if not {"label_timestamp", "timestamp"} <= set(patient.table.columns):
        return None
    early = (patient.table["label_timestamp"] < patient.table["timestamp"]).to_numpy()
    if early.any():
        return fail(f"{int(early.sum()):,} labels arrive before their transaction, the first in row {np.argmax(early)}")
    return ok("no label arrives before its transaction")


def recomputed(patient: Patient) -> Outcome | None:
    """Features of the first half, computed from the first half alone, must be those of the table."""
    if patient.transactions is None or not patient.complete:
        return None
    if len(patient.transactions) != len(patient.table):
        return fail(f"{len(patient.transactions):,} transactions, {len(patient.table):,} rows of features")
    times = patient.transactions["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    half = int(np.searchsorted(times, times[len(times) // 2], side="left")) or len(times)
    alone = feature_table(patient.transactions.iloc[:half].reset_index(drop=True))
    given = patient.table[list(FEATURE_NAMES)].to_numpy(dtype=np.float64)[:half]
    wrong = ~np.isclose(alone, given, rtol=1e-6, atol=1e-6)
    if wrong.any():
        per_feature = {name: int(count) for name, count in zip(FEATURE_NAMES, wrong.sum(axis=0), strict=True) if count}
        text = ", ".join(f"{name} in {count:,} rows" for name, count in per_feature.items())
        return fail(f"of {half:,} rows computed without what came later, these differ: {text}")
    return ok(f"{half:,} rows computed without what came later are the same")


LEAK_CHECKS: Final = (
    Check(
        "single feature",
        "One feature alone nearly decides the label: it was made from it, or after it.",
        "Find out how the feature is computed; no honest one is that good.",
        single_feature,
    ),
    Check(
        "copy of the label",
        "A feature is the label under another name.",
        "Remove it from the source; labels may not reach features before their delay.",
        identical_to_label,
    ),
    Check(
        "own label in merchant rates",
        "Merchant rates count the transaction itself, or labels that are not known yet.",
        "Shift the windows back by the label delay: make the table with `python -m training features`.",
        own_label_in_rates,
    ),
    Check(
        "clock",
        "A feature tells the date; the model learns the period and fails in the next one.",
        "Leave out whatever grows without bound: row numbers, dates, running totals.",
        clock,
    ),
    Check(
        "label times",
        "A label that arrives before its transaction lets windows use it too early.",
        "Check the label's time in the mapping, and the time zones of both columns.",
        label_times,
    ),
    Check(
        "looks into the future",
        "Features change when later transactions are taken away: they were computed with a look ahead,"
        " without the label delay, or by other definitions.",
        "Make the table with `python -m training features` from these transactions.",
        recomputed,
    ),
)
