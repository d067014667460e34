"""The ASGI application in front of BentoML's.

It answers the service's own calls itself. BentoML has them too (its clients and its OpenAPI document need that), but
refuses bad input with 400 in its own format, and makes a span and a JSON schema for each request, which takes half of
its time. What remains (its OpenAPI document, its own routes) is passed on, and its errors become problem documents.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from anyio.to_thread import run_sync
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bentos.fraud.http import inference
from bentos.fraud.http.admission import admit
from bentos.fraud.http.endpoints import CALLS, Endpoints
from bentos.fraud.http.inference import InferenceCall, find_call
from bentos.fraud.http.problems import HttpAnswer, error_answer, refusal
from bentos.fraud.http.requests import (
    Disconnected,
    deadline_of,
    header_map,
    query_parameters,
    read_body,
    refuse_content,
    request_id_of,
)
from bentos.fraud.http.routes import HttpRequest, Route

__all__ = ["CLIENT_LEFT", "Gateway"]

_CALLS: Final = {f"/{call}": call for call in CALLS}
_PAGES: Final = {
    "/": "docs",
    "/docs": "docs",
    "/health": "health",
    "/livez": "alive",
    "/readyz": "alive",
    "/model": "model",
    "/metrics": "metrics",
}
_TARGETS: Final = {**_CALLS, **_PAGES}
#: No status of HTTP, but what proxies log for it since nginx.
CLIENT_LEFT: Final = "499"
_LOGGER = logging.getLogger(__name__)
#: A call or page by its name, a call of the inference protocol, or routes with what their paths hold.
Target: TypeAlias = "str | InferenceCall | list[tuple[Route, dict[str, str]]] | None"


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
        self.endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event of ASGI."""
        if scope["type"] != "http":
            await self._framework(scope, receive, send)
            return
        headers = header_map(scope["headers"])
        request_id = request_id_of(headers)
        endpoints = self.endpoints()
        exchange = endpoints.observer.begin("http", request_id, headers)
        exchange.enter()
        path: str = scope["path"]
        target: Target = _TARGETS.get(path) or find_call(path) or endpoints.router.find(_raw_path(scope)) or None
        method = _label(target, scope["method"])
        try:
            answer = await endpoints.answered(
                self._answer(endpoints, target, scope, receive, headers, request_id), request_id
            )
        except Disconnected:
            endpoints.observer.end(exchange, method, CLIENT_LEFT)
            return
        if answer is None:
            status = await self._pass_on(scope, receive, send, request_id)
        else:
            status = answer.status.value
            await _respond(send, answer, request_id)
        endpoints.observer.end(exchange, method, str(status))

    async def _answer(
        self,
        endpoints: Endpoints,
        target: Target,
        scope: Scope,
        receive: Receive,
        headers: dict[str, str],
        request_id: str,
    ) -> HttpAnswer | None:
        is_call = target in CALLS
        refused = admit(endpoints.guard, target, scope, headers, request_id)
        if refused is None:
            refused = refuse_content(headers, request_id, json_only=False)
        if refused is None and isinstance(target, str):
            refused = _wrong_method(scope["method"], ("POST",) if is_call else ("GET", "HEAD"), request_id)
        if refused is None and is_call:
            refused = refuse_content(headers, request_id, json_only=True)
        if refused is not None or target is None:
            return refused
        if isinstance(target, InferenceCall):
            return await _inferred(endpoints, target, scope, receive, headers, request_id)
        if isinstance(target, list):
            return await _routed(endpoints, target, scope, receive, headers, request_id)
        if is_call:
            return await self._call(endpoints, target, scope, receive, headers, request_id)
        return await _page(endpoints, target)

    async def _call(
        self,
        endpoints: Endpoints,
        call: str,
        scope: Scope,
        receive: Receive,
        headers: dict[str, str],
        request_id: str,
    ) -> HttpAnswer:
        # What cannot be done is refused before its body is read: shedding has to be cheaper than answering.
        endpoints.predictor.admit()
        deadline = deadline_of(headers)
        body = await read_body(receive, headers, request_id, endpoints.body_limit_bytes(call), endpoints.room)
        if isinstance(body, HttpAnswer):
            return body
        work: Coroutine[Any, Any, HttpAnswer] = getattr(endpoints, call)(
            body, query_parameters(scope["query_string"]), deadline
        )
        if call == "predict_many" or endpoints.predictor.backlogged:
            return await _unless_disconnected(work, receive)
        return await work

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> int:
        if not scope["path"].isprintable():
            # The framework's patterns end before a line break: it would take /predict%0A for /predict.
            answer = _framework_error(HTTPStatus.NOT_FOUND, request_id)
            await _respond(send, answer, request_id)
            return answer.status.value
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


