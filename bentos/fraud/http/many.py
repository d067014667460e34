"""Bodies with many transactions, read and written in steps that leave the event loop to others in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from bentos.core.answers import Prediction, RowProblem
from bentos.core.errors import FieldError, FraudError, InvalidInput
from bentos.core.transaction import Transaction, field_errors
from bentos.fraud.crowds import refuse_crowded
from bentos.fraud.http.problems import described
from bentos.fraud.predictor import MAXIMUM_ROWS

__all__ = ["ManyRow", "read_transactions", "readable_id", "row_problem", "write_results"]

_FIELD: Final = "transactions"
#: Rows between two looks at the loop, about a millisecond.
_STEP: Final = 250
#: Three times what the largest call has when it uses every field.
_MOST_VALUES: Final = 3 * MAXIMUM_ROWS * (len(Transaction.model_fields) + 1)


@dataclass(frozen=True, slots=True)
class ManyRow:
    """One row of a call: its transaction or why it cannot be read, and its id if it has one."""

    content: Transaction | InvalidInput
    transaction_id: str | None


async def read_transactions(body: bytes) -> list[ManyRow]:
    """Read ``{"transactions": [...]}``.

    Raises
    ------
    InvalidInput
        When the body is not that, or holds more than ``MAXIMUM_ROWS``. What is wrong with a row stands in the row.
    """
    items = _items(body)
    rows: list[ManyRow] = []
    for start in range(0, len(items), _STEP):
        rows += [_row(start + index, item) for index, item in enumerate(items[start : start + _STEP])]
        await asyncio.sleep(0)
    return rows


def _items(body: bytes) -> list[Any]:
    refuse_crowded(body, _MOST_VALUES)
    try:
        document = from_json(body)
    except ValueError as error:
        raise InvalidInput([FieldError("body", f"is not JSON: {error}")]) from error
    if not isinstance(document, dict) or document.keys() != {_FIELD} or not isinstance(document[_FIELD], list):
        raise InvalidInput([FieldError("body", f'must be an object {{"{_FIELD}": [...]}} and nothing else')])
    items: list[Any] = document[_FIELD]
    if not 1 <= len(items) <= MAXIMUM_ROWS:
        raise InvalidInput([FieldError(_FIELD, f"must be 1 to {MAXIMUM_ROWS} rows, got {len(items)}")])
    return items


def _row(index: int, item: object) -> ManyRow:
    try:
        transaction = Transaction.model_validate(item)
    except ValidationError as error:
        return ManyRow(InvalidInput(field_errors(error, f"{_FIELD}.{index}.")), readable_id(item))
    return ManyRow(transaction, transaction.transaction_id)


def readable_id(item: object) -> str | None:
    """The transaction_id of a row that may be wrong, if it has one that can be repeated to the caller."""
    given = item.get("transaction_id") if isinstance(item, dict) else None
    return given if isinstance(given, str) and len(given) <= 128 and given.isprintable() else None


async def write_results(rows: Sequence[ManyRow], results: Sequence[Prediction | FraudError]) -> bytes:
    """The answer: a prediction or a problem for each row."""
    parts: list[str] = []
    for start in range(0, len(rows), _STEP):
        step = slice(start, start + _STEP)
        parts += _written(rows[step], results[step])
        await asyncio.sleep(0)
    return f'{{"results":[{",".join(parts)}]}}'.encode()


def _written(rows: Sequence[ManyRow], results: Sequence[Prediction | FraudError]) -> Iterator[str]:
    for row, result in zip(rows, results, strict=True):
        if isinstance(result, FraudError):
            yield row_problem(result, row.transaction_id).model_dump_json()
        else:
            yield result.model_dump_json()


def row_problem(error: FraudError, transaction_id: str | None) -> RowProblem:
    """What is wrong with one row of several."""
    wire, detail, fields = described(error)
    return RowProblem(
        status=wire.http.value, title=wire.title, detail=detail, transaction_id=transaction_id, errors=fields
    )
