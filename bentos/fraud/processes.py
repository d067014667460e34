"""Processes beside a server: one of its workers keeps them running, and they end with it.

Which worker is decided by a lock on a file, which the kernel gives to the next when its holder ends, however it ends.
A process reads from a pipe that only its supervisor writes to: when that ends, killed or not, the pipe does, and the
process with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from time import monotonic
from typing import Final

import bentos
from bentos.core.files import lock_file

__all__ = ["Supervisor", "stand_back", "stop_on_signals", "stop_with_server"]

_ENTRY: Final = "bentos.fraud.beside"
_AUTOGROUP: Final = Path("/proc/self/autogroup")
_LOCK_SECONDS: Final = 1.0
_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 30.0
#: A process that lived so long did not die of what it found at its start.
_SOUND_SECONDS: Final = 60.0
#: How long a process may take to end, when it is told to, and when its server is gone.
_STOP_SECONDS: Final = 8.0
_ORPHAN_SECONDS: Final = 10.0
_LOGGER = logging.getLogger(__name__)


class Supervisor:
    """Keeps processes running, if it is this worker's to do so. Belongs to one event loop.

    Parameters
    ----------
    lock
        File that decides between the workers of a server.
    commands
        What each process is, after ``python -m bentos.fraud``.
    tasks
        What this worker does besides, if it is the one; they run until they are cancelled.
    """

    def __init__(
        self,
        lock: Path,
        commands: Sequence[Sequence[str]],
        tasks: Sequence[Callable[[], Coroutine[None, None, None]]] = (),
    ) -> None:
        self._lock = lock
        self._commands = commands
        self._tasks = tasks

    async def run(self) -> None:
        """Wait for the lock, then keep things running until this is cancelled."""
        while (held := lock_file(self._lock)) is None:
            await asyncio.sleep(_LOCK_SECONDS)
        with held:
            async with asyncio.TaskGroup() as group:
                for command in self._commands:
                    group.create_task(self._keep(command))
                for task in self._tasks:
                    group.create_task(task())

    async def _keep(self, command: Sequence[str]) -> None:
        backoff = _FIRST_BACKOFF
        while True:
            started = monotonic()
            try:
                code: int | str = await self._live(command)
            except OSError as error:
                # Such as no memory for one more process.
                code = str(error)
            backoff = _FIRST_BACKOFF if monotonic() - started > _SOUND_SECONDS else min(2 * backoff, _LONGEST_BACKOFF)
            # A server that stops ends it first, and is gone before this is told.
            await asyncio.sleep(backoff)
            _LOGGER.error("the process of %s ended (%s); starting the next one", command[0], code)

    async def _live(self, command: Sequence[str]) -> int:
        # The interpreter's own: what is installed for the server is installed for it.
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *(sys.executable, "-m", _ENTRY, *command),
                stdin=asyncio.subprocess.PIPE,
                env=_environment(),
                start_new_session=True,
            )
        )
        process = None
        try:
            process = await asyncio.shield(starting)
            return await process.wait()
        finally:
            # One that has just been started has its work to do all the same, such as what a server answered meanwhile.
            process = process or await starting
            if process.returncode is None:
                await _stop(process)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.stdin is not None:
        process.stdin.close()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    if process.returncode is None:
        process.kill()
        await process.wait()


def _environment() -> dict[str, str]:
    # BentoML finds a bento's code by its own means, which another process does not have.
    source = str(Path(bentos.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (source, os.environ.get("PYTHONPATH"))))}


def stand_back(nice: int) -> None:
    """Have this process wait for others that want the processor.

    Parameters
    ----------
    nice
        How much, from 0 to 19.
    """
    os.nice(nice)
    # Outside of containers Linux shares the processor between sessions first, of which this is one: niceness alone
    # would have no effect on those in others (sched(7), autogroups).
    with contextlib.suppress(OSError):
        _AUTOGROUP.write_text(str(nice))


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Let SIGTERM and SIGINT end this process's work."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    # Of a process beside a server they have waited since it began.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM, signal.SIGINT))


def stop_with_server(stop: Callable[[], None]) -> None:
    """Let the end of standard input end the work: only the server holds its other end, and loses it however it ends."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1):
            pass
        stop()
        # Whoever takes over waits for nothing but leases and locks.
        time.sleep(_ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="server-watch", daemon=True).start()
