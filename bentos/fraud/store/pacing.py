"""Writes the pages of the embedded store's file back a few at a time.

The kernel writes a mapped file's dirty pages every half minute, all at once, and locks them in groups of thousands
meanwhile: a worker that touches one of them waits, and with it all that want the store's lock, up to 0.1 s. Writing
sixteen at a time, evenly, leaves it nothing to do at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from pathlib import Path
from typing import Final

from bentos.core.features import _states

__all__ = ["ROUND_SECONDS", "WritePacer"]

_LOGGER = logging.getLogger(__name__)
#: A round over the file; well within the half minute after which the kernel begins by itself.
ROUND_SECONDS: Final = 10.0
_LEAST_BYTES: Final = 64 * 1024
_LEAST_PAUSE_SECONDS: Final = 0.005
#: Whoever has the lock may be killed; others ask for it so often.
_TURN_SECONDS: Final = 5.0


class WritePacer:
    """A thread that does it for the processes of a machine; all start one, and one at a time works.

    Parameters
    ----------
    path
        Of the store's file, which is there.
    round_seconds
        How long once over the file takes.
    """

    def __init__(self, path: Path, round_seconds: float = ROUND_SECONDS) -> None:
        self._path = path
        self._round_seconds = round_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-pacer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it, and wait until it has."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        lock = os.open(self._path.with_name(f"{self._path.name}.pacer"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while not self._is_mine(lock):
                if self._stopped.wait(_TURN_SECONDS):
                    return
            while not self._stopped.is_set():
                self._round()
        except OSError as error:
            # A file system that cannot do it does what it always did.
            _LOGGER.warning("pages of the feature store %s are left to the kernel: %s", self._path, error)
        finally:
            os.close(lock)

    @staticmethod
    def _is_mine(lock: int) -> bool:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _round(self) -> None:
        # Opened for each round: the file may have been rebuilt or moved away.
        fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(fd).st_size
            step = max(_LEAST_BYTES, int(size * _LEAST_PAUSE_SECONDS / self._round_seconds) // 4096 * 4096)
            pause = self._round_seconds * step / max(size, step)
            for offset in range(0, size, step):
                _states.start_writing(fd, offset, step)
                if self._stopped.wait(pause):
                    return
        finally:
            os.close(fd)
