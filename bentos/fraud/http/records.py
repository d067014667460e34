"""Calls about what is kept: predictions, a customer's history, claims of analysts."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, get_args

from anyio.to_thread import run_sync
from pydantic import BaseModel, TypeAdapter, ValidationError

from bentos.core.answers import Decision
from bentos.core.errors import FieldError, InvalidInput, NotFound
from bentos.core.records import ClaimRequest, History, LabelState
from bentos.core.transaction import Identifier, field_errors, in_range, microseconds, textual
from bentos.fraud.http import record_documents as documents
from bentos.fraud.http.problems import HttpAnswer
from bentos.fraud.http.requests import refuse_content
from bentos.fraud.http.retrying import coming_back
from bentos.fraud.http.routes import HttpRequest, Route
from bentos.fraud.options import no_options, read_options
from bentos.fraud.records.filters import Filters, Place, read_cursor
from bentos.fraud.records.reviews import claim

__all__ = ["ROUTES"]

_LONGEST_CLAIM: Final = 4096
_NO_CACHE: Final = {"cache-control": "no-store"}
_IDENTIFIER: Final = TypeAdapter(Identifier)


async def _predictions(request: HttpRequest) -> HttpAnswer:
    options = read_options(request.parameters, _READERS)
    filters = Filters(**{name: options[name] for name in Filters.__dataclass_fields__ if name in options})
    limit, after, features = _page(options)
    queries = request.endpoints.application.records.queries
    return _json(await run_sync(lambda: queries.predictions(filters, limit, after, features=features)))


async def _history(request: HttpRequest) -> HttpAnswer:
    options = read_options(request.parameters, _PAGE_READERS)
    customer = _named(request.arguments["id"], "id")
    limit, after, features = _page(options)
    queries = request.endpoints.application.records.queries
    filters = Filters(customer_id=customer)
    found = await run_sync(lambda: queries.predictions(filters, limit, after, features=features))
    return _json(History(customer_id=customer, events=found.predictions, next=found.next))


async def _claim(request: HttpRequest) -> HttpAnswer:
    no_options(request.parameters)
    refused = refuse_content(request.headers, request.request_id, json_only=True)
    if refused is not None:
        return refused
    body = await request.body(_LONGEST_CLAIM)
    if isinstance(body, HttpAnswer):
        return body
    try:
        wanted = ClaimRequest.model_validate_json(body)
    except ValidationError as error:
        raise InvalidInput(field_errors(error)) from error
    try:
        transaction_id = _identifier(request.arguments["transaction_id"])
    except ValueError as error:
        raise NotFound("no transaction has such an id") from error
    database = request.endpoints.application.database
    return _json(await run_sync(lambda: claim(database, transaction_id, wanted.analyst)))


def _page(options: dict[str, Any]) -> tuple[int, Place | None, bool]:
    return options.get("limit", documents.DEFAULT_LIMIT), options.get("cursor"), options.get("features", False)


def _named(text: str, path: str) -> str:
    try:
        return _identifier(text)
    except ValueError as error:
        raise InvalidInput([FieldError(path, str(error))]) from error


def _identifier(text: str) -> str:
    try:
        return _IDENTIFIER.validate_python(text)
    except ValidationError as error:
        raise ValueError("must be 1 to 128 printable characters") from error


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return read


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= documents.MAXIMUM_LIMIT):
        raise ValueError(f"must be 1 to {documents.MAXIMUM_LIMIT}")
    return int(text)


def _score(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise ValueError("must be a number from 0 to 1")
    return value


def _instant(text: str) -> int:
    textual(text)
    # A plus sign that was not encoded arrives as a space.
    value = datetime.fromisoformat(text.replace(" ", "+"))
    if value.tzinfo is None:
        raise ValueError("expected RFC 3339 text with an offset, such as 2026-01-31T12:00:00+01:00")
    return microseconds(in_range(value))


def _cursor(text: str) -> Place:
    try:
        return read_cursor(text)
    except InvalidInput as error:
        raise ValueError(error.errors[0].message) from error


def _flag(text: str) -> bool:
    return _one_of("true", "false")(text) == "true"


def _json(answer: BaseModel) -> HttpAnswer:
    return HttpAnswer(HTTPStatus.OK, answer.model_dump_json().encode(), headers=_NO_CACHE)


_PAGE_READERS: Final[dict[str, Callable[[str], object]]] = {"limit": _limit, "cursor": _cursor, "features": _flag}
_READERS: Final[dict[str, Callable[[str], object]]] = {
    "transaction_id": _identifier,
    "customer_id": _identifier,
    "merchant_id": _identifier,
    "decision": _one_of(*get_args(Decision), "flagged"),
    "label": _one_of(*get_args(LabelState)),
    "model_version": _identifier,
    "since": _instant,
    "until": _instant,
    "score_from": _score,
    "score_to": _score,
    **_PAGE_READERS,
}

ROUTES: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/predictions",
        "predictions",
        "feedback",
        coming_back(_predictions),
        "Kept predictions with their labels, the newest first.",
        documents.PREDICTIONS,
    ),
    Route(
        "GET",
        "/customers/{id}/history",
        "customer_history",
        "feedback",
        coming_back(_history),
        "A customer's transactions that were predicted, the newest first.",
        documents.HISTORY,
    ),
    Route(
        "POST",
        "/review/{transaction_id}/claim",
        "claim",
        "feedback",
        coming_back(_claim),
        "Take a transaction for an analyst, for five minutes; again to keep it.",
        documents.CLAIM,
    ),
)
