"""Cells of a source as names and as numbers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bentos.core.errors import DataError
from bentos.core.ingest.findings import Findings

__all__ = ["identifiers", "numbers"]

_NUMBER: Final = r"^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$"
_EXACT_INTEGERS: Final = 2.0**53


def identifiers(column: pa.ChunkedArray, name: str, target: str, found: Findings) -> pd.Series[Any]:
    """Cells as names, str [n], empty where they are missing. Whole numbers become their digits.

    Raises
    ------
    DataError
        The column holds neither text nor numbers.
    """
    kind = column.type
    if pa.types.is_floating(kind):
        # Whole numbers with gaps are often stored so.
        values = column.cast(pa.float64()).to_numpy()
        wrong = ~np.isnan(values) & ((np.floor(values) != values) | (np.abs(values) >= _EXACT_INTEGERS))
        found.add(wrong, target, column, "is no whole number; names are text or whole numbers")
        whole = np.where(wrong | np.isnan(values), 0, values).astype(np.int64)
        column = pa.chunked_array([pa.array(whole, mask=np.isnan(values))])
    elif not (pa.types.is_string(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"column {name} holds {kind}; {target} needs text or whole numbers")
    text: pd.Series[Any] = column.cast(pa.string()).fill_null("").to_pandas()
    return text.astype("str")


def numbers(column: pa.ChunkedArray, decimal: str, name: str, target: str, found: Findings) -> NDArray[np.float64]:
    """Cells as float64 [n], NaN where they are empty; text is read exactly to the nearest float.

    Raises
    ------
    DataError
        The column holds neither text nor numbers.
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return np.array(column.cast(pa.float64(), safe=False).to_numpy(), dtype=np.float64)
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not pa.types.is_string(kind):
        raise DataError(f"column {name} holds {kind}; {target} needs numbers")
    plain = column if decimal == "." else pc.replace_substring(column, ",", ".")
    right = pc.fill_null(pc.match_substring_regex(plain, _NUMBER), False)
    empty = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(plain), ""), True)
    wrong = pc.invert(pc.or_(right, empty)).to_numpy().astype(bool)
    found.add(wrong, target, column, f"is no finite number (decimal mark {decimal!r})")
    digits = pc.utf8_ltrim(pc.utf8_trim_whitespace(pc.if_else(right, plain, None)), "+")
    try:
        return np.array(digits.cast(pa.float64()).to_numpy(), dtype=np.float64)
    except pa.ArrowInvalid:
        # A number beyond the range of floats: Python makes it infinite, which the rules then refuse.
        return np.array([np.nan if text is None else float(text) for text in digits.to_pylist()], dtype=np.float64)
