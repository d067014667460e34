"""A Redis of the tests' own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.ports import free_port

__all__ = ["RedisServer", "running_redis"]

_START_SECONDS = 20.0


class RedisServer:
    """A server's process, which can be stopped, hung and started again.

    Parameters
    ----------
    folder
        Of its files.
    arguments
        Of its command line, besides its place.
    """

    def __init__(self, folder: Path, arguments: Sequence[str] = ()) -> None:
        self.folder = folder
        self.port = free_port()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, and wait until it answers."""
        place = ["--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder)]
        self._process = subprocess.Popen(
            ["redis-server", *place, "--save", "", *self._arguments], stdout=subprocess.DEVNULL
        )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(7) == b"+PONG\r\n"
        return False

    def hang(self) -> None:
        """Stop it from doing anything; connections stay open."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._send(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9."""
        self._send(signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._send(signal.SIGCONT)
            self._send(signal.SIGTERM)
            self._ended()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _ended(self) -> None:
        assert self._process is not None
        self._process.wait(timeout=_START_SECONDS)


@contextlib.contextmanager
def running_redis(folder: Path, arguments: Sequence[str] = ()) -> Iterator[RedisServer]:
    """A Redis that runs; skips the test where the program is missing, but not in CI."""
    if shutil.which("redis-server") is None:
        assert "CI" not in os.environ, "redis-server is missing: scripts/install_system_packages.sh test"
        pytest.skip("redis-server is missing: scripts/install_system_packages.sh test")
    server = RedisServer(folder, arguments)
    server.start()
    try:
        yield server
    finally:
        server.stop()
