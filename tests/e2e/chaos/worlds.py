"""The service with what it stands on, each part of which can be killed and comes back."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from pydantic import SecretStr

from bentos.fraud.settings import ScoringSettings
from tests.fraud.artifacts import make_champion
from tests.fraud.server import ROOT, Server, environment, running_server
from tests.servers.postgresql import PostgresServer, running_postgres
from tests.servers.redis import RedisServer, running_redis

__all__ = ["Target", "World", "embedded_world", "production_world", "require"]

PATIENCE: Final = 300.0
#: What a job does not need: that none is failed for the kills of a test, and that another worker soon takes over.
JOBS: Final = {
    "FRAUD_JOB_ATTEMPTS": "100",
    "FRAUD_JOB_LEASE_SECONDS": "2",
    "FRAUD_JOB_SWEEP_SECONDS": "1",
    "FRAUD_JOB_SMALL_BYTES": "0",
    "FRAUD_BULK_CHUNK_ROWS": "100",
}


@dataclass(frozen=True)
class Target:
    """Something that can be killed.

    Parameters
    ----------
    name
        For people.
    kill
        kill -9 of it; returns what brings it back, if nobody else does.
    """

    name: str
    kill: Callable[[], Callable[[], None]]


@dataclass(frozen=True)
class World:
    """A running service.

    Parameters
    ----------
    server
        Of HTTP.
    settings
        Of its database.
    targets
        What can be killed.
    """

    server: Server
    settings: ScoringSettings
    targets: tuple[Target, ...]


def require(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something holds."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"after {seconds:.0f} s still not: {what}"
        time.sleep(0.05)


@contextlib.contextmanager
def embedded_world(home: Path, **settings: str) -> Iterator[World]:
    """One machine, nothing installed: targets are a worker of the server and the process of jobs beside it."""
    make_champion(home)
    environ = environment(home, workers=2, FRAUD_JOB_PROCESSES="1", **JOBS, **settings)
    with running_server(environ, log=home / "log") as server:
        targets = (
            Target("server worker", _one_of(lambda: _workers(server))),
            Target("job worker", _one_of(lambda: _job_processes(server))),
        )
        yield World(server, ScoringSettings(home=home), targets)


@contextlib.contextmanager
def production_world(home: Path, **settings: str) -> Iterator[World]:
    """Redis, PostgreSQL and Celery: each is a target beside a worker of the server."""
    make_champion(home)
    (home / "redis").mkdir()
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(running_redis(home / "redis", ["--appendonly", "yes", "--appendfsync", "always"]))
        # What it said was written survives its own end with or without fsync.
        postgres = stack.enter_context(running_postgres())
        database = postgres.new_database()
        environ = environment(
            home,
            workers=2,
            FRAUD_FEATURE_STORE="redis",
            FRAUD_REDIS_URL=redis.url,
            FRAUD_QUEUE_URL=f"redis://127.0.0.1:{redis.port}/1",
            FRAUD_RECORDS_URL=database,
            **JOBS,
            **settings,
        )
        server = stack.enter_context(running_server(environ, log=home / "log"))
        celery = _Celery(environ, home / "celery.log")
        stack.callback(celery.stop)
        celery.start()
        targets = (
            Target("server worker", _one_of(lambda: _workers(server))),
            Target("job worker", celery.kill),
            Target("redis", lambda: _away(redis)),
            Target("postgresql", lambda: _away(postgres)),
        )
        yield World(server, ScoringSettings(home=home, records_url=SecretStr(database)), targets)


def _away(server: RedisServer | PostgresServer) -> Callable[[], None]:
    server.kill()
    return server.start


def _one_of(find: Callable[[], list[psutil.Process]]) -> Callable[[], Callable[[], None]]:
    """Kills one process of a server, which starts another by itself."""

    def kill() -> Callable[[], None]:
        require(lambda: bool(find()), "there is a process to be killed")
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):
            random.choice(find()).kill()  # noqa: S311 - any will do
        return lambda: None

    return kill


def _workers(server: Server) -> list[psutil.Process]:
    """Processes that answer: those which hold the port."""
    port = int(server.url.rsplit(":", 1)[1])
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(item.laddr.port == port for item in process.net_connections("inet") if item.status == "ESTABLISHED"):
                found.append(process)
    return found


def _job_processes(server: Server) -> list[psutil.Process]:
    found = []
    for process in psutil.Process(server.process.pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "--beside-server" in process.cmdline():
                found.append(process)
    return found


class _Celery:
    """A worker of Celery with its processes."""

    def __init__(self, environ: dict[str, str], log: Path) -> None:
        self._environ = environ
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "bentos.fraud", "jobs", "worker", "--concurrency", "2"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, env=self._environ, stdout=log, stderr=log)

    def kill(self) -> Callable[[], None]:
        """Kill one of its processes, or all of them at once."""
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        children = main.children(recursive=True)
        if children and random.random() < 0.5:  # noqa: S311
            with contextlib.suppress(psutil.NoSuchProcess):
                random.choice(children).kill()  # noqa: S311
            return lambda: None
        self.stop()
        return self.start

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        main = psutil.Process(self._process.pid)
        main.suspend()
        for process in (*main.children(recursive=True), main):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
