"""Hostile files are refused as a whole, in words."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from bentos.core.errors import InvalidInput
from bentos.fraud.bulk.pipeline import Pipeline
from tests.fraud.bulk.tables import as_sent, scored, transactions

_HEAD = b"customer_id,merchant_id,amount,timestamp\n"
_ROW = b"c,m,1,2026-01-31T12:00:00Z\n"


def _parquet(rows: int = 50) -> bytes:
    stream = io.BytesIO()
    as_sent(transactions(rows)).to_parquet(stream, index=False)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("form", "content", "message"),
    [
        ("csv", b"", "is empty"),
        ("csv", _HEAD, "has no rows"),
        ("csv", b"customer_id,amount\n1,2\n", "lacks the columns merchant_id, timestamp"),
        ("csv", b"customer_id,customer_id" + _HEAD[11:] + _ROW, "more than once: customer_id"),
        ("csv", _HEAD + _ROW + b"c\xff,m,1,2026-01-31T12:00:00Z\n", "line 3 is not UTF-8"),
        ("csv", _HEAD + _ROW + _ROW + b"c\0,m,1,2\n", "line 4 holds a NUL"),
        ("csv", _HEAD + _ROW + b"x" * 5000 + b"\n", "line 3 is longer than 4,096 bytes"),
        ("csv", _parquet(), "is a Parquet file"),
        ("csv", b'{"customer_id": 1}\n', "begins like JSON"),
        ("csv", b"PK\x03\x04....", "ZIP archive"),
        ("csv", "c".encode("utf-16"), "UTF-16"),
        ("csv", gzip.compress(_HEAD + _ROW * 20_000, mtime=0)[:60], "damaged or truncated"),
        ("parquet", _HEAD + _ROW, "does not begin with PAR1"),
        ("parquet", _parquet()[:-20], "footer cannot be read"),
        ("parquet", b"PAR1" + _parquet()[1000:], "damaged"),
        ("jsonl", b"[1, 2]\n", "each line is one JSON object"),
        ("jsonl", b'{"amount": 1}\n', "lacks the columns customer_id"),
    ],
)
def test_hostile_files_are_refused(pipeline: Pipeline, tmp_path: Path, form: str, content: bytes, message: str) -> None:
    (tmp_path / "in").write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        pipeline.plan(tmp_path / "in", form, tmp_path / "work")
    assert not (tmp_path / "work" / "plan.json").exists()


def test_packed_text_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(gzip.compress(_HEAD + _ROW * 1500))
    assert pipeline.plan(tmp_path / "in", "csv", tmp_path / "work").rows_total == 1500
    zipped = pa.BufferOutputStream()
    with pa.CompressedOutputStream(zipped, "zstd") as stream:
        stream.write(_HEAD + _ROW * 10)
    (tmp_path / "zipped").write_bytes(zipped.getvalue())
    assert pipeline.plan(tmp_path / "zipped", "csv", tmp_path / "other").rows_total == 10


def test_a_missing_file_is_refused(pipeline: Pipeline, tmp_path: Path) -> None:
    for source in (str(tmp_path / "none.csv"), f"file://{tmp_path}/none.csv", "nosuchscheme://x/y.csv"):
        with pytest.raises(InvalidInput):
            pipeline.plan(source, "csv", tmp_path / "work")


def test_a_uri_is_read(pipeline: Pipeline, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_bytes(_HEAD + _ROW)
    assert pipeline.plan(f"file://{tmp_path}/in.csv", "csv", tmp_path / "work").rows_total == 1


def test_lines_of_json_fail_alone(pipeline: Pipeline, tmp_path: Path) -> None:
    good = '{"customer_id":"c","merchant_id":"m","amount":1,"timestamp":"2026-01-31T12:00:00Z","more":{"a":1}}\n'
    bad = ["{\n", "[1]\n", good.replace('"c"', "5"), good.replace(":1,", ":true,"), good.replace('"c"', '"\\ud800"')]
    (tmp_path / "in").write_text(good + "".join(bad) + "\n" + good.rstrip())
    result = scored(pipeline, tmp_path / "in", "jsonl", tmp_path / "work")
    assert result["score"].notna().tolist() == [True, False, False, False, True, False, True]
    assert result["more"].iloc[0] == '{"a": 1}'


def test_typed_columns_of_parquet_are_read(pipeline: Pipeline, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "customer_id": [1, 2],
            "merchant_id": pd.Categorical(["m", "m"]),
            "amount": [1.0, float("nan")],
            "timestamp": pd.to_datetime(["2026-07-01T00:30", "2026-07-01T00:30"]).tz_localize("Europe/Athens"),
        }
    )
    frame.to_parquet(tmp_path / "in.parquet")
    result = scored(pipeline, tmp_path / "in.parquet", "parquet", tmp_path / "work")
    assert result["score"].notna().tolist() == [True, False]
    assert result["error"].iloc[1].startswith("amount: ")


def test_names_of_json_are_counted_before_they_are_columns(pipeline: Pipeline, tmp_path: Path) -> None:
    """A column for each of two million names would fit into no memory."""
    row = '"customer_id":"c","merchant_id":"m","amount":1,"timestamp":"2026-01-31T12:00:00Z"'
    lines = [f"{{{row}," + ",".join(f'"n{line * 90 + name}":1' for name in range(90)) + "}" for line in range(20_000)]
    (tmp_path / "in").write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=r"has 27\d columns, at most 256"):
        pipeline.plan(tmp_path / "in", "jsonl", tmp_path / "work")
