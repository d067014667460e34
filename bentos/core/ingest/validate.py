"""Which rows of a canonical table are wrong, and why, by the rules of :class:`bentos.core.transaction.Transaction`.

Ranges and lengths are read from its schema, text that is not plainly right is judged by the model itself, so that a
table takes exactly what the service takes.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter, ValidationError

from bentos.core.ingest.findings import Findings
from bentos.core.transaction import EARLIEST, LATEST, Identifier, Transaction

__all__ = ["duplicate_ids", "validate"]

_TEXTS: Final = ("transaction_id", "customer_id", "merchant_id", "merchant_category")
_SIDES: Final = ("customer", "merchant")
_LONGEST_OFFSET_SECONDS: Final = 86_399  # RFC 3339 writes an offset as hh:mm, less than a day


@cache
def _rules(field: str) -> dict[str, Any]:
    """JSON schema of a field of the transaction: minimum, maximum, minLength, maxLength."""
    schema: dict[str, Any] = Transaction.model_json_schema()["properties"][field]
    return next((item for item in schema["anyOf"] if item["type"] != "null"), schema) if "anyOf" in schema else schema


@cache
def _identifier() -> TypeAdapter[str]:
    return TypeAdapter(Identifier)


def _text_reason(value: str, longest: int) -> str | None:
    if value == "":
        return "is empty"
    if len(value) > longest:
        return f"is longer than {longest} characters"
    try:
        _identifier().validate_python(value)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    return None


def _check_text(found: Findings, table: pd.DataFrame, column: str) -> None:
    values = table[column]
    longest = _rules(column)["maxLength"]
    # Most tables are plain ASCII throughout, which one look at all of it tells; the model need not be asked.
    cells = pa.chunked_array(pa.array(values))
    sizes = pc.min_max(pc.binary_length(cells)).as_py()
    plain = cells.null_count == 0 and pc.all(pc.ascii_is_printable(cells)).as_py()
    if len(values) == 0 or (plain and sizes["min"] > 0 and sizes["max"] <= longest):
        return
    codes, unique = pd.factorize(values)
    reasons: dict[str, list[int]] = {}
    for position, text in enumerate(unique.tolist()):
        reason = _text_reason(text, longest)
        if reason:
            reasons.setdefault(reason, []).append(position)
    found.add(codes < 0, column, values, "is empty")
    for reason, positions in reasons.items():
        found.add(np.isin(codes, positions), column, values, reason)


def _check_range(found: Findings, table: pd.DataFrame, column: str) -> None:
    values, rules = table[column].to_numpy(np.float64), _rules(column)
    low, high = rules["minimum"], rules["maximum"]
    wrong = (values < low) | (values > high)
    found.add(np.isinf(values), column, table[column], "is infinite")
    found.add(wrong & ~np.isinf(values), column, table[column], f"must lie from {low:,.10g} to {high:,.10g}")


def _check_time(found: Findings, table: pd.DataFrame) -> None:
    times = table["timestamp"]
    found.add(times.isna().to_numpy(), "timestamp", times, "is empty or no time")
    outside = ((times < EARLIEST) | (times >= LATEST)).to_numpy()
    found.add(outside, "timestamp", times, f"must lie from {EARLIEST.date()} to before {LATEST.date()}")
    offset = table["utc_offset_seconds"]
    found.add(
        (offset.abs() > _LONGEST_OFFSET_SECONDS).to_numpy(), "utc_offset_seconds", offset, "must be less than a day"
    )


def validate(table: pd.DataFrame) -> Findings:
    """Find the wrong cells of a canonical table.

    Parameters
    ----------
    table
        n rows with the columns and dtypes of ``TRANSACTION_COLUMNS``; label columns are checked when they are there.
        Texts may be missing and numbers NaN, which is then found.

    Returns
    -------
    The wrong rows by position, with column, value and reason. It is empty exactly when ``Transaction`` accepts every
    row (a missing coordinate is NaN here and None there).
    """
    found = Findings()
    for column in _TEXTS:
        _check_text(found, table, column)
    found.add(table["amount"].isna().to_numpy(), "amount", table["amount"], "is empty or no number")
    _check_range(found, table, "amount")
    _check_time(found, table)
    for side in _SIDES:
        latitude, longitude = f"{side}_latitude", f"{side}_longitude"
        for column, other in ((latitude, longitude), (longitude, latitude)):
            _check_range(found, table, column)
            half = (table[column].isna() & table[other].notna()).to_numpy()
            found.add(
                half, column, table[column], f"is empty though {other} is given; they come together or not at all"
            )
    if "label_timestamp" in table:
        early = (table["label_timestamp"] < table["timestamp"]).to_numpy()
        found.add(early, "label_timestamp", table["label_timestamp"], "arrives before the transaction")
    return found


def duplicate_ids(ids: pd.Series[Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Positions of ids that occurred before, and for each the position of its first occurrence."""
    again = np.flatnonzero(ids.duplicated().to_numpy())
    if len(again) == 0:
        return again, again
    repeated = np.flatnonzero(ids.isin(ids.iloc[again]).to_numpy())
    first = pd.Series(repeated, index=ids.iloc[repeated].to_numpy(object))
    first = first[~first.index.duplicated()]
    return again, first.loc[ids.iloc[again].to_numpy(object)].to_numpy()
