"""The call that brings labels, as steps; see :mod:`bentos.client.calls`.

Parameters are those of :class:`bentos.client.FraudClient`, where they are described.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from pydantic import ValidationError

from bentos.client.conversation import converse
from bentos.client.exchange import Exchange, LabelResult, Steps, Wire
from bentos.client.headers import call_headers
from bentos.client.options import ClientOptions, check_timeout
from bentos.client.retries import RetryBudget
from bentos.core.errors import FieldError, InvalidInput
from bentos.core.records import Label
from bentos.core.transaction import field_errors

__all__ = ["LabelCalls", "LabelRow"]

#: A label, or its fields.
LabelRow = Label | Mapping[str, Any]

#: Labels that a server takes in one call, unless it is set otherwise.
MAXIMUM_LABELS: Final = 1000
_PREFIX: Final = re.compile(r"labels\.\d+\.")


class LabelCalls:
    """The call of one client that brings labels. Shared by threads and tasks.

    Parameters
    ----------
    wire, options, budget
        Of the client.
    """

    def __init__(self, wire: Wire, options: ClientOptions, budget: RetryBudget) -> None:
        self._wire = wire
        self._options = options
        self._budget = budget

    def feedback(
        self, labels: Iterable[LabelRow], timeout_seconds: float | None, headers: Mapping[str, str] | None
    ) -> Steps[list[LabelResult]]:
        """Bring labels, in as many calls as they take. One that cannot be read is not sent."""
        seconds = self._options.many_timeout_seconds if timeout_seconds is None else timeout_seconds
        check_timeout(seconds, "timeout_seconds")
        results: list[LabelResult] = []
        iterator = iter(labels)
        while part := [_read(label) for label in islice(iterator, MAXIMUM_LABELS)]:
            good = [label for label in part if isinstance(label, Label)]
            answers: Sequence[LabelResult] = ()
            if good:
                exchange = _counted(self._wire.feedback(good), len(good))
                answers = yield from converse(exchange, call_headers(headers), seconds, self._options, self._budget)
            remaining = iter(answers)
            results += [_unnumbered(next(remaining)) if isinstance(label, Label) else label for label in part]
        return results


def _read(label: object) -> Label | InvalidInput:
    if isinstance(label, Label):
        return label
    try:
        return Label.model_validate(dict(label) if isinstance(label, Mapping) else label)
    except ValidationError as error:
        if isinstance(label, Mapping):
            return InvalidInput(field_errors(error))
        return InvalidInput([FieldError("label", "must be a Label or a mapping")])


def _counted(exchange: Exchange[list[LabelResult]], labels: int) -> Exchange[list[LabelResult]]:
    def read(body: bytes) -> list[LabelResult]:
        results = exchange.read(body)
        if len(results) != labels:
            raise ValueError(f"{len(results)} results for {labels} labels")
        return results

    return replace(exchange, read=read)


def _unnumbered(result: LabelResult) -> LabelResult:
    # The number is the label's place among those sent, not among the caller's.
    if not isinstance(result, InvalidInput):
        return result
    return InvalidInput([FieldError(_PREFIX.sub("", item.path), item.message) for item in result.errors])
