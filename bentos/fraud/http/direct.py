"""Connections that answer the calls of one transaction without ASGI between uvicorn's parser and the call.

Messages, tasks' wrappers and checks of headers that nobody else sends take a third of such a request's time. Requests
of any other kind (other addresses, bodies of unknown length, pipelined ones) go to the gateway as ever; a test proves
that both ways answer the same.

uvicorn names its protocols in a table, BentoML leaves it the choice: the table is what is changed here, and a test that
talks to a running server fails when either stops using it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

from uvicorn.config import HTTP_PROTOCOLS, Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from bentos.core.errors import Overloaded
from bentos.fraud.eager import begin
from bentos.fraud.http.admission import admit
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.gateway import CLIENT_LEFT, Gateway
from bentos.fraud.http.parting import PartingProtocol
from bentos.fraud.http.problems import HttpAnswer
from bentos.fraud.http.requests import (
    Disconnected,
    deadline_of,
    header_map,
    query_parameters,
    refuse_content,
    request_id_of,
)
from bentos.fraud.room import Room

__all__ = ["DirectProtocol", "serve_directly"]

_CALLS: Final = {b"/predict": "predict", b"/explain": "explain"}
_LOGGER = logging.getLogger(__name__)


class _Nothing:
    """An event that nobody waits for."""

    def set(self) -> None:
        """Wake nobody."""


class _Request:
    """One request; stands where uvicorn's connection keeps its own, and has what that asks of it.

    Parameters
    ----------
    call, query, headers
        What was asked.
    keep_alive
        Whether the connection outlives the answer.
    """

    __slots__ = (
        *("arrival", "body", "call", "disconnected", "headers", "held", "keep_alive", "may_stop", "more_body", "query"),
        *("response_complete", "task"),
    )
    message_event: Final = _Nothing()

    def __init__(self, call: str, query: bytes, headers: dict[str, str], keep_alive: bool) -> None:
        self.call = call
        self.query = query
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.response_complete = False
        #: Octets of the room for unfinished bodies.
        self.held = 0
        #: Of the body's end, when somebody waits for it.
        self.arrival: asyncio.Future[None] | None = None
        #: Whether its work ends when its client leaves: when it waits behind others for its place.
        self.may_stop = False
        self.task: asyncio.Task[None] | None = None

    async def whole(self, room: Room) -> bytes:
        """The body, when it has come.

        Raises
        ------
        Disconnected
            When the client left in the middle.
        Overloaded
            When unfinished bodies fill the room.
        """
        if self.more_body and not self.disconnected:
            self.held = int(self.headers["content-length"])
            if not room.take(self.held):
                raise Overloaded("too many unfinished bodies are held already; try again")
            self.arrival = asyncio.get_running_loop().create_future()
            await self.arrival
        if self.more_body:
            raise Disconnected
        return self.body

    def arrived(self) -> None:
        """Go on: the body is whole, or no more of it comes."""
        if self.arrival is not None and not self.arrival.done():
            self.arrival.set_result(None)


class DirectProtocol(PartingProtocol):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        app: Any = self.app
        # uvicorn wraps it in what reads proxies' headers, of which nothing is used here.
        while app is not None and not isinstance(app, Gateway):
            app = getattr(app, "app", None)
        plain = not self.root_path and self.limit_concurrency is None
        self._gateway: Gateway | None = app if plain else None

    def data_received(self, data: bytes) -> None:
        """Read on. Who may not call, or not now, is told so before the rest of the body has come."""
        super().data_received(data)
        request: Any = self.cycle
        if isinstance(request, _Request) and request.more_body and request.task is None:
            self._start(request)

    def _endpoints(self) -> Endpoints:
        if self._gateway is None:
            raise RuntimeError("a request was taken although there is no gateway")
        return self._gateway.endpoints()

    def on_message_begin(self) -> None:
        """Begin anew; what ASGI wants to know is put together when the gateway is to be asked."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False

    def on_headers_complete(self) -> None:
        """Take the request, or leave it to the gateway."""
        request = self._direct_request()
        if request is None:
            url, headers, expect_100_continue = self.url, self.headers, self.expect_100_continue
            super().on_message_begin()
            self.url, self.expect_100_continue = url, expect_100_continue
            # The scope holds this very list.
            self.headers += headers
            super().on_headers_complete()
        else:
            self._advanced = True
            self.cycle = request  # type: ignore[assignment]

    def _direct_request(self) -> _Request | None:
        path, _, query = self.url.partition(b"?")
        call = _CALLS.get(path)
        if call is None or self._gateway is None or not (self.cycle is None or self.cycle.response_complete):
            return None
        parser = self.parser
        if parser.get_method() != b"POST" or parser.get_http_version() != "1.1" or parser.should_upgrade():
            return None
        headers = header_map(self.headers)
        length = headers.get("content-length", "")
        # Who announces more is refused by the gateway, before it is read.
        if not (length.isdecimal() and int(length[:20]) <= self._gateway.endpoints().body_limit_bytes(call)):
            return None
        if self.expect_100_continue or "transfer-encoding" in headers:
            return None
        return _Request(call, query, headers, parser.should_keep_alive() and not self.parting)

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, unless it was answered without."""
        request: Any = self.cycle
        if not isinstance(request, _Request):
            super().on_body(body)
            return
        self._advanced = True
        if not request.response_complete:
            request.body += body

    def on_message_complete(self) -> None:
        """Answer a request that is whole."""
        request: Any = self.cycle
        if not isinstance(request, _Request):
            super().on_message_complete()
            return
        request.more_body = False
        request.arrived()
        if request.task is None:
            self._start(request)

    def _start(self, request: _Request) -> None:
        endpoints = self._endpoints()
        answering = self._answer(request, endpoints)
        if request.more_body or not endpoints.predictor.at_once:
            task = self.loop.create_task(answering)
        elif (begun := begin(self.loop, answering)) is not None:
            task = begun
        else:
            return
        request.task = task
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what nobody waits for any more."""
        super().connection_lost(exc)
        request: Any = self.cycle
        if isinstance(request, _Request):
            request.arrived()
            if request.task is not None and request.may_stop:
                request.task.cancel()

    async def _answer(self, request: _Request, endpoints: Endpoints) -> None:
        request_id = request_id_of(request.headers)
        exchange = endpoints.observer.begin("http", request_id, request.headers)
        exchange.enter()
        try:
            answer = await endpoints.answered(_called(request, endpoints, request_id), request_id)
        except (Disconnected, asyncio.CancelledError):
            endpoints.observer.end(exchange, request.call, CLIENT_LEFT)
            return
        finally:
            endpoints.room.give_back(request.held)
        if self.flow.write_paused and not request.disconnected:
            await self.flow.drain()
        if not request.disconnected:
            self._send(request, answer, request_id)
        endpoints.observer.end(exchange, request.call, str(answer.status.value))

    def _send(self, request: _Request, answer: HttpAnswer, request_id: str) -> None:
        head = [STATUS_LINE[answer.status]]
        for name, value in self.server_state.default_headers:
            head += (name, b": ", value, b"\r\n")
        head += (b"content-type: ", answer.media_type.encode(), b"\r\nx-request-id: ", request_id.encode(), b"\r\n")
        for field, content in answer.headers.items():
            head.append(f"{field}: {content}\r\n".encode())
        head.append(b"content-length: %d\r\n" % len(answer.body))
        if not request.keep_alive:
            head.append(b"connection: close\r\n")
        # Head and body in one write: a second costs a system call, and a packet that wakes the client.
        self.transport.write(b"".join((*head, b"\r\n", answer.body)))
        request.response_complete = True
        if not request.keep_alive:
            self.transport.close()
        self.on_response_complete()


async def _called(request: _Request, endpoints: Endpoints, request_id: str) -> HttpAnswer:
    headers = request.headers
    refused = admit(endpoints.guard, request.call, {}, headers, request_id)
    if refused is None:
        refused = refuse_content(headers, request_id, json_only=True)
    if refused is not None:
        return refused
    # What cannot be done is refused before its body is read.
    endpoints.predictor.admit()
    deadline = deadline_of(headers)
    body = await request.whole(endpoints.room)
    request.may_stop = endpoints.predictor.backlogged
    call = getattr(endpoints, request.call)
    answer: HttpAnswer = await call(body, query_parameters(request.query), deadline)
    return answer


def serve_directly() -> None:
    """Make uvicorn serve by :class:`DirectProtocol`, in servers that are made from now on."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{DirectProtocol.__name__}"
