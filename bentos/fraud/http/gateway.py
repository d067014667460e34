"""The ASGI application in front of BentoML's.

It answers the service's own calls itself. BentoML has them too (its clients and its OpenAPI document need that), but
refuses bad input with 400 in its own format, and makes a span and a JSON schema for each request, which takes half of
its time. What remains (its OpenAPI document, its own routes) is passed on, and its errors become problem documents.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.core.errors import InvalidInput
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.problems import HttpAnswer, error_answer, refusal
from bentos.fraud.http.requests import (
    Disconnected,
    header_map,
    query_parameters,
    read_body,
    refuse_content,
    request_id_of,
)

__all__ = ["Gateway"]

_CALLS: Final = {"/predict": "predict", "/explain": "explain"}
_PAGES: Final = {
    "/": "docs",
    "/docs": "docs",
    "/health": "health",
    "/livez": "alive",
    "/readyz": "alive",
    "/model": "model",
    "/metrics": "metrics",
}
_LOGGER = logging.getLogger(__name__)


class Gateway:
    """Answers the service's calls, passes the rest on.

    Parameters
    ----------
    framework
        BentoML's application.
    endpoints
        Gives the worker's calls; asked per request, because they come to be after this object.
    """

    def __init__(self, framework: ASGIApp, endpoints: Callable[[], Endpoints]) -> None:
        self._framework = framework
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI."""
        if scope["type"] != "http":
            await self._framework(scope, receive, send)
            return
        headers = header_map(scope)
        request_id = request_id_of(headers)
        try:
            answer = await self._answer(scope, receive, headers, request_id)
        except Disconnected:
            return
        if answer is None:
            status = await self._pass_on(scope, receive, send, request_id)
            self._endpoints().count("other", status)
        else:
            await _respond(send, answer, request_id)

    async def _answer(
        self, scope: Scope, receive: Receive, headers: dict[str, str], request_id: str
    ) -> HttpAnswer | None:
        endpoints = self._endpoints()
        path: str = scope["path"]
        call = _CALLS.get(path)
        page = _PAGES.get(path)
        refused = refuse_content(headers, request_id, json_only=False)
        if refused is None and (call or page):
            refused = _wrong_method(scope["method"], ("POST",) if call else ("GET", "HEAD"), request_id)
        if refused is None and call:
            refused = refuse_content(headers, request_id, json_only=True)
        if refused is not None:
            return endpoints.counted(call or page or "other", refused)
        if call:
            return await self._call(endpoints, call, scope, receive, headers, request_id)
        if page == "metrics":
            # Merging the workers' files is the one page that takes longer than a request may wait.
            return await run_sync(endpoints.metrics, request_id)
        if page:
            result: HttpAnswer = getattr(endpoints, page)(request_id)
            return result
        return None

    async def _call(
        self,
        endpoints: Endpoints,
        call: str,
        scope: Scope,
        receive: Receive,
        headers: dict[str, str],
        request_id: str,
    ) -> HttpAnswer:
        body = await read_body(receive, headers, request_id, endpoints.application.settings.body_limit_bytes)
        if isinstance(body, HttpAnswer):
            return endpoints.counted(call, body)
        try:
            parameters = query_parameters(scope)
        except InvalidInput as error:
            return endpoints.counted(call, error_answer(error, request_id))
        result: HttpAnswer = getattr(endpoints, call)(body, parameters, request_id)
        return result

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
        corrected = _CorrectedSend(send, request_id)
        try:
            await self._framework(scope, receive, corrected)
        except Exception as error:
            if corrected.status:
                raise
            answer = error_answer(error, request_id)
            await _respond(send, answer, request_id)
            return answer.status.value
        return corrected.status


class _CorrectedSend:
    """Adds the request id to the framework's responses and turns its errors into problem documents."""

    def __init__(self, send: Send, request_id: str) -> None:
        #: 0 until the response has begun.
        self.status = 0
        self._send = send
        self._request_id = request_id
        self._replaced = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status >= HTTPStatus.BAD_REQUEST:
                self._replaced = True
                answer = _framework_error(HTTPStatus(self.status), self._request_id)
                await _respond(self._send, answer, self._request_id)
                return
            headers = [*message.get("headers", []), (b"x-request-id", self._request_id.encode())]
            message = {**message, "headers": headers}
        if not self._replaced:
            await self._send(message)


def _framework_error(status: HTTPStatus, request_id: str) -> HttpAnswer:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOGGER.error("request %s failed in the framework with %d", request_id, status)
    detail = {
        HTTPStatus.NOT_FOUND: "There is nothing at this address; /docs names what there is.",
        HTTPStatus.METHOD_NOT_ALLOWED: "This address does not know this method; /docs names what it knows.",
    }.get(status, "The request cannot be answered; /docs describes what can.")
    return refusal(status, detail, request_id)


def _wrong_method(method: str, allowed: tuple[str, ...], request_id: str) -> HttpAnswer | None:
    if method in allowed:
        return None
    names = ", ".join(allowed)
    detail = f"This address is for {names}, not {method[:16]}."
    return refusal(HTTPStatus.METHOD_NOT_ALLOWED, detail, request_id, {"allow": names})


async def _respond(send: Send, answer: HttpAnswer, request_id: str) -> None:
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", answer.media_type.encode()),
        (b"content-length", str(len(answer.body)).encode()),
        (b"x-request-id", request_id.encode()),
        *((name.encode(), value.encode()) for name, value in answer.headers.items()),
    ]
    start: dict[str, Any] = {"type": "http.response.start", "status": answer.status.value, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})
