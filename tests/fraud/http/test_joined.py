"""An answer's head and body reach uvicorn's connection in one write, and whole in every other case too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from bentos.fraud.http.joined import joined

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]}
STREAM = {"type": "http.response.start", "status": 200, "headers": []}
Answer = Callable[[Send], Awaitable[None]]


class Recorder(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__({"sockname": ("127.0.0.1", 3000), "peername": ("127.0.0.1", 40000)})
        self.log: list[bytes | str] = []

    def write(self, data: bytes) -> None:  # type: ignore[override]
        self.log.append(bytes(data))

    def close(self) -> None:
        self.log.append("closed")

    def is_closing(self) -> bool:
        return "closed" in self.log

    def pause_reading(self) -> None:
        """Nobody sends more."""

    def resume_reading(self) -> None:
        """Nobody sends more."""


def written(protocol: type[HttpToolsProtocol | H11Protocol], request: bytes, answer: Answer) -> list[bytes | str]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send)

    async def run() -> list[bytes | str]:
        config = Config(app, log_config=None, proxy_headers=False, lifespan="off")
        config.load()
        transport, state = Recorder(), ServerState()
        connection = protocol(config, state, {})
        connection.connection_made(transport)
        connection.data_received(request)
        await asyncio.gather(*state.tasks)
        log = [item for item in transport.log if item]
        connection.connection_lost(None)
        return log

    return asyncio.run(run())


async def whole(send: Send) -> None:
    with joined(send):
        await send(START)
        await send({"type": "http.response.body", "body": b"body"})


async def streamed(send: Send) -> None:
    with joined(send):
        await send(STREAM)
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
    await send({"type": "http.response.body", "body": b"second", "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def broken(send: Send) -> None:
    with joined(send):
        await send(START)
        with pytest.raises(RuntimeError, match="longer than"):
            await send({"type": "http.response.body", "body": b"longer than it says"})
    await send({"type": "http.response.body", "body": b"body"})


GET = b"GET / HTTP/1.1\r\nhost: test\r\n\r\n"
PROTOCOLS = pytest.mark.parametrize("protocol", [HttpToolsProtocol, H11Protocol])


@PROTOCOLS
def test_head_and_body_are_one_write(protocol: type[HttpToolsProtocol | H11Protocol]) -> None:
    (only,) = written(protocol, GET, whole)
    assert isinstance(only, bytes)
    assert only.startswith(b"HTTP/1.1 200 ")
    assert only.endswith(b"\r\n\r\nbody")


@PROTOCOLS
def test_two_requests_on_a_connection_each_get_theirs(protocol: type[HttpToolsProtocol | H11Protocol]) -> None:
    log = written(protocol, GET + GET, whole)
    assert len(log) == 2
    for item in log:
        assert isinstance(item, bytes)
        assert item.count(b"HTTP/1.1 200 ") == 1
        assert item.endswith(b"\r\n\r\nbody")


def test_a_head_alone_is_written() -> None:
    log = written(HttpToolsProtocol, GET.replace(b"GET", b"HEAD"), whole)
    sent = b"".join(item for item in log if isinstance(item, bytes))
    assert sent.startswith(b"HTTP/1.1 200 ")
    assert sent.endswith(b"\r\n\r\n")


def test_it_is_written_before_the_connection_closes() -> None:
    log = written(HttpToolsProtocol, GET.replace(b"host", b"connection: close\r\nhost"), whole)
    assert log[-1] == "closed"
    assert isinstance(log[0], bytes)
    assert log[0].endswith(b"body")


def test_a_stream_goes_on_after_the_first_part() -> None:
    log = written(HttpToolsProtocol, GET, streamed)
    assert isinstance(log[0], bytes)
    assert log[0].endswith(b"5\r\nfirst\r\n")
    assert log[1:] == [b"6\r\nsecond\r\n", b"0\r\n\r\n"]


def test_a_head_is_not_lost_when_the_body_is_refused() -> None:
    log = written(HttpToolsProtocol, GET, broken)
    assert isinstance(log[0], bytes)
    assert log[0].startswith(b"HTTP/1.1 200 ")
    assert log[1:] == [b"body"]


def test_another_server_is_left_as_it_is() -> None:
    sent: list[object] = []

    async def send(message: object) -> None:
        sent.append(message)

    asyncio.run(whole(send))
    assert sent == [START, {"type": "http.response.body", "body": b"body"}]
