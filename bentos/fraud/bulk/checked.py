"""Text that is checked while it is read: UTF-8, no NUL, bounded lines, bounded length."""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from bentos.core.errors import InvalidInput
from bentos.fraud.bulk.reading import Limits, refused

__all__ = ["CheckedStream"]


class CheckedStream(io.RawIOBase):
    """Bytes of a text file.

    Parameters
    ----------
    stream
        Where they come from, unpacked.
    limits
        Of length and lines.
    told
        Called after each piece.

    Raises
    ------
    InvalidInput
        While reading; names the line.
    """

    def __init__(self, stream: Any, limits: Limits, told: Callable[[], None]) -> None:
        self._stream = stream
        self._limits = limits
        self._told = told
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._bytes = 0
        self._lines = 1
        self._open_line = 0
        self._peeked = b""
        #: What was wrong: libraries wrap errors that come out of a stream.
        self.failure: InvalidInput | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def peek(self, size: int) -> bytes:
        """The first bytes, which are read again afterwards."""
        while len(self._peeked) < size and (more := self._next(size - len(self._peeked))):
            self._peeked += more
        return self._peeked

    def read(self, size: int | None = -1) -> bytes:
        """Read at most so many bytes."""
        wanted = 1 << 20 if size is None or size < 0 else size
        if self._peeked:
            part, self._peeked = self._peeked[:wanted], self._peeked[wanted:]
            return part
        return self._next(wanted)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        part = self.read(len(buffer))
        buffer[: len(part)] = part
        return len(part)

    def _next(self, size: int) -> bytes:
        try:
            data = bytes(self._stream.read(size))
        except (OSError, pa.ArrowException, EOFError) as error:
            self.failure = refused(f"cannot be unpacked after line {self._lines:,}: it is damaged or truncated")
            raise self.failure from error
        try:
            self._check(data)
        except InvalidInput as error:
            self.failure = error
            raise
        self._told()
        return data

    def _check(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > self._limits.unpacked_bytes:
            raise refused(f"holds more than {self._limits.unpacked_bytes:,} bytes of text, the most that is taken")
        nul = data.find(b"\0")
        if nul >= 0:
            raise refused(f"line {self._lines + data.count(10, 0, nul):,} holds a NUL byte; the file is no text")
        try:
            self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            line = self._lines + data.count(10, 0, max(error.start, 0))
            raise refused(f"line {line:,} is not UTF-8 text ({error.reason}); only UTF-8 is read") from error
        # In so few bytes only the line that began before them can be too long.
        for start in range(0, len(data), self._limits.line_bytes):
            self._measure(data, start, min(start + self._limits.line_bytes, len(data)))

    def _measure(self, data: bytes, start: int, end: int) -> None:
        first = data.find(10, start, end)
        longest = self._limits.line_bytes
        if self._open_line + (end if first < 0 else first + 1) - start > longest:
            raise refused(f"line {self._lines:,} is longer than {longest:,} bytes, the longest that is taken")
        self._lines += data.count(10, start, end)
        self._open_line = self._open_line + end - start if first < 0 else end - 1 - data.rfind(10, start, end)
