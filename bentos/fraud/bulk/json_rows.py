"""JSON Lines as Arrow tables of text."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa

from bentos.fraud.bulk.checked import CheckedStream
from bentos.fraud.bulk.columns import FIELDS, TEXTS, check_columns
from bentos.fraud.bulk.reading import Limits, Piece

__all__ = ["read"]

#: Of a piece at most, whichever comes first.
_ROWS: Final = 20_000
_BYTES: Final = 16 * 1024**2
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    name: (str,) if name in (*TEXTS, "timestamp") else (str, int, float) for name in FIELDS
}


def read(stream: CheckedStream, limits: Limits) -> Iterator[Piece]:
    """Pieces of a file with one JSON object a line; empty lines are no rows. Null and a missing member are the same.

    Text is kept as it is, other values as their JSON.

    Raises
    ------
    InvalidInput
        When it is no such file.
    """
    names: dict[str, None] = {}
    lines = (line for line in io.BufferedReader(stream, 1 << 20) if not line.isspace())
    first = True
    for some in _some(lines):
        piece = _piece(some, names, limits, first)
        first = False
        yield piece


def _some(lines: Iterator[bytes]) -> Iterator[list[bytes]]:
    held: list[bytes] = []
    size = 0
    for line in lines:
        held.append(line)
        size += len(line)
        if len(held) == _ROWS or size > _BYTES:
            yield held
            held, size = [], 0
    if held:
        yield held


def _piece(lines: list[bytes], names: dict[str, None], limits: Limits, first: bool) -> Piece:
    broken: dict[int, str] = {}
    rows = []
    for number, line in enumerate(lines):
        # A byte order mark may stand at the very beginning.
        found = _parsed(line.removeprefix(codecs.BOM_UTF8) if first and number == 0 else line)
        if isinstance(found, str):
            broken[number] = found
            found = {}
        rows.append(found)
        names.update(dict.fromkeys(found))
        if len(names) > limits.columns:
            # Before there is a column for each.
            break
    check_columns(list(names), limits)
    originals = {number: row for number, row in enumerate(rows) if _unusual(row)}
    columns = {name: pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in names}
    return Piece(pa.table(columns), broken, originals)


def _parsed(line: bytes) -> dict[str, Any] | str:
    """The object of a line, or what is wrong with it."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is no JSON: {str(error)[:100]}"
    return found if isinstance(found, dict) else "is no JSON object"


def _unusual(row: dict[str, Any]) -> bool:
    """Whether a member has a value that its text would not tell from another."""
    for name, kinds in _KINDS.items():
        value = row.get(name)
        if value is not None and type(value) not in kinds:
            return True
        if isinstance(value, str) and not value.isascii() and not value.isprintable():
            return True
    return False


def _text(value: Any) -> str | None:
    if value is None:
        return None
    # A lone surrogate cannot be kept; a row with one in a name is refused.
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
