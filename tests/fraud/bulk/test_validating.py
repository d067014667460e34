"""Rows read column by column are those that the rules of a transaction accept, with the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bentos.core.features.online import utc_offset_seconds
from bentos.core.transaction import Transaction, microseconds
from bentos.fraud.bulk.columns import COORDINATES, FIELDS
from bentos.fraud.bulk.reading import Piece
from bentos.fraud.bulk.validating import validate

_TIMES = st.one_of(
    st.datetimes(timezones=st.timezones()).map(lambda t: t.isoformat()),
    st.from_regex(r"\A(19|20|22)\d\d-[01]\d-[0-3]\d[Tt _]\d\d:\d\d(:\d\d([.,]\d{1,8})?)?([Zz]|[+-]\d\d:?\d\d)?\Z"),
    st.sampled_from(["2024-02-29T23:59:59Z", "2023-02-29T00:00:00Z", "2026-01-31T12:00:60Z", "0", "2026-01-31", "é"]),
)
_NUMBERS = st.one_of(
    st.floats(-200, 200).map(str),
    st.floats(0, 2e7).map(repr),
    st.sampled_from(["1e3", "-0", " 5", "1_0", "nan", "inf", "1,5", "٣", "+1", ".5", "1.", "10000000", "10000000.01"]),
    st.text(max_size=3),
)
_NAMES = st.one_of(st.text(max_size=4), st.sampled_from(["a" * 128, "a" * 129, "é" * 128, "\u200b", "a\tb", " "]))
_CELLS: dict[str, Any] = {
    name: _TIMES if name == "timestamp" else _NUMBERS if name in (*COORDINATES, "amount") else _NAMES for name in FIELDS
}
_GOOD = {"customer_id": "c", "merchant_id": "m", "amount": "12.5", "timestamp": "2026-01-31T12:00:00+01:00"}
#: Rows with a few cells of any kind among good ones.
_ROWS = st.lists(
    st.fixed_dictionaries({}, optional=_CELLS).map(lambda row: _GOOD | row)
    | st.sampled_from(FIELDS).flatmap(lambda name: _CELLS[name].map(lambda cell: _GOOD | {name: cell})),
    min_size=1,
    max_size=20,
)


@settings(max_examples=300, deadline=None)
@given(_ROWS)
def test_the_same_rows_are_accepted_with_the_same_values(rows: list[dict[str, str]]) -> None:
    rows = [{name: cell for name, cell in row.items() if _encodable(cell)} for row in rows]
    table = pa.table({name: pa.array([row.get(name) for row in rows], pa.string()) for name in FIELDS})
    found = validate(Piece(table))
    for place, row in enumerate(rows):
        try:
            item = Transaction(**{name: cell for name, cell in row.items() if cell})  # type: ignore[arg-type]
        except ValidationError:
            assert not found.good[place], row
            assert found.errors[place]
            continue
        assert found.good[place], (row, found.errors)
        assert place not in found.errors
        assert found.time[place] == microseconds(item.timestamp)
        assert found.offset[place] == utc_offset_seconds(item)
        assert found.amount[place] == item.amount
        for number, name in enumerate(COORDINATES):
            value = getattr(item, name)
            have = found.coordinates[number, place]
            assert have == value if value is not None else np.isnan(have)
        for name, column in found.names.items():
            assert (column[place].as_py() or Transaction.model_fields[name].default) == getattr(item, name)


def _encodable(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
