"""Rows to train on and rows to test on. Days are whole days in UTC.

The prequential split is the Fraud Detection Handbook's (Le Borgne et al., "Reproducible Machine Learning for Credit
Card Fraud Detection", ``get_train_test_set`` of its shared functions): a period to train on, the label delay, a period
to test on. Customers whose fraud is known by the day of a test transaction are taken out of the test, as their cards
are blocked by then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.features import LABEL_DELAY_DAYS

__all__ = ["Fold", "days", "expanding", "later_fraction", "latest_prequential", "prequential", "stratified"]

Indices = NDArray[np.int64]

_MICROSECONDS_A_DAY: Final = 86_400_000_000


@dataclass(frozen=True)
class Fold:
    """Row numbers of a table, ascending.

    Parameters
    ----------
    train, test
        int64, without a row in common.
    name
        For people, such as the first day of training.
    """

    train: Indices
    test: Indices
    name: str


def days(table: pd.DataFrame) -> NDArray[np.int64]:
    """Day of each row, as days since 1970-01-01 UTC, int64 [n]."""
    return _microseconds(table) // _MICROSECONDS_A_DAY


def prequential(  # noqa: PLR0913 - every length of the protocol has a name
    table: pd.DataFrame,
    *,
    first_train_day: date,
    train_days: int = 7,
    delay_days: int = LABEL_DELAY_DAYS,
    test_days: int = 7,
    folds: int = 4,
    step_days: int = 7,
    remove_known_frauds: bool = True,
    known_days: int | None = None,
) -> list[Fold]:
    """Folds that move through time: fold i trains from ``first_train_day`` + i · ``step_days`` on.

    Before the day t of a test, known are the customers with a fraud in the training period or on a day up to
    t − ``delay_days`` − 1, so the last day whose labels have all arrived.

    Parameters
    ----------
    table
        With customer_id, timestamp and is_fraud.
    known_days
        Only frauds in the last so many days of training make a customer known; None means all of them. With it, models
        trained on more days meet the same test rows.

    Raises
    ------
    DataError
        Fewer days than the folds need, a period without rows, or one class only in a period.
    """
    for name, value, least in (
        ("train_days", train_days, 1),
        ("delay_days", delay_days, 0),
        ("test_days", test_days, 1),
        ("folds", folds, 1),
        ("step_days", step_days, 1),
    ):
        if value < least:
            raise DataError(f"{name} is {value}; it must be at least {least}")
    day, fraud, customer = _columns(table)
    start = (first_train_day - date(1970, 1, 1)).days
    end = start + (folds - 1) * step_days + train_days + delay_days + test_days - 1
    if start < day[0] or end > day[-1]:
        raise DataError(
            f"{folds} folds of {train_days} days of training, {delay_days} of delay and {test_days} of test,"
            f" {step_days} apart, need {_day(start)} to {_day(end)}; the table holds {_day(int(day[0]))} to"
            f" {_day(int(day[-1]))}: choose another first day, fewer folds, or more data"
        )
    found = []
    for first in range(start, start + folds * step_days, step_days):
        after = first + train_days
        since = first if known_days is None else after - known_days
        train = np.flatnonzero((day >= first) & (day < after)).astype(np.int64)
        tests = []
        for number in range(test_days):
            of_day = np.flatnonzero(day == after + delay_days + number).astype(np.int64)
            if remove_known_frauds:
                # The handbook adds, before test day number k, the frauds of the day train_days + k - 1 after the first.
                known = np.unique(customer[(day >= since) & (day < after + number) & fraud])
                of_day = of_day[~np.isin(customer[of_day], known)]
            tests.append(of_day)
        fold = Fold(train, np.concatenate(tests), str(_day(first)))
        _require(fold, fraud)
        found.append(fold)
    return found


def latest_prequential(
    table: pd.DataFrame,
    *,
    folds: int = 4,
    train_days: int = 7,
    delay_days: int = LABEL_DELAY_DAYS,
    test_days: int = 7,
    step_days: int = 7,
) -> list[Fold]:
    """The last prequential folds that a table has room for, ending with its last day.

    Raises
    ------
    DataError
        As :func:`prequential`.
    """
    day, _, _ = _columns(table)
    first = int(day[-1]) + 1 - test_days - delay_days - train_days - (folds - 1) * step_days
    return prequential(
        table,
        first_train_day=_day(first),
        train_days=train_days,
        delay_days=delay_days,
        test_days=test_days,
        folds=folds,
        step_days=step_days,
    )


def expanding(table: pd.DataFrame, *, folds: int = 3, delay_days: int = 0) -> list[Fold]:
    """Folds for short tables: equally many rows a part, each part tested after training on all before it.

    Parameters
    ----------
    folds
        Parts that are tested. The first training holds as many parts as that, so that no fold trains on little.
    delay_days
        Training rows this close before the test are left out, as their labels would not be known.

    Raises
    ------
    DataError
        As :func:`prequential`.
    """
    if folds < 1:
        raise DataError(f"folds is {folds}; it must be at least 1")
    _, fraud, _ = _columns(table)
    stamps = _microseconds(table)
    cuts = [_between_instants(stamps, round(len(stamps) * (folds + i) / (2 * folds))) for i in range(folds)]
    cuts.append(len(stamps))
    every = np.arange(len(stamps), dtype=np.int64)
    found = []
    for number, (cut, end) in enumerate(pairwise(cuts), start=1):
        known = stamps < (stamps[cut] if cut < len(stamps) else stamps[-1]) - delay_days * _MICROSECONDS_A_DAY
        fold = Fold(every[:cut][known[:cut]], every[cut:end], f"part {number} of {folds}")
        _require(fold, fraud)
        found.append(fold)
    return found


def later_fraction(table: pd.DataFrame, fraction: float = 0.2, *, delay_days: int = 0) -> Fold:
    """Train on the earlier rows, test on the latest ``fraction`` of them; equal instants stay together.

    Parameters
    ----------
    delay_days
        Training rows this close before the test are left out, as their labels would not be known.

    Raises
    ------
    DataError
        A fraction outside 0–1, or a side without rows or with one class only.
    """
    _check_fraction(fraction)
    _, fraud, _ = _columns(table)
    stamps = _microseconds(table)
    cut = _between_instants(stamps, len(stamps) - math.ceil(fraction * len(stamps)))
    every = np.arange(len(stamps), dtype=np.int64)
    before = every[:cut]
    if delay_days and cut < len(stamps):
        before = before[stamps[:cut] < stamps[cut] - delay_days * _MICROSECONDS_A_DAY]
    fold = Fold(before, every[cut:], f"later {fraction:g}")
    _require(fold, fraud)
    return fold


def stratified(table: pd.DataFrame, fraction: float = 0.2, seed: int = 0) -> Fold:
    """Test on a random ``fraction`` of frauds and of legitimate rows; past and future mix, so only for comparison.

    Raises
    ------
    DataError
        As :func:`later_fraction`.
    """
    _check_fraction(fraction)
    _, fraud, _ = _columns(table)
    rng = np.random.default_rng(seed)
    chosen = np.zeros(len(fraud), dtype=bool)
    for kind in (False, True):
        rows = np.flatnonzero(fraud == kind)
        chosen[rng.permutation(rows)[: round(fraction * len(rows))]] = True
    fold = Fold(
        np.flatnonzero(~chosen).astype(np.int64), np.flatnonzero(chosen).astype(np.int64), f"stratified {fraction:g}"
    )
    _require(fold, fraud)
    return fold


def _columns(table: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Day, fraud and a number of the customer of each row."""
    missing = [name for name in ("customer_id", "timestamp", "is_fraud") if name not in table.columns]
    if missing:
        raise DataError(f"the table lacks {', '.join(missing)}; a split needs customer_id, timestamp and is_fraud")
    if not len(table):
        raise DataError("the table has no rows; a split needs transactions of both classes")
    stamps = _microseconds(table)
    if (np.diff(stamps) < 0).any():
        row = int(np.flatnonzero(np.diff(stamps) < 0)[0]) + 1
        raise DataError(f"row {row} is earlier than the row before; a table to split is sorted by timestamp")
    customer = pd.factorize(table["customer_id"])[0].astype(np.int64)
    return stamps // _MICROSECONDS_A_DAY, table["is_fraud"].to_numpy(dtype=bool), customer


