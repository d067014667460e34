"""Rate limits: token buckets that all workers of a server share, by the generic cell rate algorithm.

A bucket is one number, the time at which it will be full again (ITU-T I.371, annex A). A call is let in while there is
a whole row left; its rows are known only when its body has been read, and may bring the bucket into debt, which must
be paid before the next call is let in. So the long-run rate is exact whatever the sizes of calls.

The numbers lie in a mapped file. Each change holds a lock of the kernel on a byte of the file, which a process that is
killed gives back. A worker that is stopped while it holds one is waited for, 0.1 s once a second; the others then count
without the lock, which may lose a row, and stop nobody.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from hashlib import blake2b
from math import ceil
from pathlib import Path
from time import monotonic, monotonic_ns
from typing import Final

from bentos.core.errors import Overloaded

__all__ = ["Bucket", "Buckets", "limits_file"]

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")

#: Buckets are found by hash in a group, which one lock guards; 64k callers fit in 1 MiB.
_GROUPS: Final = 4096
_GROUP_SLOTS: Final = 16
_SLOT_BYTES: Final = 16
#: A change takes 1 µs, but who makes it may lose the processor meanwhile.
_WAIT_SECONDS: Final = 0.1
_PATIENT_AGAIN_SECONDS: Final = 1.0
#: Times are whole nanoseconds: sums are exact however long the clock has run, and end before this, 292 years.
_NEVER: Final = 2**63 - 1


class Buckets:
    """The buckets of a server.

    Parameters
    ----------
    file
        That its workers share; made when it is missing. None means that this process has them for itself.
    """

    def __init__(self, file: Path | None = None) -> None:
        size = _GROUPS * _GROUP_SLOTS * _SLOT_BYTES
        self._handle: int | None = None
        self._impatient_until = 0.0
        if file is None:
            mapped = mmap.mmap(-1, size)
        else:
            self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._handle, size)
            mapped = mmap.mmap(self._handle, size)
        #: For each slot the hash of its caller, and the time at which its bucket is full, ``time.monotonic_ns()``.
        with memoryview(mapped) as whole:
            self.hashes = whole[: size // 2].cast("Q")
            self.times = whole[size // 2 :].cast("q")

    def bucket(self, name: str, rows_per_second: float, burst_rows: float) -> Bucket:
        """The bucket of a caller.

        Parameters
        ----------
        name
            Of the caller, unique.
        rows_per_second, burst_rows
            What flows in, and what fits.
        """
        return Bucket(self, name, rows_per_second, burst_rows)

    def close(self) -> None:
        """Give the file back."""
        self.hashes.release()
        self.times.release()
        if self._handle is not None:
            os.close(self._handle)

    def lock(self, group: int) -> bool:
        """Take the lock of a group; False when another process holds it for far longer than a change takes."""
        if self._handle is None:
            return False
        if self._try_lock(self._handle, group):
            return True
        now = monotonic()
        until = now if now < self._impatient_until else now + _WAIT_SECONDS
        while monotonic() < until:
            os.sched_yield()
            if self._try_lock(self._handle, group):
                return True
        if until > now:
            self._impatient_until = until + _PATIENT_AGAIN_SECONDS
        return False

    @staticmethod
    def _try_lock(handle: int, group: int) -> bool:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, group)
        except OSError:
            return False
        return True

    def unlock(self, group: int) -> None:
        """Give it back."""
        if self._handle is not None:
            fcntl.lockf(self._handle, fcntl.LOCK_UN, 1, group)


def limits_file(folder: Path) -> Path:
    """The file that the workers of a server share, in a folder of theirs.

    Named after the boot: the clock begins anew with each, and what was written before would mean the far future.
    """
    return folder / f"limits_{_BOOT_ID.read_text().strip()}"


class Bucket:
    """What one caller may still ask. Belongs to one event loop.

    Parameters
    ----------
    buckets
        Whose it is.
    name, rows_per_second, burst_rows
        See :meth:`Buckets.bucket`.
    """

    __slots__ = ("_buckets", "_burst_time", "_group", "_hash", "_name", "_rate", "_row_time", "_slot")

    def __init__(self, buckets: Buckets, name: str, rows_per_second: float, burst_rows: float) -> None:
        self._buckets = buckets
        self._name = name
        self._rate = rows_per_second
        self._row_time = max(1, round(1e9 / rows_per_second))
        self._burst_time = round(max(1.0, burst_rows) * self._row_time)
        # An empty slot has the hash 0.
        self._hash = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") or 1
        self._group = self._hash % _GROUPS
        self._slot = self._group * _GROUP_SLOTS

    def take(self) -> None:
        """Let a call in, and count it as one row.

        Raises
        ------
        Overloaded
            When there is no row left; says in how many seconds there is one.
        """
        wait = self._count(1, refuse=True)
        if wait > 0:
            raise Overloaded(
                f"{self._name!r} has asked more than its {self._rate:g} rows a second; try again later",
                ceil(wait / 1e9),
            )

    def charge(self, rows: int) -> None:
        """Count rows of a call that was let in."""
        self._count(rows, refuse=False)

    def _count(self, rows: int, *, refuse: bool) -> int:
        """Nanoseconds until they fit; 0 when they did, and were counted."""
        buckets, group = self._buckets, self._group
        locked = buckets.lock(group)
        try:
            now = monotonic_ns()
            slot = self._slot if buckets.hashes[self._slot] == self._hash else self._find(now)
            full = max(buckets.times[slot], now)
            full += rows * self._row_time
            wait = full - now - self._burst_time
            if refuse and wait > 0:
                return wait
            buckets.times[slot] = min(full, _NEVER)
        finally:
            if locked:
                buckets.unlock(group)
        return 0

    def _find(self, now: int) -> int:
        """The caller's slot; a new one in place of what is empty, or full again, or else nearest to it."""
        hashes, times = self._buckets.hashes, self._buckets.times
        best, earliest = 0, _NEVER
        start = self._group * _GROUP_SLOTS
        for slot in range(start, start + _GROUP_SLOTS):
            if hashes[slot] == self._hash:
                self._slot = slot
                return slot
            if times[slot] <= earliest:
                best, earliest = slot, times[slot]
        hashes[best], times[best] = self._hash, now
        self._slot = best
        return best
