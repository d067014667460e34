"""Keeps the copy on a disk of an embedded store that lies in memory.

A round copies what has changed as it was at one instant, see ``_states_changes.c``. The pages go to a log first and
from there into the copy, so that the copy is whole whenever the machine fails: a complete log is applied again by who
opens the copy next, an incomplete one is none (the double-write buffer of InnoDB). Nobody but the copier waits for the
disk.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bentos.core.features import _states

__all__ = ["INTERVAL_SECONDS", "Copier", "copy_round", "drain", "log_of", "redo", "write_out"]

_LOGGER = logging.getLogger(__name__)
#: Between two rounds: what a power cut may take, with the time that a round needs.
INTERVAL_SECONDS: Final = 5.0
#: Rounds of a busy store are further apart, so that copying takes no more than this share of a processor; a power cut
#: may then take so many seconds.
_SHARE: Final = 0.03
_LONGEST_INTERVAL_SECONDS: Final = 30.0
#: How soon a process that closes the store is heard, and the copier's end is noticed by the next one.
_POLL_SECONDS: Final = 0.1
_TURN_SECONDS: Final = 1.0
_DRAIN_SECONDS: Final = 20.0
#: Magic, identity of the store, end of the log, checksum of what follows its first page.
_HEAD: Final = struct.Struct("=8s16sQI")
_MAGIC: Final = b"copylog1"
_PAGE: Final = _states.PAGE_BYTES
_COUNT: Final = struct.Struct("=Q")


def log_of(path: Path) -> Path:
    """The log of a copy; who copies holds its lock."""
    return path.with_name(f"{path.name}.log")


@contextlib.contextmanager
def _opened(path: Path, flags: int = 0) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
    try:
        yield fd
    finally:
        os.close(fd)


def _is_mine(log: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _write(fd: int, content: memoryview, place: int) -> None:
    while content:
        written = os.pwrite(fd, content, place)
        content, place = content[written:], place + written


def _used(chunk: bytearray) -> int:
    return _PAGE * (1 + int(_COUNT.unpack_from(chunk)[0]))


def _chunks(log: int, end: int) -> Iterator[tuple[bytearray, int]]:
    chunk = bytearray(_states.CHUNK_BYTES)
    place = _PAGE
    while place < end:
        read = os.preadv(log, [chunk], place)
        used = _used(chunk)
        if not _PAGE < used <= read:
            raise OSError(f"the log ends at {place + read}, not at {end}")
        yield chunk, used
        place += used


def _apply(log: int, image: int, end: int) -> None:
    for chunk, _ in _chunks(log, end):
        _states.write_pages(image, chunk)
    os.fdatasync(image)


def redo(log: int, image: int, identity: bytes) -> None:
    """Apply a complete log of this store: who wrote it may have been killed before, or the machine have failed."""
    head = os.pread(log, _HEAD.size, 0)
    if len(head) < _HEAD.size:
        return
    magic, owner, end, checksum = _HEAD.unpack(head)
    if magic != _MAGIC or owner != identity:
        return
    found = 0
    try:
        for chunk, used in _chunks(log, end):
            found = zlib.crc32(memoryview(chunk)[:used], found)
    except OSError:
        return
    if found == checksum:
        _apply(log, image, end)


def copy_round(states: _states.States, log: int, image: int) -> int:
    """Copy what has changed; returns how many bytes were written.

    Raises
    ------
    OSError
        When the disk cannot take it; the next round copies it as well.
    TimeoutError
        When the store's lock is held too long.
    """
    instant = time.time_ns() // 1000
    chunk = bytearray(_states.CHUNK_BYTES)
    place, checksum = _PAGE, 0
    taken = states.begin_copy(chunk)
    while taken:
        used = memoryview(chunk)[: _used(chunk)]
        _write(log, used, place)
        # Spread over the round, rather than all at its end.
        _states.start_writing(log, place, len(used))
        checksum = zlib.crc32(used, checksum)
        place += len(used)
        taken = states.take_pages(chunk)
    if place > _PAGE:
        _write(log, memoryview(_HEAD.pack(_MAGIC, states.identity, place, checksum)), 0)
        os.fdatasync(log)
        _apply(log, image, place)
        # The next round needs none of it, and nobody who is erased stays in it.
        os.ftruncate(log, 0)
    states.end_copy(instant)
    return 2 * (place - _PAGE)


def write_out(states: _states.States, image: int) -> None:
    """Copy what has changed into a file that nobody trusts yet, without a log."""
    instant = time.time_ns() // 1000
    chunk = bytearray(_states.CHUNK_BYTES)
    taken = states.begin_copy(chunk)
    while taken:
        _states.write_pages(image, chunk)
        taken = states.take_pages(chunk)
    states.end_copy(instant)
    os.fsync(image)


@contextlib.contextmanager
def _copy_of(states: _states.States, path: Path) -> Iterator[int]:
    # Opened for each round: the file may have been moved away.
    with _opened(path) as image:
        head = _states.inspect(image)
        if head is None or head[5] != states.identity:
            raise OSError("the file has been replaced; start the server again")
        yield image


def drain(states: _states.States, path: Path) -> None:
    """Wait until the disk has what has been changed so far; copy it if nobody else does."""
    try:
        with _opened(log_of(path), os.O_CREAT) as log:
            _drain(states, path, log)
    except (OSError, ValueError) as error:
        _LOGGER.warning("the copy of the feature store at %s lacks the last changes: %s", path, error)


def _drain(states: _states.States, path: Path, log: int) -> None:
    wanted = states.want_copy()
    until = time.monotonic() + _DRAIN_SECONDS
    while (copying := states.copying) is not None and copying[0] < wanted:
        if _is_mine(log):
            with _copy_of(states, path) as image:
                redo(log, image, states.identity)
                copy_round(states, log, image)
        elif time.monotonic() > until:
            raise TimeoutError(f"who copies it has not done so within {_DRAIN_SECONDS:g} s")
        else:
            time.sleep(_POLL_SECONDS / 5)


class Copier:
    """A thread that copies for the processes of a machine; all that serve start one, and one at a time works.

    Parameters
    ----------
    states
        The store, which lies in memory and stays open until :meth:`stop` returns.
    path
        The copy.
    interval_seconds
        Between two rounds.
    """

    def __init__(self, states: _states.States, path: Path, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._states = states
        self._path = path
        self._interval_seconds = interval_seconds
        self._failing = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-copier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End it after the round that it is in, and wait until it has."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with _opened(log_of(self._path), os.O_CREAT) as log:
                    if _is_mine(log):
                        self._copy(log)
            except (OSError, ValueError) as error:
                if not self._failing:
                    _LOGGER.warning("the feature store's changes do not reach the disk at %s: %s", self._path, error)
                self._failing = True
            self._stopped.wait(_TURN_SECONDS)

    def _copy(self, log: int) -> None:
        with _copy_of(self._states, self._path) as image:
            redo(log, image, self._states.identity)
        due = 0.0
        while not self._stopped.is_set():
            if time.monotonic() >= due or self._is_wanted():
                begun = time.thread_time()
                with _copy_of(self._states, self._path) as image:
                    copy_round(self._states, log, image)
                worked = time.thread_time() - begun
                if self._failing:
                    _LOGGER.info("the feature store's changes reach the disk at %s again", self._path)
                self._failing = False
                pause = min(worked / _SHARE, _LONGEST_INTERVAL_SECONDS)
                due = time.monotonic() + max(self._interval_seconds, pause)
            self._stopped.wait(_POLL_SECONDS)

    def _is_wanted(self) -> bool:
        copying = self._states.copying
        return copying is not None and copying[1] > copying[0]
