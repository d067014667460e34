"""What a running server keeps of a request that is not complete."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from itertools import chain, repeat

import httpx
import pytest

from bentos.fraud.http.protocol import MAXIMUM_HEAD_BYTES
from bentos.fraud.predictor import MAXIMUM_ROWS
from tests.fraud.requests import transaction_json
from tests.fraud.server import Server

_PART = 65_536
#: What somebody may send before he is stopped: the limit, and what lies in the kernel's buffers.
_MOST = 64 * 1024 * 1024
_HEAD = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
_CHUNKED = _HEAD + b"transfer-encoding: chunked\r\n\r\n"


def _headers() -> Iterator[bytes]:
    for start in range(0, 10_000_000, 1000):
        yield b"".join(b"x-%d: 1\r\n" % number for number in range(start, start + 1000))


@pytest.mark.parametrize(
    ("begin", "rest"),
    [
        (_HEAD + b"x-long: ", repeat(b"a" * _PART)),
        (_HEAD, _headers()),
        (_HEAD + b"x-", repeat(b"a" * _PART)),
        (b"GET /livez?", repeat(b"a" * _PART)),
        (b"G", repeat(b"E" * _PART)),
        (_CHUNKED + b"1;", repeat(b"a" * _PART)),
        (_CHUNKED + b"0\r\nx-trailer: ", repeat(b"a" * _PART)),
        (_CHUNKED + b"0\r\n", _headers()),
    ],
    ids=["header", "headers", "name", "query", "method", "chunk extension", "trailer", "trailers"],
)
def test_what_never_becomes_whole_is_cut_off(server: Server, begin: bytes, rest: Iterator[bytes]) -> None:
    with _connected(server) as connection, pytest.raises(OSError, match=r"reset|Broken pipe"):
        _send(connection, chain([begin], rest))


def test_who_sends_too_long_a_head_is_told_so(server: Server) -> None:
    with _connected(server) as connection:
        connection.sendall(_HEAD + b"x-long: ")
        with contextlib.suppress(OSError):
            for _ in range(16):
                connection.sendall(b"a" * (MAXIMUM_HEAD_BYTES // 4))
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(1000).startswith(b"HTTP/1.1 431 ")


def test_long_heads_and_longer_bodies_are_read(server: Server) -> None:
    headers = {f"x-{number}": "a" * 1000 for number in range(40)}
    assert httpx.get(f"{server.url}/livez", headers=headers, timeout=30).status_code == 200
    rows = {"transactions": [transaction_json()] * MAXIMUM_ROWS}
    body = json.dumps(rows).encode()
    assert len(body) > 10 * MAXIMUM_HEAD_BYTES
    answer = httpx.post(
        f"{server.url}/predict_many?record=false",
        content=body,
        headers={"content-type": "application/json"},
        timeout=60,
    )
    assert len(answer.json()["results"]) == MAXIMUM_ROWS


def test_many_requests_on_one_connection_are_counted_each_for_itself(server: Server) -> None:
    request = b"GET /livez HTTP/1.1\r\nhost: x\r\nx-long: " + b"a" * 30_000 + b"\r\n\r\n"
    with _connected(server) as connection:
        for _ in range(20):
            # In pieces, none of which is a whole request.
            for start in range(0, len(request), 7000):
                connection.sendall(request[start : start + 7000])
            answer = b""
            while not answer.endswith(b"ok\n"):
                answer += connection.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200")


def test_too_long_a_query_is_refused(server: Server) -> None:
    answer = httpx.post(f"{server.url}/predict?explain={'a' * 9000}", json=transaction_json(), timeout=30)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["path"] == "query"


def _send(connection: socket.socket, parts: Iterator[bytes]) -> None:
    sent = 0
    for part in parts:
        connection.sendall(part)
        sent += len(part)
        assert sent < _MOST, "the server reads on and on"


@contextlib.contextmanager
def _connected(server: Server) -> Iterator[socket.socket]:
    port = int(server.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        yield connection
