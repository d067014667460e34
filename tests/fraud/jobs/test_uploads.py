"""Forms, read in whatever pieces they come."""

from __future__ import annotations

import hashlib

import pytest

from bentos.core.errors import InvalidInput
from bentos.fraud.jobs.uploads import FormBody, RawBody, TooLong, boundary_of, form_of

#: Nearly the boundary, many times.
CONTENT = b"a,b\r\n--boun\r\n--\r\r\n--bounds\r\n-" * 5


class Kept:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.octets = b""

    def write(self, data: bytes) -> None:
        self.octets += data


def form(content: bytes, boundary: bytes = b"boundary") -> bytes:
    head = b'content-disposition: form-data; name="file"; filename="a.csv"\r\ncontent-type: text/csv\r\n'
    return b"--" + boundary + b"\r\n" + head + b"\r\n" + content + b"\r\n--" + boundary + b"--\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_a_form_in_pieces(size: int) -> None:
    kept, body = Kept(), form(CONTENT)
    file = RawBody(kept, None, 10_000)
    reader = FormBody(file, b"boundary")
    for start in range(0, len(body), size):
        reader.write(body[start : start + size])
    reader.end()
    assert kept.octets == CONTENT
    assert (reader.form, file.size, file.digest) == ("csv", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize("length", range(0, len(form(CONTENT)) - 4, 5))
def test_a_form_that_is_cut_off(length: int) -> None:
    reader = FormBody(RawBody(Kept(), None, 10_000), b"boundary")
    with pytest.raises(InvalidInput, match="ends before its last boundary"):
        _read(reader, form(CONTENT)[:length])


def _read(reader: FormBody, body: bytes) -> None:
    reader.write(body)
    reader.end()


def test_a_file_of_the_largest_size() -> None:
    RawBody(Kept(), "csv", 5).write(b"12345")
    with pytest.raises(TooLong):
        RawBody(Kept(), "csv", 5).write(b"123456")


@pytest.mark.parametrize(
    ("content_type", "name", "expected"),
    [
        ("text/csv", "", "csv"),
        ("Text/CSV; charset=utf-8", "x.parquet", "csv"),
        ("application/vnd.apache.parquet", "", "parquet"),
        ("application/x-ndjson", "", "jsonl"),
        ("", "payments.JSONL", "jsonl"),
        ("application/octet-stream", "s3://bucket/a.pq", "parquet"),
        ("application/json", "a.json", None),
        ("", "csv", None),
    ],
)
def test_forms_are_told_by_type_or_name(content_type: str, name: str, expected: str | None) -> None:
    assert form_of(content_type, name) == expected


def test_a_boundary() -> None:
    assert boundary_of('multipart/form-data; boundary="a b"') == b"a b"
    with pytest.raises(InvalidInput, match="must name its boundary"):
        boundary_of("multipart/form-data")


def test_a_form_that_goes_on_after_its_end() -> None:
    """It would go on for ever, and be within the limit of the file."""
    reader = FormBody(RawBody(Kept(), None, 10**9), b"boundary")
    reader.write(form(CONTENT))
    reader.write(b"-" * 60_000)
    with pytest.raises(InvalidInput, match="more than 65536 bytes beside its file"):
        reader.write(b"-" * 6_000)
