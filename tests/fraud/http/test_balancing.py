"""Connections are spread over the workers of a server, none is lost, and none waits for a worker that is gone."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import socket
import ssl
import struct
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Connection as Pipe
from pathlib import Path

import pytest
import uvloop

from bentos.fraud.http.balancing import Connections, balance
from tests.fraud.access.authority import Authority


class Pid(asyncio.Protocol):
    """Says which process took a connection, and keeps it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(struct.pack("=I", os.getpid()))  # type: ignore[attr-defined]


def work(listening: socket.socket, folder: Path, number: int, pipe: Pipe) -> None:
    """A worker; answers anything that it is sent with its count."""

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        balance(loop, folder, number)
        server = await loop.create_server(Pid, sock=listening, backlog=512)
        pipe.send("ready")
        await loop.run_in_executor(None, pipe.recv)
        server.close()
        await server.wait_closed()

    uvloop.run(serve())


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as bound:
        yield bound


@contextlib.contextmanager
def workers(listening: socket.socket, folder: Path, count: int) -> Iterator[list[tuple[multiprocessing.Process, Pipe]]]:
    context = multiprocessing.get_context("fork")
    running = []
    for number in range(count):
        here, there = context.Pipe()
        process = context.Process(target=work, args=(listening, folder, number, there))
        process.start()
        assert here.recv() == "ready"
        running.append((process, here))
    try:
        yield running  # type: ignore[misc]
    finally:
        for process, here in running:
            with contextlib.suppress(BrokenPipeError):
                here.send("stop")
            process.join()


def connected(stack: contextlib.ExitStack, listening: socket.socket, count: int) -> Counter[int]:
    """Open so many connections at once; who took them."""
    sockets = []
    for _ in range(count):
        one = stack.enter_context(socket.socket())
        one.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            one.connect(listening.getsockname())
        sockets.append(one)
    taken: Counter[int] = Counter()
    for one in sockets:
        one.settimeout(60)
        taken[struct.unpack("=I", one.recv(4, socket.MSG_WAITALL))[0]] += 1
    return taken


def test_a_burst_is_spread(listening: socket.socket, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(workers(listening, tmp_path, 3))
        taken = connected(stack, listening, 240)
    assert taken.total() == 240
    assert len(taken) == 3
    # A worker that gets no time for 2 ms leaves a connection to who has more.
    assert max(taken.values()) < 160


def test_nobody_waits_for_a_worker_that_was_killed(listening: socket.socket, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        (first, _), (second, _) = stack.enter_context(workers(listening, tmp_path, 2))
        first.kill()
        first.join()
        assert connected(stack, listening, 50) == {second.pid: 50}


def test_who_stops_leaves_the_rest_to_the_others(listening: socket.socket, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        (first, pipe), (second, _) = stack.enter_context(workers(listening, tmp_path, 2))
        pipe.send("stop")
        first.join()
        assert connected(stack, listening, 50) == {second.pid: 50}


def _count(folder: Path) -> int:
    return struct.unpack_from("=II", (folder / "connections").read_bytes())[1]


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_what_ended_is_not_counted(
    listening: socket.socket, tmp_path: Path, loop: type[asyncio.AbstractEventLoop]
) -> None:
    """Handshakes that fail too."""
    authority = Authority(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*authority.issue("server"))
    trusting = ssl.create_default_context(cafile=str(authority.file))

    async def run() -> None:
        running = asyncio.get_running_loop()
        balance(running, tmp_path, 0)
        server = await running.create_server(Pid, sock=listening, ssl=context)
        port = listening.getsockname()[1]
        assert _count(tmp_path) == 0
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        assert await reader.readexactly(4) == struct.pack("=I", os.getpid())
        assert _count(tmp_path) == 1
        _, plain = await asyncio.open_connection("127.0.0.1", port)
        plain.write(b"GET / HTTP/1.1\r\n\r\n" * 100)
        for each in (writer, plain):
            each.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await each.wait_closed()
        while _count(tmp_path):
            await asyncio.sleep(0.01)
        assert server.is_serving()
        server.close()
        assert not server.is_serving()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asyncio.wait_for(run(), 60))


def test_who_has_many(tmp_path: Path) -> None:
    mine = Connections(tmp_path, 0)
    for _ in range(9):
        mine.opened()
    assert not mine.has_many()
    slots = tmp_path / "connections"
    content = bytearray(slots.read_bytes())
    # Another process that runs, with few and with nearly as many.
    for theirs, many in ((0, True), (7, True), (8, False), (20, False)):
        struct.pack_into("=II", content, 8, os.getppid(), theirs)
        with slots.open("r+b") as stream:
            stream.write(content)
        # The own slot was overwritten with itself.
        assert mine.has_many() is many
