"""Lines to a file descriptor that may block, written by a thread, so that nobody else waits for it.

Making the descriptor non-blocking would do so for every process that shares it, and opening it anew is forbidden to
other users than its owner's, which is how containers run. A thread may block: writing lets the others go on.
"""

from __future__ import annotations

import logging
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

__all__ = ["LineWriter"]

_LOGGER = logging.getLogger(__name__)
#: How long lines are gathered before they are written together.
_GATHER_SECONDS: Final = 0.05
#: What a pipe takes in one piece (POSIX PIPE_BUF, Linux): longer writes of several workers would mix.
_PIPE_BYTES: Final = select.PIPE_BUF
_FILE_BYTES: Final = 1 << 16
_POLL_MILLISECONDS: Final = 1000


class LineWriter:
    """A stream of text lines. Its methods never block, :meth:`drain` apart; safe for use by several threads.

    Parameters
    ----------
    descriptor
        Open for writing.
    limit
        Lines that wait at most; what comes when so many wait is dropped.
    """

    def __init__(self, descriptor: int, limit: int) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._piece_bytes = _PIPE_BYTES if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else _FILE_BYTES
        self._lines: deque[str] = deque()
        self._dropping = threading.Lock()
        self._dropped = 0
        self._count_dropped: Callable[[], object] | None = None
        self._asleep = True
        self._filled, self._hurry, self._idle = threading.Event(), threading.Event(), threading.Event()
        self._idle.set()
        threading.Thread(target=self._run, name="log-lines", daemon=True).start()

    def count_dropped(self, count: Callable[[], object]) -> None:
        """Have every line that is dropped from now on counted, by one thread at a time."""
        self._count_dropped = count

    def write(self, line: str) -> None:
        """Write a line, soon; it ends with a newline."""
        if len(self._lines) >= self._limit:
            with self._dropping:
                self._dropped += 1
                if self._count_dropped is not None:
                    self._count_dropped()
            return
        self._lines.append(line)
        if self._asleep:
            self._asleep = False
            self._idle.clear()
            self._filled.set()

    def flush(self) -> None:
        """Write what waits at once, without waiting for it."""
        self._hurry.set()

    def drain(self, seconds: float) -> bool:
        """Wait until everything is written, or some seconds are over; whether everything is."""
        self._hurry.set()
        return self._idle.wait(seconds)

    def _run(self) -> None:
        reported = 0
        while True:
            self._filled.wait()
            self._hurry.wait(_GATHER_SECONDS)
            self._hurry.clear()
            self._filled.clear()
            while self._lines:
                self._write_all("".join(self._lines.popleft() for _ in range(len(self._lines))))
            if self._dropped > reported:
                dropped, reported = self._dropped - reported, self._dropped
                _LOGGER.warning("standard error was blocked; %d lines of this log are lost", dropped)
            self._asleep = True
            if self._lines:
                # Came after the last look, when nobody was to be woken yet.
                self._asleep = False
                self._filled.set()
            else:
                self._idle.set()

    def _write_all(self, text: str) -> None:
        for piece in _pieces(text.encode("utf-8", "backslashreplace"), self._piece_bytes):
            rest = piece
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:
                    # Another process has made it non-blocking.
                    poll = select.poll()
                    poll.register(self._descriptor, select.POLLOUT)
                    poll.poll(_POLL_MILLISECONDS)
                except OSError:
                    # Nobody reads any more; there is nobody to tell.
                    return


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    """Whole lines, up to a size together; a longer line is a piece of its own."""
    start = 0
    while start < len(data):
        end = data.rfind(b"\n", start, start + size) + 1
        if not end:
            end = data.find(b"\n", start) + 1 or len(data)
        yield data[start:end]
        start = end
