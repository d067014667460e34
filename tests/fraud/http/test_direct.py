"""Requests that pass ASGI by are answered like all others, and nothing of a connection gets lost."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from bentos.fraud.http.direct import DirectProtocol
from bentos.fraud.http.endpoints import Endpoints
from bentos.fraud.http.gateway import Gateway
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server

_BODY = json.dumps(transaction_json(transaction_id="t-direct")).encode()
_JSON = {"content-type": "application/json", "x-request-id": "same"}


def _head(path: str, headers: Mapping[str, str], version: str = "1.1", method: str = "POST") -> bytes:
    lines = [f"{method} {path} HTTP/{version}", "host: x", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def _whole(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    return _head(path, {**headers, "content-length": str(len(body))}) + body


def _chunked(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    return _head(path, {**headers, "transfer-encoding": "chunked"}) + chunk + b"0\r\n\r\n"


class Caller:
    """A connection to a server."""

    def __init__(self, server: Server) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self._connection = socket.create_connection((host, int(port)), timeout=60)
        self._stream = self._connection.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send as it is."""
        self._connection.sendall(data)

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The next answer: status, headers, body."""
        status = int(self._stream.readline().split()[1])
        headers = {}
        while line := self._stream.readline().strip():
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self._stream.read(int(headers["content-length"]))

    def ended(self) -> bool:
        """Whether the server ended the connection."""
        return self._stream.read(1) == b""

    def close(self) -> None:
        """Leave."""
        self._stream.close()
        self._connection.close()


@pytest.fixture
def caller(server: Server) -> Iterator[Caller]:
    opened = Caller(server)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/predict?record=false", _BODY, _JSON, 200),
        ("/predict?record=false&explain=all", _BODY, _JSON, 200),
        ("/explain", _BODY, _JSON, 200),
        ("/explain?explain=all", _BODY, _JSON, 422),
        ("/predict?explain=some", _BODY, _JSON, 422),
        ("/predict?" + "&".join(["record=false"] * 30), _BODY, _JSON, 422),
        ("/predict", b"{", _JSON, 422),
        ("/predict", b"", _JSON, 422),
        ("/predict", json.dumps(transaction_json(amount=-1)).encode(), _JSON, 422),
        ("/predict", _BODY, {**_JSON, "content-type": "text/csv"}, 415),
        ("/predict", _BODY, {**_JSON, "content-type": "application/vnd.bentoml+pickle"}, 415),
        ("/predict", gzip.compress(_BODY, mtime=0), {**_JSON, "content-encoding": "gzip"}, 415),
        ("/predict", _BODY, {**_JSON, "x-fraud-deadline-ms": "soon"}, 422),
        ("/predict%0A", _BODY, _JSON, 404),
    ],
)
def test_both_ways_answer_the_same(
    caller: Caller, path: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    answers = []
    for request in (_whole(path, body, headers), _chunked(path, body, headers)):
        caller.send(request)
        answers.append(caller.answer())
    (code, direct, content), (other_code, plain, other_content) = answers
    assert code == other_code == status
    assert content == other_content
    assert {**direct, "date": ""} == {**plain, "date": ""}


def test_requests_in_any_pieces(caller: Caller) -> None:
    request = _whole("/predict?record=false", _BODY, _JSON)
    for size in (len(request), 200, 50, 7, 1):
        for start in range(0, len(request), size):
            caller.send(request[start : start + size])
        status, _, content = caller.answer()
        assert status == 200
        assert json.loads(content)["transaction_id"] == "t-direct"


def test_pipelined_requests_are_answered_in_order(caller: Caller) -> None:
    ids = [f"t-{number}" for number in range(20)]
    caller.send(
        b"".join(
            (_chunked if number % 3 == 0 else _whole)(
                "/predict?record=false", json.dumps(transaction_json(transaction_id=name)).encode(), _JSON
            )
            for number, name in enumerate(ids)
        )
    )
    assert [json.loads(caller.answer()[2])["transaction_id"] for _ in ids] == ids


def test_who_wants_the_connection_closed_has_it_closed(caller: Caller) -> None:
    caller.send(_whole("/predict?record=false", _BODY, {**_JSON, "connection": "close"}))
    status, headers, _ = caller.answer()
    assert status == 200
    assert headers["connection"] == "close"
    assert caller.ended()


def test_a_client_that_leaves_in_the_middle_harms_nobody(server: Server) -> None:
    request = _whole("/predict?record=false", _BODY, _JSON)
    for sent in (len(request) // 2, len(request) - 1, len(request)):
        leaving = Caller(server)
        leaving.send(request[:sent])
        leaving.close()
    staying = Caller(server)
    staying.send(request)
    assert staying.answer()[0] == 200
    staying.close()


class Recorder(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 3000), "peername": ("127.0.0.1", 40000)})
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.written.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        """Nobody sends more."""

    def resume_reading(self) -> None:
        """Nobody sends more."""


def _connection(endpoints: Endpoints) -> tuple[DirectProtocol, Recorder, ServerState]:
    config = Config(Gateway(_nobody, lambda: endpoints), log_config=None, lifespan="off")
    config.load()
    transport, state = Recorder(), ServerState()
    connection = DirectProtocol(config, state, {})
    connection.connection_made(transport)
    return connection, transport, state


async def _nobody(*_: Any) -> None:
    raise AssertionError("the framework is not asked")


def test_an_answer_is_one_write(endpoints: Endpoints, runner: asyncio.Runner) -> None:
    """Which shows, too, that ASGI is passed by."""

    async def run() -> list[bytes]:
        connection, transport, state = _connection(endpoints)
        connection.data_received(_whole("/predict?record=false", _BODY, _JSON))
        await asyncio.gather(*state.tasks)
        assert state.total_requests == 1
        connection.connection_lost(None)
        return transport.written

    (written,) = runner.run(run())
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written.endswith(b"}")


def test_unfinished_bodies_have_their_room(endpoints: Endpoints, runner: asyncio.Runner) -> None:
    request = _whole("/predict?record=false", _BODY, _JSON)

    async def run() -> list[bytes]:
        free = endpoints.room._left
        first, _, first_state = _connection(endpoints)
        first.data_received(request[:-10])
        await asyncio.sleep(0)
        assert endpoints.room._left == free - len(_BODY)
        rest = endpoints.room._left
        endpoints.room.take(rest)
        second, transport, state = _connection(endpoints)
        second.data_received(request[:-10])
        await asyncio.gather(*state.tasks)
        endpoints.room.give_back(rest)
        # What was refused is read past; the next request is answered.
        second.data_received(request[-10:] + request)
        await asyncio.gather(*state.tasks)
        first.connection_lost(None)
        await asyncio.gather(*first_state.tasks)
        assert endpoints.room._left == free
        second.connection_lost(None)
        return transport.written

    refused, answered = runner.run(run())
    assert refused.startswith(b"HTTP/1.1 429 ")
    assert answered.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("whole", [_whole, _chunked], ids=["directly", "by the gateway"])
def test_a_server_that_stops_says_so_with_one_more_answer(
    endpoints: Endpoints, runner: asyncio.Runner, whole: Callable[[str, bytes, Mapping[str, str]], bytes]
) -> None:
    async def run() -> Recorder:
        connection, transport, state = _connection(endpoints)
        connection.data_received(whole("/predict?record=false", _BODY, _JSON))
        await asyncio.gather(*state.tasks)
        assert b"connection: close" not in b"".join(transport.written).lower()
        transport.written.clear()
        connection.shutdown()
        assert not transport.closed
        connection.data_received(whole("/predict?record=false", _BODY, _JSON))
        await asyncio.gather(*state.tasks)
        connection.connection_lost(None)
        return transport

    transport = runner.run(run())
    written = b"".join(transport.written)
    assert written.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in written.partition(b"\r\n\r\n")[0].lower()
    assert transport.closed


def test_a_server_that_stops_leaves_who_asks_nothing(endpoints: Endpoints, runner: asyncio.Runner) -> None:
    async def run() -> None:
        connection, transport, _ = _connection(endpoints)
        connection.shutdown()
        async with asyncio.timeout(60):
            while not transport.closed:
                await asyncio.sleep(0.01)
        connection.connection_lost(None)

    runner.run(run())


def test_connections_outlast_those_of_gateways(endpoints: Endpoints, runner: asyncio.Runner) -> None:
    async def run() -> float:
        connection, _, state = _connection(endpoints)
        connection.data_received(_whole("/predict?record=false", _BODY, _JSON))
        await asyncio.gather(*state.tasks)
        ending = connection.timeout_keep_alive_task
        assert ending is not None
        left = ending.when() - asyncio.get_running_loop().time()
        connection.connection_lost(None)
        return left

    # Go's clients, Traefik among them, keep idle connections for 90 s.
    assert runner.run(run()) > 90
