"""A real server for tests and benchmarks: ``bentoml serve`` on a free port, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Server:
    """A running server."""

    url: str
    process: subprocess.Popen[str]
    seconds_to_ready: float
    grpc_port: int


def environment(home: Path, *, workers: int = 1, **settings: str) -> dict[str, str]:
    """Environment of a bentoml command: the caller's without what would change the product's behaviour."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FRAUD_", "BENTOML_", "PROMETHEUS_", "COV_CORE"))
    }
    return {
        **inherited,
        "FRAUD_HOME": str(home),
        # Where the tests' stores lie in memory.
        **{name: value for name, value in os.environ.items() if name == "FRAUD_FEATURE_MEMORY_FOLDER"},
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        # Servers of several tests run side by side; who needs gRPC names a port.
        "FRAUD_GRPC_PORT": "0",
        # Who has jobs done asks for the process that does them.
        "FRAUD_JOB_PROCESSES": "0",
        # A machine that is busy with other tests is no reason to refuse.
        "FRAUD_DEADLINE_MILLISECONDS": "60000",
        # BentoML reports it when this is set.
        **({"BENTOML_CONFIG_OPTIONS": f"services.fraud_detector.workers={workers}"} if workers > 1 else {}),
        **settings,
    }


def bentoml_command(*arguments: str) -> list[str]:
    """The command of this interpreter's BentoML."""
    return [sys.executable, "-m", "bentoml", *arguments]


@contextlib.contextmanager
def running_server(
    environ: Mapping[str, str],
    *arguments: str,
    folder: Path = ROOT,
    log: Path | None = None,
    host: str = "127.0.0.1",
    port: int | None = None,
) -> Iterator[Server]:
    """Run ``bentoml serve`` until the block ends.

    Parameters
    ----------
    environ
        See :func:`environment`.
    arguments
        What to serve; nothing means the folder.
    folder
        Where the command is given.
    log
        File for its output.
    host
        Address that it is served on.
    port
        Of HTTP; None means a free one.
    """
    port = port or free_port()
    command = bentoml_command("serve", *arguments, "--host", host, "--port", str(port))
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("w")) if log else subprocess.DEVNULL
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=dict(environ), stdout=output, stderr=output, text=True, start_new_session=True
        )
        stack.callback(_stop, process)
        url = f"http://127.0.0.1:{port}"
        _await_ready(url, process, log)
        yield Server(url, process, time.monotonic() - started, int(environ["FRAUD_GRPC_PORT"]))


def _await_ready(url: str, process: subprocess.Popen[str], log: Path | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=5).status_code == httpx.codes.OK:
                return
        time.sleep(0.05)
    story = log.read_text() if log else "(no log)"
    raise AssertionError(f"the server did not get ready, exit code {process.poll()}:\n{story}")


def _stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # The server leads its own session, so that this ends its workers and nothing else.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
