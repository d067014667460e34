"""Every call of the client as steps, which the blocking and the asynchronous client drive alike.

Parameters are those of :class:`bentos.client.FraudClient`, where they are described.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args
from uuid import uuid4

from pydantic import ValidationError

from bentos.client.conversation import converse
from bentos.client.exchange import Exchange, Explain, RowResult, Steps, Wire
from bentos.client.headers import call_headers
from bentos.client.jobs import JobCalls
from bentos.client.labels import LabelCalls
from bentos.client.options import ClientOptions, check_timeout
from bentos.client.retries import RetryBudget
from bentos.core.answers import Explanation, Health, Prediction
from bentos.core.buckets import BUCKET_HEADER, bucket
from bentos.core.errors import FieldError, InvalidInput
from bentos.core.transaction import Transaction, field_errors

if TYPE_CHECKING:
    import pandas as pd

    from bentos.core.artifact import ModelCard

__all__ = ["Calls", "Row"]

AnswerT = TypeVar("AnswerT")

#: A transaction, or its fields.
Row = Transaction | Mapping[str, Any]

#: Rows that a server takes in one call.
MAXIMUM_ROWS: Final = 10_000
_ROW_PREFIX: Final = re.compile(r"transactions\.\d+\.")


class Calls:
    """The calls of one client. Shared by threads and tasks.

    Parameters
    ----------
    wire
        Puts calls into a transport's form.
    options
        Of the client.
    """

    def __init__(self, wire: Wire, options: ClientOptions) -> None:
        self._wire = wire
        self._options = options
        self._budget = RetryBudget(options.retry_ratio)
        #: Calls about batch jobs.
        self.jobs = JobCalls(wire, options, self._budget)
        #: The call that brings labels.
        self.labels = LabelCalls(wire, options, self._budget)

    def predict(
        self,
        transaction: Row,
        explain: Explain,
        record: bool,
        timeout_seconds: float | None,
        headers: Mapping[str, str] | None,
    ) -> Steps[Prediction]:
        """Score one transaction, under an id that makes trying again harmless."""
        _check_explain(explain)
        row = _with_id(_transaction(transaction))
        exchange = self._wire.predict(row, explain, record)
        return (yield from self._single(exchange, row, timeout_seconds, headers))

    def explain(
        self, transaction: Row, timeout_seconds: float | None, headers: Mapping[str, str] | None
    ) -> Steps[Explanation]:
        """Take one score apart."""
        row = _transaction(transaction)
        return (yield from self._single(self._wire.explain(row), row, timeout_seconds, headers))

    def predict_many(
        self,
        rows: Iterable[Row],
        explain: Explain,
        record: bool,
        timeout_seconds: float | None,
        headers: Mapping[str, str] | None,
    ) -> Steps[list[RowResult]]:
        """Score rows, in as many calls as they take. A row that cannot be read is not sent."""
        _check_explain(explain)
        seconds = self._options.many_timeout_seconds if timeout_seconds is None else timeout_seconds
        results: list[RowResult] = []
        iterator = iter(rows)
        while part := [_read(row) for row in islice(iterator, MAXIMUM_ROWS)]:
            good = [_with_id(row) for row in part if isinstance(row, Transaction)]
            answers: Sequence[RowResult] = ()
            if good:
                exchange = _counted(self._wire.predict_many(good, explain, record), len(good))
                answers = yield from self._converse(exchange, call_headers(headers), seconds)
            results += _in_order(part, answers)
        return results

    def predict_frame(
        self,
        frame: pd.DataFrame,
        explain: Explain,
        record: bool,
        timeout_seconds: float | None,
        headers: Mapping[str, str] | None,
    ) -> Steps[pd.DataFrame]:
        """Score a table."""
        from bentos.client.frames import frame_rows, with_results

        results = yield from self.predict_many(frame_rows(frame), explain, record, timeout_seconds, headers)
        return with_results(frame, results)

    def health(self, timeout_seconds: float | None) -> Steps[Health]:
        """State of the service."""
        return (yield from self._converse(self._wire.health(), call_headers(None), self._seconds(timeout_seconds)))

    def model(self, timeout_seconds: float | None) -> Steps[ModelCard]:
        """The model card."""
        return (yield from self._converse(self._wire.model(), call_headers(None), self._seconds(timeout_seconds)))

    def _single(
        self,
        exchange: Exchange[AnswerT],
        row: Transaction,
        timeout_seconds: float | None,
        headers: Mapping[str, str] | None,
    ) -> Steps[AnswerT]:
        sent = {**call_headers(headers), BUCKET_HEADER: bucket(row.customer_id)}
        return (yield from self._converse(exchange, sent, self._seconds(timeout_seconds)))

    def _converse(
        self, exchange: Exchange[AnswerT], headers: Mapping[str, str], timeout_seconds: float
    ) -> Steps[AnswerT]:
        check_timeout(timeout_seconds, "timeout_seconds")
        return converse(exchange, headers, timeout_seconds, self._options, self._budget)

    def _seconds(self, timeout_seconds: float | None) -> float:
        return self._options.timeout_seconds if timeout_seconds is None else timeout_seconds


def _transaction(row: Row) -> Transaction:
    # Read here, a mistake costs no round trip and looks the same over both transports.
    if isinstance(row, Transaction):
        return row
    try:
        return Transaction.model_validate(dict(row) if isinstance(row, Mapping) else row)
    except ValidationError as error:
        raise InvalidInput(field_errors(error)) from error


def _read(row: Row) -> Transaction | InvalidInput:
    try:
        return _transaction(row)
    except InvalidInput as error:
        return error


def _with_id(row: Transaction) -> Transaction:
    # The id makes an attempt after a lost answer count once.
    return row if row.transaction_id is not None else row.model_copy(update={"transaction_id": uuid4().hex})


def _check_explain(explain: str) -> None:
    if explain not in get_args(Explain):
        raise InvalidInput([FieldError("explain", f"must be one of {', '.join(get_args(Explain))}, got {explain!r}")])


def _counted(exchange: Exchange[list[RowResult]], rows: int) -> Exchange[list[RowResult]]:
    def read(body: bytes) -> list[RowResult]:
        results = exchange.read(body)
        if len(results) != rows:
            raise ValueError(f"{len(results)} results for {rows} transactions")
        return results

    return replace(exchange, read=read)


def _in_order(part: Sequence[Transaction | InvalidInput], answers: Sequence[RowResult]) -> list[RowResult]:
    iterator = iter(answers)
    return [row if isinstance(row, InvalidInput) else _unnumbered(next(iterator)) for row in part]


def _unnumbered(result: RowResult) -> RowResult:
    # The number is the row's place among those sent, not among the caller's.
    if not isinstance(result, InvalidInput):
        return result
    return InvalidInput([FieldError(_ROW_PREFIX.sub("", item.path), item.message) for item in result.errors])
