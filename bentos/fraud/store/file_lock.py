"""A lock among the processes of one machine, which a killed one gives back."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bentos.core.errors import Unavailable

__all__ = ["FileLock"]

_POLL_SECONDS: Final = 0.0002


class FileLock:
    """Held by one at a time, by threads of one process too when each has its own.

    Parameters
    ----------
    path
        Of a file that is made for it.

    Raises
    ------
    Unavailable
        When the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Unavailable(f"the lock {path} cannot be opened: {error}") from error

    @contextlib.contextmanager
    def held(self, timeout_seconds: float) -> Iterator[None]:
        """Hold it.

        Raises
        ------
        TimeoutError
            When somebody else holds it all the while.
        """
        until = time.monotonic() + timeout_seconds
        while True:
            # Waiting in the kernel has no end when the holder was stopped.
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError("another process holds the lock") from None
                time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back."""
        os.close(self._fd)
