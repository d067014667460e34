"""Signs of life of a worker: leases of what it works on are extended beside the work, and lost ones noticed."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Final

from bentos.core.errors import Unavailable
from bentos.fraud.jobs.leases import Leases, key
from bentos.fraud.jobs.model import Work

__all__ = ["Heart", "Hold"]

#: So often at least, that progress is seen and a cancelled job soon left.
_BEAT_SECONDS: Final = 1.0
_LOGGER = logging.getLogger(__name__)


class Hold:
    """A step that this worker holds.

    Parameters
    ----------
    work
        The step.
    stopping
        Set when the whole worker is to end.
    """

    def __init__(self, work: Work, stopping: threading.Event) -> None:
        self.work = work
        self.percent: float | None = None
        self._stopping = stopping
        self._lost = threading.Event()

    @property
    def lost(self) -> bool:
        """Whether the step went to another, or its job has ended."""
        return self._lost.is_set()

    def lose(self) -> None:
        """Note that it did."""
        self._lost.set()

    def stopped(self) -> bool:
        """Whether to leave off."""
        return self._lost.is_set() or self._stopping.is_set()


class Heart:
    """Extends the leases of steps that are held, in a thread of its own, which lives as long as the process.

    Parameters
    ----------
    leases
        Where they are extended.
    lease_seconds
        How long they last.
    stopping
        Set when the worker is to end.
    """

    def __init__(self, leases: Leases, lease_seconds: float, stopping: threading.Event) -> None:
        self._leases = leases
        self._seconds = min(_BEAT_SECONDS, lease_seconds / 3)
        self._stopping = stopping
        self._held: dict[str, Hold] = {}
        self._some = threading.Condition()
        threading.Thread(target=self._beat, name="job-leases", daemon=True).start()

    @contextlib.contextmanager
    def holding(self, *works: Work) -> Iterator[list[Hold]]:
        """Keep the leases of steps until the block ends."""
        holds = [Hold(work, self._stopping) for work in works]
        with self._some:
            self._held |= {key(hold.work): hold for hold in holds}
            self._some.notify()
        try:
            yield holds
        finally:
            for hold in holds:
                self.drop(hold)

    def drop(self, hold: Hold) -> None:
        """Leave a lease alone from now on."""
        with self._some:
            self._held.pop(key(hold.work), None)

    def _beat(self) -> None:
        while True:
            with self._some:
                self._some.wait_for(lambda: bool(self._held))
                # What is done sooner needs no sign of life.
                self._some.wait_for(lambda: False, self._seconds)
                holds = dict(self._held)
            if holds:
                self._extend(holds)

    def _extend(self, holds: dict[str, Hold]) -> None:
        progress = {hold.work.job.job_id: hold.percent for hold in holds.values() if hold.percent is not None}
        try:
            lost = self._leases.extend([hold.work for hold in holds.values()], progress)
        except Unavailable as error:
            # The lease may pass; then another does the step, and what is done here has no effect.
            _LOGGER.warning("leases could not be extended: %s", error)
            return
        with self._some:
            # One that was reported meanwhile is not lost.
            for name in lost & self._held.keys():
                self._held[name].lose()
