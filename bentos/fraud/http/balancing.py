"""Spreads HTTP connections evenly over the workers that share a listening socket.

The kernel wakes all workers for a new connection, and the first takes whatever waits: of 64 connections that are opened
at once one worker of two got 56, and answered slowly at half of the machine's capacity. Here a worker that has more
connections than another leaves the next ones to that other for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["Connections", "balance"]

_LOGGER = logging.getLogger(__name__)
_FILE: Final = "connections"
#: Process id (0: none) and connections of a worker.
_SLOT: Final = struct.Struct("=II")
_WORKERS: Final = 64
#: How long a connection waits for a worker that has fewer; then it is taken by who has more.
_PAUSE_SECONDS: Final = 0.002
#: Taken in one round of the event loop; requests wait meanwhile.
_ROUND: Final = 16
#: After the system refused one: too many open files, as a rule.
_REFUSED_SECONDS: Final = 1.0

_ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class Connections:
    """How many connections each worker of a server has; each writes its own number and reads the others'.

    Parameters
    ----------
    folder
        Shared by the workers of one server and nobody else.
    worker
        Number of this worker.
    """

    def __init__(self, folder: Path, worker: int) -> None:
        fd = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, _WORKERS * _SLOT.size)
            self._slots = mmap.mmap(fd, _WORKERS * _SLOT.size)
        finally:
            os.close(fd)
        self._offset = worker % _WORKERS * _SLOT.size
        self._count = 0
        self._write(os.getpid())

    def _write(self, pid: int) -> None:
        _SLOT.pack_into(self._slots, self._offset, pid, self._count)

    def opened(self) -> None:
        """This worker has one more."""
        self._count += 1
        self._write(os.getpid())

    def closed(self) -> None:
        """This worker has one less."""
        self._count -= 1
        self._write(os.getpid())

    def leave(self) -> None:
        """This worker takes no more."""
        self._write(0)

    def has_many(self) -> bool:
        """Whether this worker has more than another that runs; by an eighth is not more, or bursts would be slow."""
        return any(
            pid not in (0, os.getpid()) and self._count > count + 1 + count // 8 and _is_running(pid)
            for pid, count in _SLOT.iter_unpack(self._slots[:])
        )


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


class BalancedListener:
    """Takes connections from a socket for an event loop, in place of the loop's own server: what uvicorn asks of one.

    Parameters
    ----------
    loop
        uvloop's or asyncio's.
    listening
        Shared with other workers.
    connections
        Of the workers.
    factory
        Makes the protocol of a connection.
    options
        Of the loop's ``connect_accepted_socket``: TLS.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listening: socket.socket,
        connections: Connections,
        factory: _ProtocolFactory,
        options: dict[str, Any],
    ) -> None:
        self._loop = loop
        self._listening = listening
        self._connections = connections
        self._factory = factory
        self._options = options
        self._paused: asyncio.TimerHandle | None = None
        self._greetings: set[asyncio.Task[Any]] = set()
        self._open = True
        loop.add_reader(listening, self._take)

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """What it listens on, as asyncio's servers tell it."""
        return (self._listening,) if self._open else ()

    def is_serving(self) -> bool:
        """Whether it still takes connections."""
        return self._open

    def close(self) -> None:
        """Take no more; what was taken goes on."""
        if not self._open:
            return
        self._open = False
        self._connections.leave()
        if self._paused is None:
            self._loop.remove_reader(self._listening)
        else:
            self._paused.cancel()

    async def wait_closed(self) -> None:
        """Until handshakes that have begun are over."""
        await asyncio.gather(*self._greetings, return_exceptions=True)

    def _take(self, *, one_at_least: bool = False) -> None:
        for _ in range(_ROUND):
            if not one_at_least and self._connections.has_many():
                self._pause(_PAUSE_SECONDS)
                return
            one_at_least = False
            try:
                taken, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                _LOGGER.warning("a connection cannot be taken: %s", error)
                self._pause(_REFUSED_SECONDS)
                return
            self._greet(taken)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listening)
        self._paused = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._paused = None
        self._loop.add_reader(self._listening, self._take)
        self._take(one_at_least=True)

    def _greet(self, taken: socket.socket) -> None:
        taken.setblocking(False)
        self._connections.opened()
        greeting = self._loop.create_task(self._greeted(taken))
        self._greetings.add(greeting)
        greeting.add_done_callback(self._greetings.discard)

    async def _greeted(self, taken: socket.socket) -> None:
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._connections.closed()

        def counted() -> asyncio.BaseProtocol:
            protocol = self._factory()
            lost = protocol.connection_lost

            def end_and_lose(error: Exception | None) -> None:
                end()
                lost(error)

            protocol.connection_lost = end_and_lose  # type: ignore[method-assign, assignment]
            return protocol

        try:
            await self._loop.connect_accepted_socket(counted, taken, **self._options)
        except Exception as error:
            end()
            # The peer left, or does not speak TLS.
            if not isinstance(error, OSError):
                raise


def balance(loop: asyncio.AbstractEventLoop, folder: Path, worker: int) -> None:
    """Let servers that are started in this event loop on a given socket leave connections to the other workers.

    uvicorn starts its server by the loop's ``create_server`` and offers no place for another.

    Parameters
    ----------
    loop
        uvloop's or asyncio's.
    folder
        Shared by the workers of one server and nobody else.
    worker
        Number of this worker.
    """
    connections = Connections(folder, worker)
    plain = loop.create_server

    async def create_server(
        factory: _ProtocolFactory,
        *arguments: Any,
        sock: socket.socket | None = None,
        ssl: Any = None,
        backlog: int = 100,
        **options: Any,
    ) -> Any:
        if sock is None or arguments or options:
            return await plain(factory, *arguments, sock=sock, ssl=ssl, backlog=backlog, **options)
        sock.setblocking(False)
        sock.listen(backlog)
        return BalancedListener(loop, sock, connections, factory, {"ssl": ssl} if ssl else {})

    loop.create_server = create_server  # type: ignore[method-assign, assignment]
