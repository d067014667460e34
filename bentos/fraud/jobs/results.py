"""Results on their way to callers. Parquet is sent as it lies; only CSV needs the libraries of tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from bentos.core.jobs import ResultForm

__all__ = ["RESULT", "read_parts"]

#: As :data:`bentos.fraud.bulk.pipeline.RESULT`, whose import takes a worker 100 MB.
RESULT: Final = ("result.parquet",)
_BLOCK: Final = 1024 * 1024


def read_parts(stream: BinaryIO, form: ResultForm) -> Iterator[bytes]:
    """A result in Parquet, piece by piece in either form; closes the stream in the end."""
    if form == "parquet":
        return _blocks(stream)
    from bentos.fraud.bulk.pipeline import csv_parts

    return csv_parts(stream)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while block := stream.read(_BLOCK):
            yield block
