"""Splits: the handbook's, bit for bit; time kept; bad tables refused."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bentos.core.errors import DataError
from training.splits import Fold, days, expanding, later_fraction, latest_prequential, prequential, stratified

FIRST = date(2018, 7, 25)


def table(count: int = 4000, seed: int = 0, length: int = 60, share: float = 0.1) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    seconds = np.sort(random.integers(0, length * 86_400, count))
    stamps = pd.Timestamp("2018-07-20", tz="UTC") + pd.to_timedelta(pd.Series(seconds), unit="s")
    return pd.DataFrame(
        {
            "customer_id": [f"c{number}" for number in random.integers(0, 120, count)],
            "timestamp": stamps.astype("datetime64[us, UTC]"),
            "is_fraud": random.random(count) < share,
        }
    )


def handbook(
    frame: pd.DataFrame, first: date, train_days: int, delay: int, test_days: int
) -> tuple[list[int], list[int]]:
    """Chapter 3 and the shared functions of the handbook, said in plain loops."""
    day = [(stamp.date() - first).days for stamp in frame["timestamp"]]
    rows = list(zip(range(len(frame)), day, frame["customer_id"], frame["is_fraud"], strict=True))
    train = [row for row, when, _, _ in rows if 0 <= when < train_days]
    known = {customer for _, when, customer, fraud in rows if 0 <= when < train_days and fraud}
    test: list[int] = []
    for number in range(test_days):
        known |= {customer for _, when, customer, fraud in rows if when == train_days + number - 1 and fraud}
        test += [row for row, when, who, _ in rows if when == train_days + delay + number and who not in known]
    return train, test


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.integers(1, 9), st.integers(0, 9), st.integers(2, 9))
def test_prequential_is_the_handbooks(seed: int, train_days: int, delay: int, test_days: int) -> None:
    frame = table(2500, seed, share=0.25)
    found = prequential(
        frame,
        first_train_day=FIRST,
        train_days=train_days,
        delay_days=delay,
        test_days=test_days,
        folds=2,
        step_days=4,
    )
    for number, fold in enumerate(found):
        train, test = handbook(frame, FIRST + timedelta(days=4 * number), train_days, delay, test_days)
        assert fold.train.tolist() == train
        assert fold.test.tolist() == test
        assert fold.train.dtype == fold.test.dtype == np.int64


def test_known_customers_may_stay() -> None:
    frame = table()
    all_rows = prequential(frame, first_train_day=FIRST, remove_known_frauds=False)
    for kept, fewer in zip(all_rows, prequential(frame, first_train_day=FIRST), strict=True):
        assert set(fewer.test.tolist()) < set(kept.test.tolist())
        np.testing.assert_array_equal(kept.train, fewer.train)
        assert len(np.unique(days(frame)[kept.test])) == 7
        assert kept.name == fewer.name


@pytest.mark.fdh
def test_the_published_numbers_of_rows(fdh_folder: Path) -> None:
    raw = pd.read_parquet(
        fdh_folder / "fdh_transactions_raw.parquet", columns=["TX_DATETIME", "CUSTOMER_ID", "TX_FRAUD"]
    )
    frame = pd.DataFrame(
        {
            "timestamp": pd.to_datetime(raw["TX_DATETIME"]).astype("datetime64[us]").dt.tz_localize("UTC"),
            "customer_id": raw["CUSTOMER_ID"].astype(str),
            "is_fraud": raw["TX_FRAUD"].astype(bool),
        }
    ).sort_values("timestamp", kind="stable", ignore_index=True)
    (fold,) = prequential(frame, first_train_day=FIRST, folds=1)
    fraud = frame["is_fraud"].to_numpy()
    assert (len(fold.train), int(fraud[fold.train].sum())) == (67_240, 598)
    assert (len(fold.test), int(fraud[fold.test].sum())) == (58_264, 385)


def test_latest_prequential_ends_with_the_table() -> None:
    frame = table()
    found = latest_prequential(frame, folds=3)
    assert days(frame)[found[-1].test].max() == days(frame)[-1]
    assert [fold.name for fold in found] == ["2018-08-14", "2018-08-21", "2018-08-28"]


def in_time(fold: Fold, frame: pd.DataFrame, delay_days: float = 0) -> bool:
    stamps = frame["timestamp"]
    return bool(stamps.iloc[fold.train].max() < stamps.iloc[fold.test].min() - pd.Timedelta(days=delay_days))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 99), st.floats(0.05, 0.9), st.integers(1, 30))
def test_later_fraction(seed: int, fraction: float, coarse: int) -> None:
    frame = table(800, seed, share=0.4)
    frame["timestamp"] = frame["timestamp"].dt.floor(f"{coarse}h")
    fold = later_fraction(frame, fraction)
    assert in_time(fold, frame)
    assert len(fold.train) + len(fold.test) == 800
    assert len(fold.test) >= fraction * 800


def test_labels_that_are_not_known_yet_can_be_left_out() -> None:
    frame = table()
    fold = later_fraction(frame, 0.2, delay_days=7)
    assert in_time(fold, frame, delay_days=7)
    np.testing.assert_array_equal(fold.test, later_fraction(frame, 0.2).test)
    for part in expanding(frame, folds=3, delay_days=2):
        assert in_time(part, frame, delay_days=2)


def test_expanding_tests_every_later_row_once() -> None:
    frame = table()
    found = expanding(frame, folds=3)
    assert all(in_time(fold, frame) for fold in found)
    np.testing.assert_array_equal(np.concatenate([fold.test for fold in found]), np.arange(2000, 4000))
    assert [len(fold.train) for fold in found] == [2000, 2667, 3333]


def test_stratified_keeps_the_share_of_fraud() -> None:
    frame = table()
    fold, again, other = stratified(frame, 0.2, seed=1), stratified(frame, 0.2, seed=1), stratified(frame, 0.2, seed=2)
    np.testing.assert_array_equal(fold.test, again.test)
    assert set(fold.test.tolist()) != set(other.test.tolist())
    assert sorted([*fold.train.tolist(), *fold.test.tolist()]) == list(range(4000))
    fraud = frame["is_fraud"].to_numpy()
    assert fraud[fold.test].sum() == round(0.2 * fraud.sum())
    assert len(fold.test) == 800


def test_tables_that_are_too_short_say_what_is_needed() -> None:
    with pytest.raises(DataError, match=r"need 2018-07-25 to 2018-09-04; the table holds 2018-07-20 to 2018-08-08"):
        prequential(table(length=20), first_train_day=FIRST)
    with pytest.raises(DataError, match="need 2018-07-01"):
        prequential(table(), first_train_day=date(2018, 7, 1))
    with pytest.raises(DataError, match="4 folds of 7 days of training"):
        latest_prequential(table(length=20))


def test_periods_of_one_class_are_refused() -> None:
    frame = table()
    frame.loc[days(frame) < days(frame)[0] + 13, "is_fraud"] = False
    with pytest.raises(DataError, match=r"the training of the fold '2018-07-25' has \d+ rows with 0 frauds"):
        prequential(frame, first_train_day=FIRST)
    frame["is_fraud"] = False
    for split in (later_fraction, stratified, expanding):
        with pytest.raises(DataError, match="both classes are needed"):
            split(frame)


def test_a_period_without_rows_is_refused() -> None:
    frame = table()
    day = days(frame) - days(frame)[0]
    with pytest.raises(DataError, match="the test of the fold '2018-07-25' has no rows"):
        prequential(frame[(day < 18) | (day > 27)].reset_index(drop=True), first_train_day=FIRST)


@pytest.mark.parametrize("name", ["train_days", "delay_days", "test_days", "folds", "step_days"])
def test_numbers_of_days(name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is -1; it must be at least"):
        prequential(table(), first_train_day=FIRST, **{name: -1})


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.2, float("nan")])
def test_fractions(fraction: float) -> None:
    for split in (later_fraction, stratified):
        with pytest.raises(DataError, match="fraction is"):
            split(table(), fraction)


def test_tables_that_are_none() -> None:
    frame = table()
    with pytest.raises(DataError, match="lacks customer_id, is_fraud"):
        later_fraction(frame[["timestamp"]])
    with pytest.raises(DataError, match="has no rows"):
        later_fraction(frame[:0])
    with pytest.raises(DataError, match="is earlier than the row before"):
        later_fraction(frame[::-1].reset_index(drop=True))
    with pytest.raises(DataError, match="with a time zone"):
        later_fraction(frame.assign(timestamp=frame["timestamp"].dt.tz_convert(None)))


def test_more_days_of_training_can_meet_the_same_test() -> None:
    frame = table(share=0.25)
    (week,) = prequential(frame, first_train_day=FIRST + timedelta(days=14), folds=1)
    (month,) = prequential(frame, first_train_day=FIRST, train_days=21, folds=1, known_days=7)
    np.testing.assert_array_equal(month.test, week.test)
    assert set(week.train) < set(month.train)
    (stricter,) = prequential(frame, first_train_day=FIRST, train_days=21, folds=1)
    assert set(stricter.test) < set(month.test)
