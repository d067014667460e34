"""A PostgreSQL of the tests' own."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.ports import free_port

__all__ = ["PostgresServer", "running_postgres"]

_START_SECONDS = 60.0
#: It refuses to run as root; the package's own user, else one that owns nothing.
_USERS = ("postgres", "nobody")


class PostgresServer:
    """A server's process, which can be stopped and started again.

    Parameters
    ----------
    programs
        Folder of its programs.
    folder
        Of its files; made.
    arguments
        Of its command line, besides its place.
    """

    def __init__(self, programs: Path, folder: Path, arguments: Sequence[str] = ()) -> None:
        self._programs = programs
        self._folder = folder
        self.port = free_port()
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        folder.mkdir()
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = next(name for name in _USERS if _exists(name))
            account = pwd.getpwnam(user)
            os.chown(folder, account.pw_uid, account.pw_gid)
            self._as_user = [
                "setpriv",
                f"--reuid={account.pw_uid}",
                f"--regid={account.pw_gid}",
                "--clear-groups",
            ]
        options = ["--auth=trust", "--username=fraud", "--encoding=UTF8", "--locale=C", "--no-sync"]
        self._run("initdb", "--pgdata", str(folder / "data"), *options)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as_user, str(self._programs / program), *arguments]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        place = ["-D", str(self._folder / "data"), "-k", str(self._folder), "-h", "127.0.0.1", "-p", str(self.port)]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._as_user, str(self._programs / "postgres"), *place, *self._arguments],
                cwd=self._folder,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < until, "postgres does not answer"
            time.sleep(0.05)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self._connected():
            return True
        return False

    def _connected(self) -> psycopg.Connection[tuple[object, ...]]:
        place = f"host=127.0.0.1 port={self.port} user=fraud dbname=postgres"
        return psycopg.connect(place, autocommit=True, connect_timeout=5)

    def new_database(self) -> str:
        """The URL of an empty database."""
        self._databases += 1
        name = f"records_{self._databases}"
        with self._connected() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://fraud@127.0.0.1:{self.port}/{name}"

    def kill(self) -> None:
        """kill -9 of all its processes."""
        assert self._process is not None
        main = psutil.Process(self._process.pid)
        # It would start others.
        main.suspend()
        everything = [*main.children(recursive=True), main]
        for process in everything:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(everything[:-1], _START_SECONDS)
        self._process.wait()

    def stop(self) -> None:
        """End it at once, if it runs; what was committed stays."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=_START_SECONDS)


def _exists(user: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(pwd.getpwnam(user))
    return False


def _programs() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).parent
    # Debian keeps those of each version apart.
    versions = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0), default=None)


@contextlib.contextmanager
def running_postgres(arguments: Sequence[str] = ("-c", "fsync=off")) -> Iterator[PostgresServer]:
    """A PostgreSQL that runs; skips the test where the program is missing, but not in CI.

    Parameters
    ----------
    arguments
        Of its command line. What tests write has to survive the server's end, not the machine's.
    """
    programs = _programs()
    if programs is None:
        assert "CI" not in os.environ, "postgresql is missing: scripts/install_system_packages.sh test"
        pytest.skip("postgresql is missing: scripts/install_system_packages.sh test")
    # Not below pytest's folder, which no other user can enter.
    with tempfile.TemporaryDirectory(prefix="fraud-postgresql-") as folder:
        Path(folder).chmod(0o711)
        server = PostgresServer(programs, Path(folder) / "files", arguments)
        server.start()
        try:
            yield server
        finally:
            server.stop()
