"""A pipe with a name, through which servers wake the processes of jobs that wait."""

from __future__ import annotations

import contextlib
import os
import select
from pathlib import Path

__all__ = ["Waker", "wake"]


def wake(path: Path) -> None:
    """Wake who waits at a pipe; nobody need be there."""
    with contextlib.suppress(OSError):
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        try:
            # A full pipe wakes as well.
            os.write(pipe, b"\0")
        finally:
            os.close(pipe)


class Waker:
    """The end of the pipe that waits. One process takes the bytes; others are woken too, or look by themselves.

    Parameters
    ----------
    path
        Of the pipe; made when it is missing.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # For writing too: a pipe without a writer is at its end all the time.
        self._pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait(self, seconds: float) -> None:
        """Wait until woken, so long at most."""
        select.select([self._pipe], [], [], seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._pipe, 65_536)

    def close(self) -> None:
        """Give the pipe back."""
        os.close(self._pipe)
