"""Columns of uploaded files: read, guessed, renamed."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest

from bentos.core.errors import InvalidInput
from dashboard.columns import FIELDS, REQUIRED, form_of, guessed, head, renamed

MAPPING = {"customer_id": "card", "merchant_id": "shop", "amount": "amt", "timestamp": "time"}
CSV = b'card,shop,amt,time,"a, note"\nc1,m1,007.50,2026-05-30T12:00:00Z,=1+1\nc2,m2,2,2026-05-30T12:01:00Z,"x\ny"\n'


def test_only_the_header_of_a_csv_changes() -> None:
    result = renamed(CSV, "csv", MAPPING)
    assert result.split(b"\n", 1)[0] == b'customer_id,merchant_id,amount,timestamp,"a, note"'
    assert result.split(b"\n", 1)[1] == CSV.split(b"\n", 1)[1]


def test_a_header_over_two_lines_and_a_byte_order_mark_are_understood() -> None:
    content = b'\xef\xbb\xbfcard,shop,amt,time,"two\nlines"\nc1,m1,1,2026-05-30T12:00:00Z,x\n'
    result = renamed(content, "csv", MAPPING)
    frame = pd.read_csv(io.BytesIO(result))
    assert list(frame.columns) == ["customer_id", "merchant_id", "amount", "timestamp", "two\nlines"]
    assert len(frame) == 1


def test_a_file_with_the_right_names_is_sent_as_it_is() -> None:
    content = b"customer_id,merchant_id,amount,timestamp\r\nc1,m1,1,2026-05-30T12:00:00Z\r\n"
    mapping = {name: name for name in REQUIRED}
    assert renamed(content, "csv", mapping) is content


def test_a_column_of_a_fields_name_that_is_not_chosen_makes_room() -> None:
    content = b"card,shop,amt,time,amount\nc1,m1,5,2026-05-30T12:00:00Z,9\n"
    frame = pd.read_csv(io.BytesIO(renamed(content, "csv", MAPPING)))
    assert frame.loc[0, "amount"] == 5
    assert frame.loc[0, "other_amount"] == 9


def test_lines_and_parquet_are_renamed_alike() -> None:
    frame = pd.DataFrame({"card": ["c1"], "shop": ["m1"], "amt": [1.5], "time": ["2026-05-30T12:00:00Z"]})
    lines = b'{"card": "c1", "shop": "m1", "amt": 1.5, "time": "2026-05-30T12:00:00Z"}\n\nnot json\n'
    first, second = renamed(lines, "jsonl", MAPPING).splitlines()
    parquet = pd.read_parquet(io.BytesIO(renamed(frame.to_parquet(), "parquet", MAPPING)))
    assert json.loads(first) == parquet.to_dict("records")[0]
    # The service refuses it, with its number.
    assert second == b"not json"


def test_the_preview_shows_text_as_it_stands() -> None:
    frame = head(CSV, "csv")
    assert frame.loc[0, "amt"] == "007.50"
    assert frame.loc[0, "a, note"] == "=1+1"


@pytest.mark.parametrize(
    ("content", "form"),
    [
        (b"", "csv"),
        (b"a,b\n", "csv"),
        (b"\xff\xfe\x00\x01", "csv"),
        (b"{", "jsonl"),
        (b"no parquet", "parquet"),
        (b"\x00" * 100, "parquet"),
    ],
    ids=["empty", "header alone", "binary", "broken", "text", "zeros"],
)
def test_what_is_no_such_file_is_refused(content: bytes, form: str) -> None:
    with pytest.raises(InvalidInput, match="file"):
        head(content, form)  # type: ignore[arg-type]


def test_a_missing_field_and_a_column_chosen_twice_are_named() -> None:
    with pytest.raises(InvalidInput, match="timestamp: needs a column"):
        renamed(CSV, "csv", {name: column for name, column in MAPPING.items() if name != "timestamp"})
    with pytest.raises(InvalidInput, match="card: is chosen for two fields"):
        renamed(CSV, "csv", {**MAPPING, "merchant_id": "card"})


def test_names_of_other_data_sets_are_guessed() -> None:
    assert guessed(["TX_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT"]) == {
        "transaction_id": "TX_ID",
        "customer_id": "CUSTOMER_ID",
        "merchant_id": "TERMINAL_ID",
        "amount": "TX_AMOUNT",
        "timestamp": "TX_DATETIME",
    }
    assert guessed(
        ["cc_num", "merchant", "amt", "trans_date_trans_time", "lat", "long", "merch_lat", "merch_long"]
    ) == {
        "customer_id": "cc_num",
        "merchant_id": "merchant",
        "amount": "amt",
        "timestamp": "trans_date_trans_time",
        "customer_latitude": "lat",
        "customer_longitude": "long",
        "merchant_latitude": "merch_lat",
        "merchant_longitude": "merch_long",
    }
    assert guessed(list(FIELDS)) == {name: name for name in FIELDS}


def test_a_file_of_another_kind_is_refused_by_its_name() -> None:
    assert form_of("May.CSV") == "csv"
    with pytest.raises(InvalidInput, match=r"called may\.xlsx"):
        form_of("may.xlsx")
