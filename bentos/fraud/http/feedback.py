"""The call that brings labels."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from pydantic_core import from_json

from bentos.core.errors import FieldError, FraudError, InvalidInput
from bentos.core.records import Label, LabelOutcome
from bentos.fraud.crowds import refuse_crowded
from bentos.fraud.http import record_documents as documents
from bentos.fraud.http.many import readable_id, row_problem
from bentos.fraud.http.problems import HttpAnswer
from bentos.fraud.http.requests import refuse_content
from bentos.fraud.http.retrying import coming_back
from bentos.fraud.http.routes import HttpRequest, Route
from bentos.fraud.options import no_options
from bentos.fraud.records.intake import check_count, read_label, take_labels

__all__ = ["ROUTES"]

#: What one label may take; names are up to 128 characters each.
_LABEL_BYTES: Final = 4096
#: Values of JSON that one label is made of, and some more.
_LABEL_VALUES: Final = 16
_NO_CACHE: Final = {"cache-control": "no-store"}


async def _feedback(request: HttpRequest) -> HttpAnswer:
    no_options(request.parameters)
    refused = refuse_content(request.headers, request.request_id, json_only=True)
    if refused is not None:
        return refused
    records = request.endpoints.application.records
    most = records.settings.feedback_rows
    body = await request.body(most * _LABEL_BYTES)
    if isinstance(body, HttpAnswer):
        return body
    document = _document(body, most)
    if not isinstance(document, list):
        (outcome,) = await take_labels(records, [read_label(document)], listed=False)
        if isinstance(outcome, FraudError):
            raise outcome
        return _answer([outcome], outcome.model_dump_json())
    check_count(len(document), most)
    outcomes = await take_labels(records, [_read(index, item) for index, item in enumerate(document)])
    parts = [
        (row_problem(outcome, readable_id(item)) if isinstance(outcome, FraudError) else outcome).model_dump_json()
        for item, outcome in zip(document, outcomes, strict=True)
    ]
    return _answer(outcomes, f'{{"results":[{",".join(parts)}]}}')


def _document(body: bytes, most: int) -> Any:
    refuse_crowded(body, most * _LABEL_VALUES)
    try:
        return from_json(body)
    except ValueError as error:
        raise InvalidInput([FieldError("body", f"is not JSON: {error}")]) from error


def _read(index: int, item: object) -> Label | InvalidInput:
    try:
        return read_label(item, f"labels.{index}.")
    except InvalidInput as error:
        return error


def _answer(outcomes: list[LabelOutcome | FraudError] | list[LabelOutcome], body: str) -> HttpAnswer:
    waits = any(isinstance(outcome, LabelOutcome) and outcome.pending for outcome in outcomes)
    return HttpAnswer(HTTPStatus.ACCEPTED if waits else HTTPStatus.OK, body.encode(), headers=_NO_CACHE)


ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "POST",
        "/feedback",
        "feedback",
        "feedback",
        coming_back(_feedback),
        "Take labels: what transactions turned out to be. What is answered is on disk.",
        documents.FEEDBACK,
    ),
)
