"""Real data: what is right is written, what is wrong is named by its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bentos.core.errors import DataError
from bentos.core.ingest import readers
from bentos.core.ingest.sources import ingest_table, read_sources
from tests.core.ingest.sources import GOOD, HEADER, mapping, row, write_csv
from training.data.ingest import ingest
from training.data.table import read_transactions, table_hash


def _wrong(path: Path, **changes: Any) -> list[tuple[int, str, str]]:
    refused = read_sources([path], mapping(**changes)).refused
    return list(zip(refused["line"], refused["column"], refused["reason"], strict=True))


def test_a_csv_becomes_a_canonical_table(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv",
        row(id="t2", when="2026-02-01T00:00:00+01:00", fraud="yes"),
        row(home_lat="", home_lon="", kind="Café, \u00e9"[:4]),
        row(id="t0", price=" +1e2 "),
    )
    table = ingest_table([path], mapping())
    assert table["transaction_id"].tolist() == ["t1", "t0", "t2"], "by time, equal times by line"
    assert table["amount"].tolist() == [12.5, 100.0, 12.5]
    assert table["is_fraud"].tolist() == [False, False, True]
    assert table["merchant_category"].iloc[0] == "Café"
    assert table["customer_latitude"].isna().tolist() == [True, False, False]
    assert table["utc_offset_seconds"].tolist() == [3600] * 3
    assert table["label_timestamp"].isna().all()


def test_parquet_gives_the_same_as_csv(tmp_path: Path) -> None:
    csv = write_csv(tmp_path / "a.csv", row(customer="7"), row(id="t2", customer="8", home_lat="", home_lon=""))
    frame = pd.read_csv(csv)
    table = pa.Table.from_pandas(frame)
    expected = table_hash(ingest_table([csv], mapping()))
    for text in (pa.string(), pa.large_string(), pa.string_view()):
        for column in ("id", "when", "fraud"):
            table = table.set_column(table.column_names.index(column), column, table[column].cast(text))
        kind = pa.array(["grocery"] * 2, text if text != pa.string_view() else None).dictionary_encode()
        pq.write_table(table.set_column(3, "kind", kind), tmp_path / "a.parquet")
        assert table_hash(ingest_table([tmp_path / "a.parquet"], mapping())) == expected


def test_sources_are_files_folders_and_globs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (2, 1):
        write_csv(tmp_path / f"day{number}.csv", row(id=f"t{number}"))
    (tmp_path / "notes.txt").write_text("no data")
    whole = ingest_table([tmp_path], mapping())
    assert whole["transaction_id"].tolist() == ["t1", "t2"]
    for sources in ([tmp_path / "day*.csv"], [tmp_path / "day1.csv", tmp_path], [f"{tmp_path}/**/*.csv"]):
        assert table_hash(ingest_table(sources, mapping())) == table_hash(whole)
    assert len(ingest_table([tmp_path], mapping(files="day2*"))) == 1
    monkeypatch.setattr(readers, "_BATCH_ROWS", 1)
    assert table_hash(ingest_table([tmp_path], mapping())) == table_hash(whole)


def test_sources_that_name_nothing_are_refused(tmp_path: Path) -> None:
    for source in (tmp_path / "none.csv", tmp_path, f"{tmp_path}/*.csv"):
        with pytest.raises(DataError, match="names no file to read"):
            ingest_table([source], mapping())
    (tmp_path / "a.dat").write_text(f"{HEADER}\n{GOOD}\n")
    with pytest.raises(DataError, match="cannot tell the format of"):
        ingest_table([tmp_path / "a.dat"], mapping())
    assert len(ingest_table([tmp_path / "a.dat"], mapping(format="csv"))) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: it has no bytes"),
        (HEADER.encode(), "there are no rows in"),
        (b"\n\n", "no header in its first line"),
        (b"id,shop\na,b\n", "lacks the columns customer, kind, .*; the mapping needs id, .*; the file has id, shop"),
        (f"{HEADER},colour,size\n".encode(), "columns that the mapping does not know: colour, size; map them"),
        (f"{HEADER},id\n".encode(), "more than once: id"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "begins like a UTF-16 file; state `encoding: utf-16`"),
        (f"{HEADER}é\n".encode("cp1252"), "header holds bytes that are not utf-8"),
        (f'{HEADER}\n{GOOD}\nt2,"c1,m1\n{GOOD}\n'.encode(), "a.csv:3: unexpected end of data: a quote is missing"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        ingest_table([tmp_path / "a.csv"], mapping())


@pytest.mark.parametrize("size", [3, 100, -5])
def test_a_truncated_parquet_file_is_refused(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": ["t"] * 1_000}), path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match="no readable Parquet file, or a truncated one"):
        ingest_table([path], mapping())


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"price": "much"}, "amount", "is no finite number"),
        ({"price": "NaN"}, "amount", "is no finite number"),
        ({"price": "-inf"}, "amount", "is no finite number"),
        ({"price": "1e400"}, "amount", "is infinite"),
        ({"price": "0x10"}, "amount", "is no finite number"),
        ({"price": ""}, "amount", "is empty or no number"),
        ({"price": "-0.01"}, "amount", "must lie from 0 to 10,000,000"),
        ({"price": "10000000.01"}, "amount", "must lie from 0 to 10,000,000"),
        ({"when": "2026-01-31T12:00:00"}, "timestamp", "has no offset"),
        ({"when": "1950-01-31T12:00:00Z"}, "timestamp", "must lie from 1970"),
        ({"customer": ""}, "customer_id", "is empty"),
        ({"shop": "x" * 129}, "merchant_id", "is longer than 128 characters"),
        ({"kind": "a\tb"}, "merchant_category", "must hold printable characters only"),
        ({"home_lat": "91"}, "customer_latitude", "must lie from -90 to 90"),
        ({"shop_lon": ""}, "merchant_longitude", "is empty though merchant_latitude is given"),
        ({"fraud": "maybe"}, "is_fraud", "means neither fraud (yes) nor legitimate (no)"),
        ({"fraud": ""}, "is_fraud", "means neither fraud"),
        ({"id": "t1"}, "transaction_id", "was there before"),
        ({"fraud": "no,more"}, "(row)", "has 12 fields, the header names 11"),
    ],
)
def test_a_wrong_row_is_named_by_its_line(changes: dict[str, str], column: str, reason: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD, "", row(**{"id": "t2", **changes}), row(id="t3"))
    (found,) = _wrong(path)
    assert found[:2] == (4, column), "the blank line counts as a line, not as a row"
    assert found[2].startswith(reason)


def test_lines_count_those_within_quotes(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", row(kind='"two\nlines"'), row(id="t2", price="x"), row(id="t3", shop=""))
    assert [line for line, _, _ in _wrong(path)] == [2, 4, 5]


def test_a_truncated_last_line_is_a_wrong_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n{GOOD}\nt2,c1,m1,groc")
    assert _wrong(path) == [(3, "(row)", "has 4 fields, the header names 11")]


def test_wrong_encoding_is_named_by_line_and_column(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD, row(id="t2", kind="Café"), encoding="cp1252")
    ((line, column, reason),) = _wrong(path)
    assert (line, column) == (3, "kind")
    assert reason.startswith("holds bytes that are not utf-8; state the file's encoding")
    assert ingest_table([path], mapping(encoding="cp1252"))["merchant_category"].tolist() == ["grocery", "Café"]


def test_other_dialects(tmp_path: Path) -> None:
    text = "\n".join([HEADER, row(price="12§5")]).replace(",", ";").replace("§", ",")
    (tmp_path / "a.csv").write_text(f"\ufeff{text}\n", encoding="utf-16")
    how = mapping(delimiter=";", decimal=",", encoding="utf-16")
    (tmp_path / "a.csv").write_text(f"{text}\n", encoding="utf-16")
    assert ingest_table([tmp_path / "a.csv"], how)["amount"].tolist() == [12.5]
    (tmp_path / "b.csv").write_text(f"{HEADER}\n{GOOD}\n", encoding="utf-8-sig")
    assert len(ingest_table([tmp_path / "b.csv"], mapping())) == 1


def test_parquet_rows_count_from_one(tmp_path: Path) -> None:
    cells = dict(zip(HEADER.split(","), GOOD.split(","), strict=True))
    table = pa.table({name: [value] * 3 for name, value in cells.items()})
    table = table.set_column(0, "id", pa.array([1.0, 2.5, None])).set_column(4, "price", pa.array([1, 2, 3]))
    pq.write_table(table, tmp_path / "a.parquet")
    assert _wrong(tmp_path / "a.parquet") == [
        (2, "transaction_id", "is no whole number; names are text or whole numbers"),
        (3, "transaction_id", "is empty"),
    ]


def test_extra_columns_are_left_unread_only_when_the_mapping_says_so(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", f"{GOOD},red", header=f"{HEADER},colour")
    assert read_sources([path], mapping(ignore=["colour"])).warnings[1:] == ()
    assert "left unread, as the mapping says: colour" in read_sources([path], mapping(ignore="all")).warnings[0]


def test_missing_columns_and_empty_cells_take_constants(tmp_path: Path) -> None:
    columns = {"customer_id": "customer", "merchant_id": "shop", "merchant_category": "kind", "amount": "price"}
    path = write_csv(tmp_path / "a.csv", row(kind=""), GOOD)
    constants = {"merchant_category": "other", "merchant_latitude": 1.0, "merchant_longitude": 2.0}
    table = ingest_table([path], mapping(columns=columns, constants=constants, ignore="all"))
    assert table["merchant_category"].tolist() == ["other", "grocery"]
    assert table["merchant_longitude"].tolist() == [2.0, 2.0]
    assert table["transaction_id"].tolist() == ["1", "2"]


def test_one_class_is_a_warning(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD)
    assert "every row is legitimate" in read_sources([path], mapping()).warnings[0]


def test_labels_arrive_when_the_data_says(tmp_path: Path) -> None:
    path = write_csv(
        tmp_path / "a.csv",
        f"{GOOD},2026-03-01T00:00:00Z",
        f"{row(id='t2')},",
        f"{row(id='t3')},soon",
        f"{row(id='t4')},2026-01-01T00:00:00Z",
        header=f"{HEADER},known",
    )
    label = {**mapping().label.model_dump(exclude_none=True), "arrival": {"column": "known", "kind": "offset"}}
    result = read_sources([path], mapping(label=label))
    assert result.table["label_timestamp"].tolist() == [pd.Timestamp("2026-03-01", tz="UTC"), pd.NaT]
    assert result.refused["line"].tolist() == [4, 5]
    assert set(result.refused["column"]) == {"label_timestamp"}


def _profiles(**changes: Any) -> dict[str, Any]:
    columns = {name: source for name, source in mapping().columns.items() if not name.startswith("merchant_l")}
    profile = {"file": "shops.csv", "key": "name", "source": "shop", "columns": ["x", "y"], **changes}
    grid = {"kilometres_per_unit": 1, "origin_latitude": 0, "origin_longitude": 0, "merchant": {"x": "x", "y": "y"}}
    return {"columns": columns, "profiles": [profile], "grid": grid, "ignore": "all"}


def test_places_come_from_profiles(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD, row(id="t2", shop="m9"), row(id="t3", shop="m2"))
    write_csv(tmp_path / "shops.csv", "m1,0,111.195", "m2,5000,0", header="name,x,y")
    result = read_sources([path], mapping(**_profiles()))
    assert result.table["merchant_latitude"].tolist() == pytest.approx([1.0], abs=1e-4)
    assert list(zip(result.refused["line"], result.refused["reason"], strict=True)) == [
        (3, "has no row in shops.csv"),
        (4, "lies more than 1,000 km from the grid's origin"),
    ]
    result = read_sources([path], mapping(**_profiles(missing="empty")))
    assert result.table["merchant_latitude"].isna().tolist() == [False, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "joins shops.csv, which is not in"),
        ("name,x\nm1,1\n", "lacks the columns y; it has name, x"),
        ("name,x,y\nm1,1,1\nm1,1,1\n", "must name each row once; 'm1'"),
        ("name,x,y\nm1,1\n", "shops.csv:2: has 2 fields"),
        ("name,x,y\n", "has no rows"),
    ],
)
def test_a_profile_that_cannot_be_used_says_why(content: str | None, message: str, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD)
    if content is not None:
        (tmp_path / "shops.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        read_sources([path], mapping(**_profiles()))


def test_by_default_one_wrong_row_stops_all(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD, *(row(id=f"t{number}", price="x") for number in range(2, 9)))
    with pytest.raises(DataError) as caught:
        ingest([path], mapping(), tmp_path / "out" / "t.parquet", examples=2)
    text = str(caught.value)
    assert "7 of 8 rows are wrong, nothing was written" in text
    assert "is no finite number (decimal mark '.') (7 rows)" in text
    assert f"{path}:3: 'x'" in text
    assert f"{path}:4: 'x'" in text
    assert f"{path}:5" not in text
    assert "and 5 more" in text
    assert not (tmp_path / "out").exists()


def test_refused_rows_go_to_their_file(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD, row(id="t2", price="x", shop=""), row(id="t3", fraud="yes"))
    report = ingest([path], mapping(), tmp_path / "t.parquet", refused=tmp_path / "refused.csv")
    assert report.refused_rows == 1
    assert report.summary.rows == 2
    refused = pd.read_csv(tmp_path / "refused.csv", keep_default_na=False)
    assert list(refused.columns) == ["file", "line", "column", "value", "reason"]
    assert refused[["file", "line", "column", "value"]].to_numpy().tolist() == [
        [str(path), 3, "amount", "x"],
        [str(path), 3, "merchant_id", ""],
    ]
    assert read_transactions(tmp_path / "t.parquet")["transaction_id"].tolist() == ["t1", "t3"]


def test_nothing_right_writes_nothing(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", row(price="x"))
    with pytest.raises(DataError, match="no row is right"):
        ingest([path], mapping(), tmp_path / "t.parquet", refused=tmp_path / "refused.csv")
    assert list(tmp_path.iterdir()) == [path]


def test_refused_rows_do_not_replace_data(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD)
    for target in (path, tmp_path / "t.parquet"):
        with pytest.raises(DataError, match="that is the output or a source"):
            ingest([path], mapping(), tmp_path / "t.parquet", refused=target)


def test_an_output_that_cannot_be_written_leaves_no_list(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", GOOD, row(id="t2", price="x"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        ingest([path], mapping(), tmp_path / "file" / "t.parquet", refused=tmp_path / "refused.csv")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.csv", "file"]
