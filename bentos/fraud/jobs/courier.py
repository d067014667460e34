"""Tells Celery of jobs, from a thread of the server: an answer never waits for the broker.

What it does not get rid of stays marked as unsent in the database, and a sweep of whichever server sends it later.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final

from bentos.core.answers import DependencyState
from bentos.core.errors import FraudError
from bentos.fraud.jobs.celery_app import Sender
from bentos.fraud.jobs.sweep import Sweep

__all__ = ["Courier"]

_CHECK_SECONDS: Final = 5.0
#: Messages that wait in this process; more wait in the database alone.
_HELD: Final = 10_000
_CLOSE_SECONDS: Final = 10.0
_LOGGER = logging.getLogger(__name__)


class Courier:
    """See :class:`.desk.Announcer`.

    Parameters
    ----------
    sender
        To the broker.
    sweep
        Where sent messages are noted.
    """

    def __init__(self, sender: Sender, sweep: Sweep) -> None:
        self._sender = sender
        self._sweep = sweep
        self._jobs: queue.Queue[str | None] = queue.Queue(_HELD)
        self._trouble: str | None = None
        self._thread = threading.Thread(target=self._run, name="job-messages", daemon=True)
        self._thread.start()

    def announce(self, job_id: str) -> None:
        try:
            self._jobs.put_nowait(job_id)
        except queue.Full:
            _LOGGER.debug("job %s waits for a sweep", job_id)

    def check(self) -> DependencyState:
        if self._trouble is None:
            return DependencyState(status="ok")
        return DependencyState(status="failing", detail=f"{self._trouble}; jobs are accepted and wait")

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join(_CLOSE_SECONDS)

    def _run(self) -> None:
        checked = 0.0
        while True:
            try:
                job_id = self._jobs.get(timeout=_CHECK_SECONDS if checked else 0)
            except queue.Empty:
                job_id = ""
            if job_id is None:
                break
            if job_id:
                self._send(job_id)
            if monotonic() - checked >= _CHECK_SECONDS:
                checked = monotonic()
                self._attempt(self._sender.waiting)
        self._sender.close()

    def _send(self, job_id: str) -> None:
        # With a broker that is down each would wait until it times out; the sweep sends them all at once.
        if self._trouble is None and self._attempt(lambda: self._sender.send([job_id])):
            self._attempt(lambda: self._sweep.sent([job_id]))

    def _attempt(self, action: Callable[[], object]) -> bool:
        try:
            action()
        except FraudError as error:
            if self._trouble is None:
                _LOGGER.warning("%s; jobs wait", error)
            self._trouble = str(error)
            return False
        self._trouble = None
        return True
