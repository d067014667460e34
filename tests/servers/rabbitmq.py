"""A real RabbitMQ for tests: a node of its own name, with its own epmd, on free ports of 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

__all__ = ["RabbitServer", "running_rabbitmq"]

#: Debian's /usr/sbin/rabbitmq-server changes to the user rabbitmq and to its folder; this one does neither.
_PROGRAM = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_START_SECONDS = 90.0
_STOP_SECONDS = 20.0
_HEADER = b"AMQP\x00\x00\x09\x01"


__all__ = ["RabbitServer", "running_rabbitmq"]


class RabbitServer:
    """A server's process, which can be killed and started again; needs an epmd.

    Parameters
    ----------
    folder
        Of its files.
    epmd_port
        Where the epmd listens.
    """

    def __init__(self, folder: Path, epmd_port: int) -> None:
        self._folder = folder
        self._port = free_port()
        self.environ = _environment(folder, self._port, epmd_port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"amqp://guest:guest@127.0.0.1:{self._port}//"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_PROGRAM)], env=self.environ, stdout=log, stderr=log, start_new_session=True
            )
        _await_port(self._port, self._process, _HEADER, self._folder)

    def kill(self) -> None:
        """kill -9, with its helpers: it leads its own session, in which they are too."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            _end_group(self._process)


@contextlib.contextmanager
def running_rabbitmq(folder: Path) -> Iterator[RabbitServer]:
    """Run RabbitMQ until the block ends. Skips the test when it is not installed, but fails in CI.

    Parameters
    ----------
    folder
        For everything that it writes.
    """
    if not _PROGRAM.exists():
        message = "RabbitMQ is not installed; scripts/install_system_packages.sh test does"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    epmd_port = free_port()
    server = RabbitServer(folder, epmd_port)
    with contextlib.ExitStack() as stack:
        log = stack.enter_context((folder / "output.log").open("ab"))
        # In the foreground, so that it can be ended by its id; the node would start one that outlives it.
        epmd = subprocess.Popen(["epmd"], env=server.environ, stdout=log, stderr=log)
        stack.callback(_end, epmd, signal.SIGKILL)
        _await_port(epmd_port, epmd, b"", folder)
        stack.callback(server.stop)
        server.start()
        yield server


def _environment(folder: Path, port: int, epmd_port: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    configuration = folder / "rabbitmq.conf"
    configuration.write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\nvm_memory_high_watermark.relative = 0.9\ndisk_free_limit.absolute = 1MB\n"
    )
    (folder / "enabled_plugins").write_text("[].\n")
    return {
        **inherited,
        # The cookie that nodes know each other by is made there.
        "HOME": str(folder),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(epmd_port),
        "RABBITMQ_NODENAME": f"test{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_CONFIG_FILE": str(configuration),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.conf"),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "logs"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        # Schedulers that spin take the cores that others need.
        "RABBITMQ_SERVER_START_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none +S 1",
    }


def _await_port(port: int, process: subprocess.Popen[bytes], greeting: bytes, folder: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            if not greeting:
                return
            connection.sendall(greeting)
            if connection.recv(1):
                return
        time.sleep(0.1)
    story = (folder / "output.log").read_text(errors="replace")
    raise AssertionError(f"RabbitMQ did not start, exit code {process.poll()}:\n{story}")


def _end(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    process.send_signal(number)
    process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    # It leads its own session, in which its helpers are too.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
