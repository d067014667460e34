"""The queue without a broker: the database itself, a pipe to wake who waits, and a process beside the server."""

from __future__ import annotations

import fcntl
from pathlib import Path
from time import monotonic
from typing import Final

from bentos.core.answers import DependencyState
from bentos.core.files import lock_file
from bentos.fraud.jobs.waker import wake

__all__ = ["PipeAnnouncer", "hold_presence"]

#: How long a process of jobs may take to start.
_START_SECONDS: Final = 30.0
_OK: Final = DependencyState(status="ok")


class PipeAnnouncer:
    """See :class:`.desk.Announcer`.

    Parameters
    ----------
    pipe
        Where processes of jobs wait.
    presence
        File that they hold locked as long as they live.
    processes
        How many this server keeps; with none of its own it does not know who does its jobs.
    """

    def __init__(self, pipe: Path, presence: Path, processes: int) -> None:
        self._pipe = pipe
        self._presence = presence
        self._processes = processes
        self._expected = monotonic() + _START_SECONDS

    def announce(self, job_id: str) -> None:
        del job_id  # whose turn it is stands in the database
        wake(self._pipe)

    def check(self) -> DependencyState:
        if not self._processes:
            return _OK
        try:
            alone = lock_file(self._presence)
        except OSError as error:
            return DependencyState(status="failing", detail=f"the folder of the jobs cannot be used: {error.strerror}")
        if alone is None:
            self._expected = monotonic() + _START_SECONDS
            return _OK
        alone.close()
        if monotonic() < self._expected:
            return _OK
        return DependencyState(status="failing", detail="no process does jobs; they are accepted and wait")

    def close(self) -> None:
        pass


def hold_presence(path: Path) -> object:
    """Show that a process does jobs, until it ends; what is returned is to be kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = path.open("ab")
    fcntl.flock(stream, fcntl.LOCK_SH)
    return stream
