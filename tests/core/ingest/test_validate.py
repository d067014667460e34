"""A table takes exactly the rows that the service takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bentos.core.ingest.convert import Converter
from bentos.core.ingest.mapping import load_mapping
from bentos.core.ingest.validate import duplicate_ids, validate
from bentos.core.transaction import MAXIMUM_AMOUNT, Transaction, microseconds
from tests.core.ingest.sources import mapping

_TEXT = st.one_of(
    st.text(max_size=3),
    st.sampled_from(["", " ", "c1", "é", "a\u0000", "a\u200bb", "日本", "x" * 128, "x" * 129, "é" * 128, "é" * 129]),
)
_AMOUNT = st.one_of(
    st.floats(),
    st.sampled_from([0.0, -0.0, -1e-300, MAXIMUM_AMOUNT, np.nextafter(MAXIMUM_AMOUNT, np.inf), 12.5]),
)
_PLACE = st.one_of(
    st.just(None),
    st.floats(-200, 200),
    st.sampled_from([90.0, -90.0, 180.0, -180.0, np.nextafter(90, 91), np.inf]),
)
_TIME = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["2026-01-31", "2026-02-30", "1969-12-31", "1970-01-01", "2199-12-31", "2200-01-01", "26-1-1"]),
        st.sampled_from(["T", "t", " ", "_", "x"]),
        st.sampled_from(["00:00", "23:59:59", "12:30:15", "24:00:00", "12:00:60", "1:00"]),
        st.sampled_from(["", ".5", ".123456", ".1234567", ",25", ".", ".x"]),
        st.sampled_from(["", "Z", "z", "+01:00", "-0530", "+23:59", "+24:00", "+01", "−01:00", " Z"]),
    ),
)
_ROW = st.fixed_dictionaries(
    {
        "id": _TEXT,
        "customer": _TEXT,
        "shop": _TEXT,
        "kind": _TEXT,
        "price": _AMOUNT,
        "when": st.one_of(_TIME, st.just("2026-01-31T12:00:00+01:00")),
        "home_lat": _PLACE,
        "home_lon": _PLACE,
        "shop_lat": _PLACE,
        "shop_lon": _PLACE,
    }
)
#: As above, but most cells are right, so that whole rows are.
_GOOD = {
    "id": "t1",
    "customer": "c1",
    "shop": "m1",
    "kind": "k",
    "price": 1.0,
    "when": "2026-01-31T12:00:00Z",
    "home_lat": 1.0,
    "home_lon": 2.0,
    "shop_lat": None,
    "shop_lon": None,
}


@st.composite
def _rows(draw: st.DrawFn) -> dict[str, Any]:
    drawn = draw(_ROW)
    changed = draw(st.sets(st.sampled_from(sorted(_GOOD)), max_size=2))
    return {name: drawn[name] if name in changed else _GOOD[name] for name in _GOOD}


def _accepted(row: dict[str, Any]) -> Transaction | None:
    fields = {target: row[source] for target, source in mapping().columns.items()}
    try:
        return Transaction(**fields, timestamp=row["when"])
    except ValidationError:
        return None


@settings(max_examples=150, deadline=None)
@example([{**_GOOD, "when": "2026-01-31T00:00.5Z"}])
@example([{**_GOOD, "when": "2026-01-31T00:00:00.5Z"}, {**_GOOD, "when": "2026-01-31T23:59Z"}])
@given(st.lists(_rows(), min_size=1, max_size=6))
def test_validate_takes_what_the_service_takes(rows: list[dict[str, Any]]) -> None:
    types = {name: pa.float64() if name.endswith(("lat", "lon")) or name == "price" else pa.string() for name in _GOOD}
    source = pa.table({name: pa.chunked_array([pa.array([row[name] for row in rows], types[name])]) for name in _GOOD})
    source = source.append_column("fraud", pa.array(["no"] * len(rows)))
    table, found = Converter(mapping(), Path()).convert(source, 1)
    found.extend(validate(table))
    expected = [_accepted(row) for row in rows]
    assert list(found.rows()) == [number for number, item in enumerate(expected) if item is None]
    for number, item in enumerate(expected):
        if item is not None:
            assert int(table["timestamp"].astype("int64").iloc[number]) == microseconds(item.timestamp)
            offset = item.timestamp.utcoffset()
            assert offset is not None
            assert table["utc_offset_seconds"].iloc[number] == offset.total_seconds()
            assert table["amount"].iloc[number] == item.amount


def _table(**changes: Any) -> pd.DataFrame:
    table, found = Converter(mapping(), Path()).convert(
        pa.table({**{name: [value] * 3 for name, value in _GOOD.items()}, "fraud": ["no"] * 3}), 1
    )
    assert not len(found.rows())
    for name, value in changes.items():
        table.loc[1, name] = value
    return table


def test_a_finding_says_where_what_and_why() -> None:
    found = validate(_table(amount=-2.0, customer_latitude=np.nan)).frame()
    assert found.to_dict("records") == [
        {"row": 1, "column": "amount", "value": "-2.0", "reason": "must lie from 0 to 10,000,000"},
        {
            "row": 1,
            "column": "customer_latitude",
            "value": "nan",
            "reason": "is empty though customer_longitude is given; they come together or not at all",
        },
    ]


def test_a_value_is_shown_short_and_printable() -> None:
    found = validate(_table(customer_id="x\u0007" * 500)).frame()
    assert found["value"].iloc[0].startswith("x\\x07x")
    assert len(found["value"].iloc[0]) < 300
    assert found["value"].iloc[0].isprintable()


def test_a_label_cannot_precede_its_transaction() -> None:
    found = validate(_table(label_timestamp=pd.Timestamp("2026-01-31T11:59:59Z"))).frame()
    assert found["reason"].tolist() == ["arrives before the transaction"]


def test_an_offset_is_less_than_a_day() -> None:
    assert validate(_table(utc_offset_seconds=-86_400)).frame()["column"].tolist() == ["utc_offset_seconds"]


def test_an_empty_table_has_nothing_wrong() -> None:
    assert len(validate(_table().iloc[:0]).frame()) == 0


def test_duplicates_name_the_first_of_their_kind() -> None:
    again, first = duplicate_ids(pd.Series(["a", "b", "a", "c", "b", "a"]))
    assert (again.tolist(), first.tolist()) == ([2, 4, 5], [0, 1, 0])
    assert duplicate_ids(pd.Series(["a", "b"]))[0].tolist() == []


def test_shipped_mappings_are_right() -> None:
    assert "TX_FRAUD_SCENARIO" not in load_mapping("fdh").sources()
