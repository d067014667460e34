"""Whether there is room for another job."""

from __future__ import annotations

import threading
from time import monotonic
from typing import Final

from bentos.core.errors import Overloaded
from bentos.fraud.jobs.files import Upload
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.settings import JobsSettings

__all__ = ["Admission"]

#: How long a count is good for: counting ten thousand jobs at each of ten thousand requests would take minutes.
_GOOD_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 10


class Admission:
    """Counts what waits, seldom, and adds what this worker let in since, unfinished uploads too. Safe for threads.

    Parameters
    ----------
    ledger
        Where jobs are counted.
    settings
        The limits.
    """

    def __init__(self, ledger: Ledger, settings: JobsSettings) -> None:
        self._ledger = ledger
        self._jobs = settings.job_waiting_limit
        self._bytes = settings.job_total_limit_bytes
        self._lock = threading.Lock()
        self._until = 0.0
        self._waiting = 0
        self._stored = 0
        self._coming = 0

    def admit(self) -> None:
        """Let a job in.

        Raises
        ------
        Overloaded
            When too many wait, or their files take too much.
        Unavailable
            When the database fails.
        """
        with self._lock:
            # A refusal rests on a new count.
            if monotonic() >= self._until or self._waiting >= self._jobs or self._stored >= self._bytes:
                self._count()
            if self._waiting >= self._jobs:
                raise Overloaded(f"{self._waiting} jobs wait already, which is the limit; try again", _RETRY_SECONDS)
            if self._stored >= self._bytes:
                raise Overloaded("the files of the jobs take all the room they may; try again later", _RETRY_SECONDS)
            self._waiting += 1

    def incoming(self, upload: Upload) -> Upload:
        """An upload whose octets count from the first on; taking more raises Overloaded when there is no room."""
        return _Incoming(upload, self)

    def take(self, octets: int) -> None:
        """Let some octets of an upload in. Raises Overloaded."""
        with self._lock:
            if self._stored + self._coming + octets > self._bytes:
                raise Overloaded("the files of the jobs take all the room they may; try again later", _RETRY_SECONDS)
            self._coming += octets

    def settle(self, octets: int, *, stored: bool) -> None:
        """Note that an upload has ended whose octets were let in."""
        with self._lock:
            self._coming -= octets
            if stored:
                self._stored += octets

    def _count(self) -> None:
        counts = self._ledger.counts()
        self._waiting = counts["pending"].jobs + counts["running"].jobs
        self._stored = sum(count.stored_bytes for count in counts.values())
        self._until = monotonic() + _GOOD_SECONDS


class _Incoming:
    """See :class:`.files.Upload`."""

    def __init__(self, upload: Upload, admission: Admission) -> None:
        self._upload = upload
        self._admission = admission
        self._octets = 0

    def write(self, data: bytes) -> None:
        self._admission.take(len(data))
        self._octets += len(data)
        self._upload.write(data)

    def commit(self) -> None:
        self._upload.commit()
        self._end(stored=True)

    def discard(self) -> None:
        self._upload.discard()
        self._end(stored=False)

    def _end(self, *, stored: bool) -> None:
        octets, self._octets = self._octets, 0
        self._admission.settle(octets, stored=stored)
