"""Files by which workers hand predictions to the process that records them.

A worker appends to a file of its own, and the process reads behind it. What is in a file survives the end of either,
however it ends. A file is::

    magic       8 bytes
    read        uint64, little-endian: bytes from the start that are in the database; the reader's to write
    frames      length and CRC-32 of a body, uint32 little-endian each, then the body

A body is a list of records (:data:`.values.Values`) in marshal's format, which is the quickest there is for tuples of
plain values. It must not come from strangers: the folder and its files are their owner's alone. A file is locked while
its worker may append to it; the kernel gives the lock up when the worker ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import marshal
import os
import secrets
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bentos.fraud.records.values import Values

__all__ = ["DamagedSpool", "SpoolFile", "SpoolWriter", "framed", "spool_folder", "spooled", "unread_bytes", "unread_of"]

_MAGIC: Final = b"fraudlg1"
_READ: Final = struct.Struct("<Q")
_START: Final = len(_MAGIC) + _READ.size
_FRAME: Final = struct.Struct("<II")
_MARSHAL_VERSION: Final = 4
_SUFFIX: Final = ".spool"
#: A file that is read goes; the next is begun when one has grown so large, or so old.
_FILE_BYTES: Final = 8 << 20
_FILE_SECONDS: Final = 5.0
#: More than any file has; beyond, a place is no place.
_LONGEST: Final = 1 << 40


class DamagedSpool(Exception):
    """A file is not as a worker writes it: one that has not ended is in the middle of it."""


def framed(records: list[Values]) -> bytes:
    """Records as they stand in a file.

    Raises
    ------
    ValueError
        When a value is none of Python's plain ones.
    """
    body = marshal.dumps(records, _MARSHAL_VERSION)
    return _FRAME.pack(len(body), zlib.crc32(body)) + body


class SpoolWriter:
    """Appends records to files. Belongs to one thread.

    Parameters
    ----------
    folder
        Of the files. Made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: int | None = None
        self._size = 0
        self._begun = 0.0
        #: Bytes that were handed over.
        self.appended = 0
        # Those that may not have been read to their ends.
        self._paths: list[Path] = []

    def append(self, frame: bytes) -> None:
        """Hand records over; they outlive this process then, though not the machine.

        Parameters
        ----------
        frame
            From :func:`framed`.

        Raises
        ------
        OSError
            When the disk does not take them; nothing of them is handed over.
        """
        file = self._opened()
        written = os.write(file, frame)
        if written < len(frame):
            # Should its part stay, it is the end of this file, and in nobody's way.
            with contextlib.suppress(OSError):
                os.ftruncate(file, self._size)
            self.close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size += written
        self.appended += written

    def turn(self) -> None:
        """End the file if it is large or old, so that it can be removed when it is read."""
        if self._file is not None and (self._size > _FILE_BYTES or time.monotonic() - self._begun > _FILE_SECONDS):
            self.close()

    def waiting(self) -> int:
        """Bytes that are not in the database yet."""
        left = {path: unread for path in self._paths if (unread := unread_bytes(path)) is not None}
        self._paths = list(left)
        return sum(left.values())

    def close(self) -> None:
        """Let the reader have the file to its end."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            # In the order of their names files are read.
            path = self._folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SUFFIX}"
            begun = path.with_suffix(".new")
            file = os.open(begun, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.write(file, _MAGIC + _READ.pack(_START))
                # A reader never sees one that is not locked yet, or has no head.
                begun.rename(path)
            except OSError:
                os.close(file)
                begun.unlink(missing_ok=True)
                raise
            self._file, self._size, self._begun = file, _START, time.monotonic()
            self._paths.append(path)
        return self._file


class SpoolFile:
    """One file, read from where it was left. Belongs to one thread.

    Parameters
    ----------
    path
        Of the file.

    Raises
    ------
    OSError
        When it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._read = self._position = _read_so_far(self._file)

    def take(self) -> list[Values]:
        """The next records, empty when there are none now, or none any more.

        What was taken is taken again by the next reader unless it was kept.

        Raises
        ------
        DamagedSpool
            When what stands there is not, or not yet, what was written.
        """
        if not _START <= self._position <= _LONGEST:
            raise DamagedSpool("it is no file of predictions")
        head = os.pread(self._file, _FRAME.size, self._position)
        if not head:
            return []
        length, crc = _FRAME.unpack(head.ljust(_FRAME.size, b"\0"))
        # A length that is not what was written may be 4 GiB, which is not to be made room for.
        there = os.fstat(self._file).st_size - self._position - _FRAME.size
        body = os.pread(self._file, length, self._position + _FRAME.size) if length <= there else b""
        if not length or len(body) < length or zlib.crc32(body) != crc:
            raise DamagedSpool(f"what stands at byte {self._position} is not what was written")
        self._position += _FRAME.size + length
        records: list[Values] = marshal.loads(body)  # noqa: S302 - the folder is ours alone
        return records

    def keep(self) -> None:
        """Note that all that was taken is in the database."""
        if self._position != self._read:
            os.pwrite(self._file, _READ.pack(self._position), len(_MAGIC))
            self._read = self._position

    def back(self) -> None:
        """Take again what was not kept."""
        self._position = self._read

    def ended(self) -> bool:
        """Whether nobody appends to it any more. To be asked before what may be its last records are taken."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def remove(self) -> None:
        """Remove it: all of it is in the database, or cannot be."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close it."""
        os.close(self._file)


def spooled(folder: Path) -> list[Path]:
    """The files of a folder, in the order they were begun."""
    return sorted(folder.glob(f"*{_SUFFIX}"))


def spool_folder(home: Path) -> Path:
    """Where the files of a server's workers are.

    Parameters
    ----------
    home
        FRAUD_HOME.
    """
    return home / "serving" / "predictions"


def unread_of(folder: Path) -> Callable[[], int]:
    """What tells, again and again, how many of the bytes that stand in a folder's files now have yet to be read."""
    sizes = {}
    for path in spooled(folder):
        with contextlib.suppress(FileNotFoundError):
            sizes[path] = path.stat().st_size

    def left() -> int:
        return sum(_unread_until(path, size) for path, size in sizes.items())

    return left


def unread_bytes(path: Path) -> int | None:
    """Bytes of a file that are not in the database yet; None when it is gone."""
    try:
        return _unread_until(path, path.stat().st_size)
    except FileNotFoundError:
        return None


def _unread_until(path: Path, size: int) -> int:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        return max(size - max(_read_so_far(file), _START), 0)
    finally:
        os.close(file)


def _read_so_far(file: int) -> int:
    head = os.pread(file, _START, 0)
    if len(head) < _START or not head.startswith(_MAGIC):
        return 0
    (read,) = _READ.unpack_from(head, len(_MAGIC))
    return int(read)
