"""Calls that are worth repeating when something is down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeAlias

from bentos.core.errors import Unavailable
from bentos.fraud.http.problems import HttpAnswer, error_answer
from bentos.fraud.http.routes import HttpRequest

__all__ = ["coming_back"]

Answer: TypeAlias = Callable[[HttpRequest], Awaitable[HttpAnswer]]
_RETRY_SECONDS: Final = 5


def coming_back(answer: Answer) -> Answer:
    """Tell callers when to come back while the database is down: what they bring can wait, and must not be lost."""

    async def guarded(request: HttpRequest) -> HttpAnswer:
        try:
            return await answer(request)
        except Unavailable as error:
            refused = error_answer(error, request.request_id)
            return replace(refused, headers=refused.headers | {"retry-after": str(_RETRY_SECONDS)})

    return guarded
