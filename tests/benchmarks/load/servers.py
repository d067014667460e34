"""The servers under load: each is started alone, settles, and is ended by its process id."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.benchmarks.load.peers.model import FOLDER_VARIABLE
from tests.fraud.server import ROOT, bentoml_command, environment
from tests.ports import free_port

__all__ = ["WORKERS", "Memory", "Server", "Started", "build_bento", "peer", "service", "stock"]

WORKERS: Final = 2
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 15.0
_SETTLE_SECONDS: Final = 10.0
_IDLE_SHARE: Final = 0.05
_BUILD_SECONDS: Final = 300


@dataclass(frozen=True)
class Server:
    """How a server is started.

    Parameters
    ----------
    command
        Without the port, which is its last argument.
    environ
        Of its processes.
    folder
        Where it is started.
    grpc
        Whether it has a port for gRPC, by ``FRAUD_GRPC_PORT``.
    """

    command: tuple[str, ...]
    environ: Mapping[str, str]
    folder: Path = ROOT
    grpc: bool = False

    @contextlib.contextmanager
    def started(self, log: Path) -> Iterator[Started]:
        """Run it until the block ends; its output goes to a file."""
        ports = [free_port(), free_port()]
        environ = {**self.environ, **({"FRAUD_GRPC_PORT": str(ports[1])} if self.grpc else {})}
        command = [*self.command, str(ports[0])]
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(log.open("w"))
            process = subprocess.Popen(
                command, cwd=self.folder, env=environ, stdout=output, stderr=output, start_new_session=True
            )
            stack.callback(_stop, process)
            running = Started(ports[0], ports[1], process)
            _await_ready(running, log)
            running.settle()
            yield running


@dataclass(frozen=True)
class Memory:
    """Proportional set size of a server's processes, bytes: shared pages count in equal parts.

    Attributes
    ----------
    total
        All of it.
    files
        The part that is files: libraries, the feature store.
    """

    total: int
    files: int


@dataclass(frozen=True)
class Started:
    """A running server."""

    port: int
    grpc_port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Of HTTP."""
        return f"http://127.0.0.1:{self.port}"

    def processes(self) -> list[psutil.Process]:
        """All of the server's."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Time on a processor so far, of all its processes."""
        total = 0.0
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system
        return total

    def memory(self) -> Memory:
        """What it holds now."""
        total = files = 0
        for process in self.processes():
            with contextlib.suppress(OSError):
                text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
                sizes = {name: int(size) for name, size in re.findall(r"^(Pss\w*): +(\d+) kB", text, re.MULTILINE)}
                total += sizes["Pss"] * 1024
                files += (sizes["Pss_File"] + sizes["Pss_Shmem"]) * 1024
        return Memory(total, files)

    def settle(self) -> None:
        """Wait until every worker has finished starting: none of them works any more."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while time.monotonic() < deadline:
            before = self.cpu_seconds()
            time.sleep(0.5)
            if self.cpu_seconds() - before < 0.5 * _IDLE_SHARE:
                return

    def metrics(self) -> str:
        """Its metrics, over all workers."""
        return httpx.get(f"{self.url}/metrics", timeout=30).raise_for_status().text


def build_bento(home: Path) -> None:
    """``bentoml build`` of the champion under a FRAUD_HOME, into the BENTOML_HOME there."""
    ended = subprocess.run(
        bentoml_command("build"),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
        check=False,
    )
    if ended.returncode:
        raise RuntimeError(f"bentoml build failed:\n{ended.stderr}")


def service(home: Path, state: Path, **settings: str) -> Server:
    """The bento that was built under a FRAUD_HOME, served from an empty one: with nothing but what it carries.

    Settings are the defaults but for those given.
    """
    bentos = str(home / "bentoml")
    environ = environment(state, workers=WORKERS, BENTOML_HOME=bentos)
    del environ["FRAUD_DEADLINE_MILLISECONDS"]
    command = bentoml_command("serve", "fraud_detector:latest", "--host", "127.0.0.1", "--port")
    return Server(tuple(command), {**environ, **settings}, folder=state, grpc=True)


def stock(models: Path, state: Path) -> Server:
    """BentoML's own batching."""
    command = bentoml_command(
        "serve", "tests.benchmarks.load.peers.stock_bentoml:Stock", "--host", "127.0.0.1", "--port"
    )
    return Server(tuple(command), {**environment(state), FOLDER_VARIABLE: str(models), "PYTHONPATH": str(ROOT)})


def peer(name: str, models: Path) -> Server:
    """An ASGI application of ``peers`` on uvicorn, as fast as it goes."""
    command = [sys.executable, "-m", "uvicorn", f"tests.benchmarks.load.peers.{name}:app", "--host", "127.0.0.1"]
    command += ["--workers", str(WORKERS), "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", "--port"]
    return Server(tuple(command), {**os.environ, FOLDER_VARIABLE: str(models), "PYTHONPATH": str(ROOT)})


def _await_ready(running: Started, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and running.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{running.url}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise RuntimeError(f"a server did not get ready, exit code {running.process.poll()}:\n{log.read_text()}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # The server leads its own session, so that this ends its workers and nothing else.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
