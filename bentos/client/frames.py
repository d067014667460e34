"""Tables of transactions: pandas in, pandas out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, Final

import numpy as np
import pandas as pd

from bentos.client.exchange import RowResult
from bentos.core.answers import Prediction
from bentos.core.errors import FieldError, InvalidInput
from bentos.core.transaction import LABEL_COLUMNS, Transaction

__all__ = ["RESULT_COLUMNS", "frame_rows", "with_results"]

#: Follow the frame's own columns.
RESULT_COLUMNS: Final = ("score", "decision", "reasons", "error", "model_version")

_OFFSET: Final = "utc_offset_seconds"
_DAY_SECONDS: Final = 86_400
_FIELDS: Final = tuple(Transaction.model_fields)
_REQUIRED: Final = tuple(name for name, field in Transaction.model_fields.items() if field.is_required())
#: Columns of the product's own tables that are no fields of a transaction.
_KNOWN: Final = {*_FIELDS, *LABEL_COLUMNS, _OFFSET}


def frame_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The fields of each row's transaction, without those that are missing (None, NaN, NaT, NA).

    ``utc_offset_seconds``, when there, says by which clock ``timestamp`` is meant. Labels are left out.

    Raises
    ------
    InvalidInput
        When a column is missing, unknown (a misspelt one would silently be lost) or there twice, or an offset is
        none.
    """
    _check_columns(frame)
    columns = {name: _values(frame[name]) for name in _FIELDS if name in frame.columns}
    if _OFFSET in frame.columns:
        columns["timestamp"] = _shifted(columns["timestamp"], frame[_OFFSET])
    names = tuple(columns)
    return [
        {name: value for name, value in zip(names, row, strict=True) if value is not None}
        for row in zip(*columns.values(), strict=True)
    ]


def with_results(frame: pd.DataFrame, results: Sequence[RowResult]) -> pd.DataFrame:
    """A copy of the frame with its index, ``transaction_id`` filled in, and :data:`RESULT_COLUMNS`.

    ``reasons`` holds lists of dicts with feature, value, contribution and text. A row has either an error or the rest.
    """
    predictions = [result if isinstance(result, Prediction) else None for result in results]
    given = _values(frame["transaction_id"]) if "transaction_id" in frame.columns else [None] * len(frame)
    ids = [one.transaction_id if one else old for one, old in zip(predictions, given, strict=True)]
    errors = [None if isinstance(result, Prediction) else str(result) for result in results]
    reasons = [None if one is None else _reasons(one) for one in predictions]
    index = frame.index
    return frame.assign(
        transaction_id=pd.Series(ids, index, dtype="str"),
        score=pd.Series([one.score if one else np.nan for one in predictions], index, dtype="float64"),
        decision=pd.Series([one.decision if one else None for one in predictions], index, dtype="str"),
        reasons=pd.Series(reasons, index, dtype="object"),
        error=pd.Series(errors, index, dtype="str"),
        model_version=pd.Series([one.model.version if one else None for one in predictions], index, dtype="str"),
    )


def _check_columns(frame: pd.DataFrame) -> None:
    names = [str(name) for name in frame.columns]
    errors = [FieldError(name, "this column is missing") for name in _REQUIRED if name not in names]
    errors += [
        FieldError(name, "this column is there twice") for name in sorted({n for n in names if names.count(n) > 1})
    ]
    errors += [
        FieldError(name, "is no field of a transaction; select the columns to send")
        for name in names
        if name not in _KNOWN
    ]
    if errors:
        raise InvalidInput(errors)


def _values(column: pd.Series[Any]) -> list[Any]:
    """Plain Python values, None for what is missing."""
    missing = column.isna().tolist()
    values = column.tolist()
    return [None if gone else _plain(value) for value, gone in zip(values, missing, strict=True)]


def _plain(value: Any) -> Any:
    return value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value


def _shifted(timestamps: list[Any], offsets: pd.Series[Any]) -> list[Any]:
    shifted = []
    for timestamp, offset in zip(timestamps, _values(offsets), strict=True):
        if not isinstance(offset, int) or abs(offset) >= _DAY_SECONDS:
            raise InvalidInput(
                [FieldError(_OFFSET, f"must be whole seconds, less than a day, in every row, got {offset}")]
            )
        aware = isinstance(timestamp, datetime) and timestamp.tzinfo is not None
        shifted.append(timestamp.astimezone(timezone(timedelta(seconds=offset))) if aware else timestamp)
    return shifted


def _reasons(prediction: Prediction) -> list[dict[str, Any]] | None:
    return None if prediction.reasons is None else [reason.model_dump() for reason in prediction.reasons]
