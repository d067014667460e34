"""What one worker of a server does for jobs: keeps their processes running, or sweeps for those of a broker.

Which worker is decided by a lock on a file, which the kernel gives to the next when its holder ends, however it ends.
The process reads from a pipe that only its supervisor writes to: when that ends, killed or not, the pipe does, and the
process with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sys
from pathlib import Path
from time import monotonic
from typing import BinaryIO, Final

from anyio.to_thread import run_sync

import bentos
from bentos.fraud.jobs.sweeper import Sweeper

__all__ = ["WORKER_COMMAND", "Supervisor", "lock_file"]

#: After -m; a lane follows.
WORKER_COMMAND: Final = ("bentos.fraud", "jobs", "worker", "--beside-server", "--lane")
_LOCK_SECONDS: Final = 1.0
#: Between two looks whether a sweep is due.
_SWEEP_SECONDS: Final = 0.5
_FIRST_BACKOFF: Final = 0.5
_LONGEST_BACKOFF: Final = 30.0
#: A process that lived so long did not die of what it found at its start.
_SOUND_SECONDS: Final = 60.0
#: How long a process may take to leave off in the middle of a step.
_STOP_SECONDS: Final = 5.0
_LOGGER = logging.getLogger(__name__)


def lock_file(path: Path) -> BinaryIO | None:
    """A file that this process alone has locked, until it closes it or ends; None when another has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("ab")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stream.close()
        return None
    return stream


class Supervisor:
    """Keeps processes of jobs running, if it is this worker's to do so. Belongs to one event loop.

    Parameters
    ----------
    lock
        File that decides between the workers of a server.
    processes
        How many.
    sweeper
        What does what is due, when no process beside the server does it.
    """

    def __init__(self, lock: Path, processes: int, sweeper: Sweeper | None = None) -> None:
        self._lock = lock
        self._processes = processes
        self._sweeper = sweeper

    async def run(self) -> None:
        """Wait for the lock, then keep things running until this is cancelled."""
        while (held := lock_file(self._lock)) is None:
            await asyncio.sleep(_LOCK_SECONDS)
        with held:
            async with asyncio.TaskGroup() as lanes:
                for lane in range(self._processes):
                    lanes.create_task(self._keep(lane))
                if self._sweeper is not None:
                    lanes.create_task(_sweep(self._sweeper))

    async def _keep(self, lane: int) -> None:
        backoff = _FIRST_BACKOFF
        while True:
            started = monotonic()
            try:
                code: int | str = await self._live(lane)
            except OSError as error:
                # Such as no memory for one more process.
                code = str(error)
            backoff = _FIRST_BACKOFF if monotonic() - started > _SOUND_SECONDS else min(2 * backoff, _LONGEST_BACKOFF)
            # A server that stops ends it first, and is gone before this is told.
            await asyncio.sleep(backoff)
            _LOGGER.error("a process of jobs ended (%s); starting the next one", code)

    async def _live(self, lane: int) -> int:
        # The interpreter's own: what is installed for the server is installed for its jobs.
        command = (sys.executable, "-m", *WORKER_COMMAND, str(lane))
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, env=_environment(), start_new_session=True
        )
        try:
            return await process.wait()
        finally:
            if process.returncode is None:
                await _stop(process)


async def _sweep(sweeper: Sweeper) -> None:
    try:
        while True:
            await run_sync(sweeper.sweep_if_due)
            await asyncio.sleep(_SWEEP_SECONDS)
    finally:
        sweeper.close()


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
