"""Does what is due besides steps: lost messages sent again, results removed after their time, left files removed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import Final, Protocol

from bentos.core.errors import Unavailable
from bentos.fraud.jobs.files import JobFiles
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.model import id_time, now
from bentos.fraud.jobs.settings import JobsSettings
from bentos.fraud.jobs.sweep import Sweep

__all__ = ["Sending", "Sweeper"]

#: An upload that takes longer was left by a server that was killed in the middle.
_UPLOAD_HOURS: Final = 24.0
_HOUR: Final = 3600 * 1_000_000
#: Looking for left files lists the whole place of the files, which nobody needs often.
_LISTING_SECONDS: Final = 3600.0
#: A message that was not taken for so long was lost, even if others still wait.
_LOST_SECONDS: Final = 3600.0
_LOGGER = logging.getLogger(__name__)


class Sending(Protocol):
    """Sends messages; see :class:`.celery_app.Sender`."""

    def send(self, job_ids: Sequence[str]) -> None:
        """Send a message for each job."""
        ...

    def waiting(self) -> int:
        """Messages that nobody has taken."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class Sweeper:
    """Sweeps from time to time. Belongs to one thread; several of several processes do no harm.

    Parameters
    ----------
    ledger, sweep, files
        Of the jobs.
    settings
        How long what is kept.
    sender
        To the broker; None when there is none.
    """

    def __init__(
        self, ledger: Ledger, sweep: Sweep, files: JobFiles, settings: JobsSettings, sender: Sending | None = None
    ) -> None:
        self._ledger = ledger
        self._sweep = sweep
        self._files = files
        self._settings = settings
        self._sender = sender
        self._next = 0.0
        self._next_listing = monotonic() + _LISTING_SECONDS

    def sweep_if_due(self) -> None:
        """Sweep when it is time; trouble is told to the log, and tried again the next time."""
        if monotonic() < self._next:
            return
        self._next = monotonic() + self._settings.job_sweep_seconds
        try:
            self.sweep()
        except Unavailable as error:
            _LOGGER.warning("what is due for jobs could not be done: %s", error)
        except Exception:
            # Whoever sweeps does other things too, which have to go on.
            _LOGGER.exception("what is due for jobs could not be done")

    def sweep(self) -> None:
        """Do what is due.

        Raises
        ------
        Unavailable
            When database, files or broker fail; what was not done is due the next time.
        """
        troubles = []
        for step in (self._send, self._expire, self._remove_files, self._forget, self._list):
            try:
                step()
            except Unavailable as error:
                # Broker and files fail apart from each other.
                troubles.append(error)
        if troubles:
            raise troubles[0]

    def close(self) -> None:
        """Give back what is held open."""
        if self._sender is not None:
            self._sender.close()

    def _expire(self) -> None:
        expired = self._sweep.expire(self._settings.job_retention_hours)
        if expired:
            _LOGGER.info("%d results are expired", expired)

    def _forget(self) -> None:
        self._sweep.forget(self._settings.job_record_hours)

    def _list(self) -> None:
        if monotonic() >= self._next_listing:
            self._next_listing = monotonic() + _LISTING_SECONDS
            self.remove_left_files()

    def _remove_files(self) -> None:
        last = ""
        while job_ids := self._sweep.with_files(last):
            last = job_ids[-1]
            self._sweep.removed([job_id for job_id in job_ids if self._is_removed(job_id)])

    def _is_removed(self, job_id: str) -> bool:
        try:
            self._files.remove(job_id)
        except Unavailable as error:
            # Others need not wait for it.
            _LOGGER.warning("the files of job %s stay for now: %s", job_id, error)
            return False
        return True

    def remove_left_files(self, older_hours: float = _UPLOAD_HOURS) -> int:
        """Remove files that belong to no job, and are no upload that may still be under way; of how many jobs."""
        before = now() - round(older_hours * _HOUR)
        old = [name for name in self._files.names() if (id_time(name) or before) < before]
        left = set(old) - self._ledger.known(old)
        for name in left:
            _LOGGER.info("removing the files of job %s, which was never accepted", name)
        return sum(map(self._is_removed, left))

    def _send(self) -> None:
        sender = self._sender
        if sender is None:
            return
        unsent = self._sweep.unsent()
        # While messages wait, nobody can tell whose were lost; once none does, what still waits has none.
        lost = self._sweep.idle(_LOST_SECONDS if sender.waiting() else self._settings.job_sweep_seconds)
        job_ids = [*unsent, *(job_id for job_id in lost if job_id not in set(unsent))]
        if job_ids:
            sender.send(job_ids)
            self._sweep.sent(job_ids)
            _LOGGER.info("sent %d messages of jobs, %d of them again", len(job_ids), len(job_ids) - len(unsent))