def _label(target: Target, method: str) -> str:
    if isinstance(target, list):
        return next((route.name for route, _ in target if route.method == method), target[0][0].name)
    return "other" if target is None else target if isinstance(target, str) else target.name


def _raw_path(scope: Scope) -> str:
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"] if raw is None else raw.decode("latin-1").partition("?")[0]
    return path


async def _routed(
    endpoints: Endpoints,
    found: list[tuple[Route, dict[str, str]]],
    scope: Scope,
    receive: Receive,
    headers: dict[str, str],
    request_id: str,
) -> HttpAnswer:
    wanted = "GET" if scope["method"] == "HEAD" else scope["method"]
    for route, arguments in found:
        if route.method == wanted:
            parameters, deadline = query_parameters(scope["query_string"]), deadline_of(headers)
            return await route.answer(
                HttpRequest(arguments, parameters, headers, request_id, deadline, endpoints, receive)
            )
    allowed = tuple(route.method for route, _ in found)
    refused = _wrong_method(scope["method"], allowed, request_id)
    if refused is None:
        raise TypeError(f"a route of {allowed} was not found again")
    return refused


async def _page(endpoints: Endpoints, page: str) -> HttpAnswer:
    if page == "metrics":
        endpoints.predictor.metrics.later.run()
        # Merging the workers' files is the one page that takes longer than a request may wait.
        return await run_sync(endpoints.metrics)
    answer: HttpAnswer = getattr(endpoints, page)()
    return answer


async def _inferred(
    endpoints: Endpoints,
    call: InferenceCall,
    scope: Scope,
    receive: Receive,
    headers: dict[str, str],
    request_id: str,
) -> HttpAnswer:
    async def read() -> bytes | HttpAnswer:
        return await read_body(receive, headers, request_id, endpoints.body_limit_bytes(call.name), endpoints.room)

    async def guard(work: Coroutine[Any, Any, HttpAnswer]) -> HttpAnswer:
        return await _unless_disconnected(work, receive)

    return await inference.answer(endpoints.plane, call, scope["method"], headers, read, guard, request_id)


async def _unless_disconnected(work: Coroutine[Any, Any, HttpAnswer], receive: Receive) -> HttpAnswer:
    """Do a call that will take a while, and stop when its client leaves: its place in the queue is another's then.

    Raises
    ------
    Disconnected
        When the client left.
    """
    call, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((call, leaving), return_when=asyncio.FIRST_COMPLETED)
        if call.done():
            return call.result()
        raise Disconnected
    finally:
        call.cancel()
        leaving.cancel()
        await asyncio.gather(call, leaving, return_exceptions=True)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _wrong_method(method: str, allowed: tuple[str, ...], request_id: str) -> HttpAnswer | None:
    if method in allowed:
        return None
    names = ", ".join(allowed)
    detail = f"This address is for {names}, not {method[:16]}."
    return refusal(HTTPStatus.METHOD_NOT_ALLOWED, detail, request_id, {"allow": names})


async def _respond(send: Send, answer: HttpAnswer, request_id: str) -> None:
    headers: list[tuple[bytes, bytes]] = [
        (b"content-type", answer.media_type.encode()),
        (b"x-request-id", request_id.encode()),
        *((name.encode(), value.encode()) for name, value in answer.headers.items()),
    ]
    if answer.rest is None:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    start: dict[str, Any] = {"type": "http.response.start", "status": answer.status.value, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body, "more_body": answer.rest is not None})
    if answer.rest is not None:
        async for part in answer.rest:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