def _microseconds(table: pd.DataFrame) -> NDArray[np.int64]:
    stamps = table["timestamp"]
    if not isinstance(stamps.dtype, pd.DatetimeTZDtype):
        raise DataError(
            f"timestamps came as {stamps.dtype}; needed are instants with a time zone, as `python -m training features`"
            " writes them"
        )
    if stamps.isna().any():
        raise DataError(f"{int(stamps.isna().sum())} timestamps are missing; every transaction has one")
    values: NDArray[np.int64] = stamps.dt.as_unit("us").dt.tz_convert("UTC").astype("int64").to_numpy()
    return values


def _between_instants(stamps: NDArray[np.int64], cut: int) -> int:
    """The cut, moved back so that equal instants lie on one side."""
    return int(np.searchsorted(stamps, stamps[cut])) if 0 < cut < len(stamps) else cut


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise DataError(f"fraction is {fraction}; the tested share of rows lies between 0 and 1")


def _require(fold: Fold, fraud: NDArray[np.bool_]) -> None:
    for side, rows in (("training", fold.train), ("test", fold.test)):
        frauds = int(fraud[rows].sum())
        if frauds in (0, len(rows)):
            what = "no rows" if not len(rows) else f"{len(rows)} rows with {frauds} frauds"
            raise DataError(
                f"the {side} of the fold {fold.name!r} has {what}; both classes are needed: choose other days, longer"
                " periods, or more data"
            )


def _day(number: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=number)).date()
