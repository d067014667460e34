"""Tables to transactions, and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest

from bentos.client.frames import RESULT_COLUMNS, frame_rows, with_results
from bentos.core.errors import FieldError, InvalidInput
from bentos.core.transaction import LABEL_COLUMNS, TRANSACTION_COLUMNS, Transaction
from tests.client.scripted import prediction
from tests.fraud.requests import transaction_json


def test_missing_values_are_left_out() -> None:
    frame = pd.DataFrame(
        [
            transaction_json(customer_latitude=52.5, customer_longitude=np.nan),
            {**transaction_json(), "merchant_category": None, "amount": pd.NA, "timestamp": pd.NaT},
        ]
    )
    first, second = frame_rows(frame)
    assert first["customer_latitude"] == 52.5
    assert "customer_longitude" not in first
    assert second == {"customer_id": "customer-1", "merchant_id": "merchant-1"}


def test_the_customers_clock_is_kept() -> None:
    instant = pd.Timestamp("2026-01-31T11:00:00Z")
    frame = pd.DataFrame([transaction_json()] * 2).assign(
        timestamp=pd.Series([instant] * 2).astype("datetime64[us, UTC]"), utc_offset_seconds=[3600, -7200]
    )
    read = [Transaction.model_validate(row) for row in frame_rows(frame)]
    assert [row.timestamp.isoformat() for row in read] == ["2026-01-31T12:00:00+01:00", "2026-01-31T09:00:00-02:00"]


def test_timestamps_of_a_time_zone_and_of_python() -> None:
    times = pd.Series([pd.Timestamp("2026-07-01T12:00", tz="Europe/Berlin")])
    (row,) = frame_rows(pd.DataFrame([transaction_json()]).assign(timestamp=times))
    assert Transaction.model_validate(row).timestamp.utcoffset() == timedelta(hours=2)
    own = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=-5)))
    (row,) = frame_rows(pd.DataFrame([transaction_json()]).assign(timestamp=pd.Series([own], dtype="object")))
    assert Transaction.model_validate(row).timestamp == own


def test_the_products_own_table_is_understood() -> None:
    columns = {**TRANSACTION_COLUMNS, **LABEL_COLUMNS}
    frame = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in columns.items()})
    assert frame_rows(frame) == []
    assert list(with_results(frame, []).columns) == [*columns, *RESULT_COLUMNS]


def test_wrong_columns_are_named() -> None:
    frame = pd.DataFrame([transaction_json()]).rename(columns={"amount": "amuont"})
    frame = pd.concat([frame, frame[["customer_id"]]], axis=1)
    with pytest.raises(InvalidInput) as refused:
        frame_rows(frame)
    assert refused.value.errors == [
        FieldError("amount", "this column is missing"),
        FieldError("customer_id", "this column is there twice"),
        FieldError("amuont", "is no field of a transaction; select the columns to send"),
    ]


@pytest.mark.parametrize("offset", [None, 0.5, 86_400])
def test_an_offset_that_is_none_is_refused(offset: float | None) -> None:
    frame = pd.DataFrame([{**transaction_json(), "utc_offset_seconds": offset}])
    with pytest.raises(InvalidInput, match="utc_offset_seconds"):
        frame_rows(frame)


def test_results_stand_beside_their_rows() -> None:
    frame = pd.DataFrame({"transaction_id": ["a", None, "c"]}, index=pd.Index([7, 7, 3], name="row"))
    bad = InvalidInput([FieldError("amount", "is negative")])
    answered = with_results(frame, [prediction("a"), prediction("made"), bad])
    assert answered.index.equals(frame.index)
    assert answered["transaction_id"].tolist() == ["a", "made", "c"]
    assert answered["score"].dtype == np.float64
    assert answered["score"].isna().tolist() == [False, False, True]
    assert answered["error"].isna().tolist() == [True, True, False]
    assert answered["error"].iloc[2] == "amount: is negative"
    assert answered["model_version"].tolist()[:2] == ["1", "1"]
    assert "score" not in frame.columns


@pytest.mark.parametrize("rows", [0, 1])
def test_dtypes_do_not_depend_on_the_rows(rows: int) -> None:
    frame = pd.DataFrame([transaction_json(transaction_id="a")]).iloc[:rows]
    answered = with_results(frame, [prediction("a")] * rows)
    kinds = {name: str(answered[name].dtype) for name in RESULT_COLUMNS}
    assert kinds == {
        "score": "float64",
        "decision": "str",
        "reasons": "object",
        "error": "str",
        "model_version": "str",
    }


def test_instants_stay_what_they_are() -> None:
    instant = pd.Timestamp("2026-01-31T11:00:00.123456Z")
    (row,) = frame_rows(pd.DataFrame([transaction_json()]).assign(timestamp=[instant]))
    assert Transaction.model_validate(row).timestamp == datetime(2026, 1, 31, 11, 0, 0, 123456, tzinfo=UTC)
