"""Addresses beyond the fast ones of scoring: each a line of a table beside what answers it.

A module of ``bentos.fraud.http`` with such calls offers ``ROUTES`` and is named in ``endpoints.ROUTES``; gateway,
access control, metrics and the OpenAPI document read them from there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import unquote

from starlette.types import Receive

from bentos.fraud.access.roles import Role
from bentos.fraud.http.problems import HttpAnswer
from bentos.fraud.http.requests import Disconnected, read_body

if TYPE_CHECKING:
    from bentos.fraud.http.endpoints import Endpoints

__all__ = ["HttpRequest", "Method", "Role", "Route", "Router"]

Method = Literal["GET", "POST"]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to a route.

    Parameters
    ----------
    arguments
        What the path holds in its places, percent-decoded.
    parameters
        Of the query, in order.
    headers
        By lower-case names.
    request_id
        Names it in logs.
    deadline
        When the caller stops waiting, ``time.monotonic()`` seconds; None when it does not say.
    endpoints
        Of the worker.
    receive
        ASGI's.
    """

    arguments: Mapping[str, str]
    parameters: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    request_id: str
    deadline: float | None
    endpoints: Endpoints
    receive: Receive

    async def body(self, limit_bytes: int) -> bytes | HttpAnswer:
        """The whole body, or the refusal of one that is too long; see :func:`.requests.read_body`."""
        return await read_body(self.receive, self.headers, self.request_id, limit_bytes, self.endpoints.room)

    async def parts(self) -> AsyncIterator[bytes]:
        """The body part by part, as it comes; whoever takes it limits it.

        Raises
        ------
        Disconnected
            When the client left in the middle.
        """
        more = True
        while more:
            message: Any = await self.receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            more = message.get("more_body", False)
            yield message.get("body", b"")


@dataclass(frozen=True, slots=True)
class Route:
    """One address.

    Parameters
    ----------
    method, path
        A segment in braces, such as ``/job_status/{job_id}``, stands for any one segment.
    name
        Value of the label ``method`` in metrics.
    role
        What a key must be allowed to do.
    answer
        Raises the errors of ``bentos.core.errors``.
    summary
        One line for the OpenAPI document.
    openapi
        The rest of its operation there: parameters, requestBody, responses. Errors are added.
    status
        Of an answer that went well.
    """

    method: Method
    path: str
    name: str
    role: Role
    answer: Callable[[HttpRequest], Awaitable[HttpAnswer]]
    summary: str
    openapi: Mapping[str, Any] = field(default_factory=dict)
    status: HTTPStatus = HTTPStatus.OK


class Router:
    """Finds the routes of a path.

    Parameters
    ----------
    routes
        All of them; paths that could mean the same are a mistake.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes: Final[dict[str, list[tuple[list[str], Route]]]] = {}
        for route in routes:
            segments = route.path.strip("/").split("/")
            self._routes.setdefault(segments[0], []).append((segments, route))

    def find(self, path: str) -> list[tuple[Route, dict[str, str]]]:
        """Routes of a raw path, one for each method it has, with what is in their places.

        Parameters
        ----------
        path
            As it was sent, percent-encoded: an encoded slash is part of a segment.
        """
        segments = path.strip("/").split("/")
        found = []
        for pattern, route in self._routes.get(segments[0], ()):
            arguments = _matched(pattern, segments)
            if arguments is not None:
                found.append((route, arguments))
        return found


def _matched(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    arguments = {}
    for expected, segment in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            arguments[expected[1:-1]] = unquote(segment, errors="replace")
        elif expected != segment:
            return None
    return arguments
