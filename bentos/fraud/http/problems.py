"""Errors as problem documents (RFC 9457), by the one table of ``bentos.core.errors``."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from bentos.core.answers import Problem, ProblemField
from bentos.core.errors import FraudError, InvalidInput, Overloaded, Unauthenticated, WireStatus, wire_status

__all__ = ["JSON", "PROBLEM_JSON", "HttpAnswer", "described", "error_answer", "refusal"]

JSON: Final = "application/json"
PROBLEM_JSON: Final = "application/problem+json"
#: How to say who one is (RFC 6750, section 3).
_CHALLENGE: Final = 'Bearer realm="fraud_detector"'
_LOGGER = logging.getLogger(__name__)
_UNEXPECTED: Final = "Something unexpected happened here. The request id names it in the server's log."


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A response.

    Parameters
    ----------
    status, media_type, headers
        Of its head.
    body
        The whole body, or what comes first of a longer one.
    rest
        What comes after ``body`` when it is too long to be held, part by part.
    """

    status: HTTPStatus
    body: bytes
    media_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    rest: AsyncIterator[bytes] | None = None


def error_answer(error: Exception, request_id: str) -> HttpAnswer:
    """The response to a request that failed.

    Only errors raised on purpose speak to the caller, unless they map to 500. The rest is told to the log alone.
    """
    wire, detail, fields = described(error)
    headers = {}
    if isinstance(error, Overloaded):
        headers["retry-after"] = str(error.retry_after_seconds)
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = _CHALLENGE
    if detail == _UNEXPECTED:
        _LOGGER.error("request %s failed", request_id, exc_info=error)
    return _problem(wire.http, wire.title, detail, request_id, fields, headers)


def described(error: Exception) -> tuple[WireStatus, str, tuple[ProblemField, ...] | None]:
    """What a caller is told about an error: its line of the table, a sentence, the wrong fields."""
    wire = wire_status(error)
    if not isinstance(error, FraudError) or wire.http is HTTPStatus.INTERNAL_SERVER_ERROR:
        return wire, _UNEXPECTED, None
    if isinstance(error, InvalidInput):
        fields = tuple(ProblemField(path=item.path, message=item.message) for item in error.errors)
        return wire, f"{len(fields)} field{'s are' if len(fields) > 1 else ' is'} wrong; errors names them.", fields
    return wire, str(error), None


def refusal(status: HTTPStatus, detail: str, request_id: str, headers: dict[str, str] | None = None) -> HttpAnswer:
    """The response to a request that HTTP itself forbids: a wrong method, address, media type or size."""
    return _problem(status, status.phrase, detail, request_id, None, headers or {})


def _problem(
    status: HTTPStatus,
    title: str,
    detail: str,
    request_id: str,
    errors: tuple[ProblemField, ...] | None,
    headers: dict[str, str],
) -> HttpAnswer:
    kind = "urn:fraud:problem:" + title.lower().replace(" ", "-")
    problem = Problem(type=kind, title=title, status=status.value, detail=detail, request_id=request_id, errors=errors)
    return HttpAnswer(status, problem.wire(), PROBLEM_JSON, headers)
