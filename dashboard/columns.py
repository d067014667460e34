"""Files of transactions before they are handed in: what their columns are, and renaming them.

Knows nothing of Streamlit. What a file must hold is the service's business; it says what is wrong, row by row.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bentos.core.errors import FieldError, InvalidInput
from bentos.core.jobs import SourceForm
from bentos.core.transaction import Transaction

__all__ = ["FIELDS", "REQUIRED", "form_of", "guessed", "head", "renamed"]

#: Fields of a transaction, in the order of the schema, and those that must be there.
FIELDS: Final = tuple(Transaction.model_fields)
REQUIRED: Final = tuple(name for name, field in Transaction.model_fields.items() if field.is_required())

_ENDS: Final[dict[str, SourceForm]] = {
    ".csv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
#: What columns are called elsewhere, in small letters without signs.
_SYNONYMS: Final[dict[str, tuple[str, ...]]] = {
    "transaction_id": ("id", "txid", "txnid", "transaction", "transid", "transnum"),
    "customer_id": ("customer", "cardid", "card", "ccnum", "cardnumber", "account", "accountid", "user", "userid"),
    "merchant_id": ("merchant", "terminal", "terminalid", "merchantname"),
    "merchant_category": ("category", "mcc", "merchantcategorycode"),
    "amount": ("amt", "txamount", "transactionamount", "value", "sum"),
    "timestamp": ("time", "datetime", "txdatetime", "date", "eventtime", "transdatetranstime"),
    "customer_latitude": ("customerlat", "lat"),
    "customer_longitude": ("customerlong", "customerlon", "customerlng", "long", "lon", "lng"),
    "merchant_latitude": ("merchantlat", "merchlat"),
    "merchant_longitude": ("merchantlong", "merchantlon", "merchantlng", "merchlong", "merchlon"),
}


def form_of(name: str) -> SourceForm:
    """Form of a file by the end of its name.

    Raises
    ------
    InvalidInput
        When it has none of those that are known.
    """
    form = _ENDS.get(Path(name).suffix.lower())
    if form is None:
        raise InvalidInput([FieldError("file", f"is called {name}; known are names that end in {', '.join(_ENDS)}")])
    return form


def head(content: bytes, form: SourceForm, rows: int = 20) -> pd.DataFrame:
    """The first rows, all as they stand in the file.

    Raises
    ------
    InvalidInput
        When the file is not of this form.
    """
    try:
        if form == "csv":
            # As text: 007 stays 007, and the service does the reading anyway.
            frame = pd.read_csv(io.BytesIO(content), nrows=rows, dtype=str, keep_default_na=False)
        elif form == "jsonl":
            lines = io.BytesIO(content)
            taken = [line for line in (lines.readline() for _ in range(rows)) if line.strip()]
            frame = pd.DataFrame([json.loads(line) for line in taken])
        else:
            batches = pq.ParquetFile(io.BytesIO(content)).iter_batches(rows)
            frame = next(batches).to_pandas()
    except (ValueError, OSError, StopIteration, pa.ArrowException, RecursionError, csv.Error) as error:
        text = str(error).splitlines()[0][:200] if str(error) else "it holds no rows"
        raise InvalidInput([FieldError("file", f"cannot be read as {form}: {text}")]) from error
    if frame.empty or not len(frame.columns):
        raise InvalidInput([FieldError("file", "holds no rows")])
    return frame


def guessed(columns: list[str]) -> dict[str, str]:
    """Field → column, for those that are called alike."""
    plain = {"".join(letter for letter in column.lower() if letter.isalnum()): column for column in reversed(columns)}
    found: dict[str, str] = {}
    for field in FIELDS:
        names = (field.replace("_", ""), *_SYNONYMS.get(field, ()))
        column = field if field in columns else next((plain[name] for name in names if name in plain), None)
        if column is not None and column not in found.values():
            found[field] = column
    return found


def renamed(content: bytes, form: SourceForm, mapping: Mapping[str, str]) -> bytes:
    """The file with its columns called by the fields; those of no field keep their names.

    Parameters
    ----------
    content, form
        The file.
    mapping
        Field → column; a column once.

    Raises
    ------
    InvalidInput
        When a required field has no column, or a column has two fields.
    """
    missing = [field for field in REQUIRED if field not in mapping]
    if missing:
        raise InvalidInput([FieldError(field, "needs a column of the file") for field in missing])
    twice = {column for column in mapping.values() if list(mapping.values()).count(column) > 1}
    if twice:
        raise InvalidInput([FieldError(column, "is chosen for two fields") for column in sorted(twice)])
    names = {column: field for field, column in mapping.items()}
    if all(column == field for column, field in names.items()):
        return content
    if form == "csv":
        return _renamed_csv(content, names)
    if form == "jsonl":
        return _renamed_lines(content, names)
    table = pq.read_table(io.BytesIO(content))
    buffer = io.BytesIO()
    pq.write_table(table.rename_columns(_new_names(table.column_names, names)), buffer)
    return buffer.getvalue()


def _new_names(columns: list[str], names: Mapping[str, str]) -> list[str]:
    taken = set(names.values())
    result = []
    for column in columns:
        new = names.get(column, column)
        # A column that has a field's name and is not chosen for it makes room.
        while column not in names and new in taken:
            new = f"other_{new}"
        taken.add(new)
        result.append(new)
    return result


def _renamed_csv(content: bytes, names: Mapping[str, str]) -> bytes:
    # Only the first record changes, which may hold line breaks within quotes; not a byte after it is touched.
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig", newline="")
    lines: list[str] = []

    def read() -> Any:
        while line := text.readline():
            lines.append(line)
            yield line

    header = next(csv.reader(read()))
    begin = b"\xef\xbb\xbf" if content.startswith(b"\xef\xbb\xbf") else b""
    rest = content[len(begin) + len("".join(lines).encode()) :]
    first = io.StringIO()
    csv.writer(first, lineterminator="\n").writerow(_new_names(header, names))
    return first.getvalue().encode() + rest


def _renamed_lines(content: bytes, names: Mapping[str, str]) -> bytes:
    result = io.BytesIO()
    for line in io.BytesIO(content):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            new = _new_names(list(row), names)
            named = dict(zip(new, row.values(), strict=True))
            result.write(json.dumps(named, ensure_ascii=False).encode() + b"\n")
        else:
            result.write(line)  # the service refuses it, with its number
    return result.getvalue()
