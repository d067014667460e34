"""Results on their way to callers. Parquet is sent as it lies; only CSV needs the libraries of tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from bentos.core.errors import Expired
from bentos.core.jobs import ResultForm

__all__ = ["RESULT", "read_parts"]

#: As :data:`bentos.fraud.bulk.pipeline.RESULT`, whose import takes a worker 100 MB.
RESULT: Final = ("result.parquet",)
_BLOCK: Final = 1024 * 1024


def read_parts(folder: Path, form: ResultForm) -> Iterator[bytes]:
    """A result, piece by piece; opened before this returns.

    Raises
    ------
    Expired
        When it was removed just now.
    """
    try:
        stream = (folder / RESULT[0]).open("rb")
    except FileNotFoundError as error:
        raise Expired("the result was kept for its time and is gone; give the job again") from error
    if form == "parquet":
        return _blocks(stream)
    with stream:
        from bentos.fraud.bulk.pipeline import read_result

        return read_result(folder, form)


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        while block := stream.read(_BLOCK):
            yield block
