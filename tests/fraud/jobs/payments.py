"""Files of payments, and jobs made of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import csv as arrow_csv

from bentos.core.jobs import Job
from bentos.fraud.jobs.desk import Desk, Options

__all__ = ["payments_csv", "result_column", "submit"]


def payments_csv(rows: int, *, name: str = "t") -> bytes:
    """A file of payments, named t0, t1, …"""
    lines = (
        f"{name}{index},c{index % 50},m{index % 20},{index % 97}.5,"
        f"2026-05-{1 + index % 28:02d}T12:00:{index % 60:02d}+02:00\n"
        for index in range(rows)
    )
    return b"transaction_id,customer_id,merchant_id,amount,timestamp\n" + "".join(lines).encode()


def submit(desk: Desk, content: bytes, **options: str) -> Job:
    """Hand a CSV file in."""
    job_id, upload = desk.open_upload()
    upload.write(content)
    digest = hashlib.sha256(content).hexdigest()
    return desk.submit_upload(job_id, upload, "csv", digest, len(content), Options(**options))  # type: ignore[arg-type]


def result_column(parts: Iterator[bytes], name: str) -> list[object]:
    """A column of a result in CSV."""
    table = arrow_csv.read_csv(pa.BufferReader(b"".join(parts)))
    return list(table[name].to_pylist())
