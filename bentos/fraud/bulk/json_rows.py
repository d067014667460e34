"""JSON Lines as Arrow tables of text."""

from __future__ import annotations

import codecs
import io
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import pyarrow as pa

from bentos.fraud.bulk.checked import CheckedStream
from bentos.fraud.bulk.columns import FIELDS, TEXTS, check_columns
from bentos.fraud.bulk.reading import Limits, Piece

__all__ = ["read"]

_ROWS: Final = 20_000
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
    while some := list(islice(lines, _ROWS)):
        piece = _piece(some, names, first)
        check_columns(list(names), limits)
        first = False
        yield piece


def _piece(lines: list[bytes], names: dict[str, None], first: bool) -> Piece:
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
