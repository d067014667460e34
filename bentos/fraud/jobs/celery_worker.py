"""A worker of Celery that does jobs: processes that each hold model and store open."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Final

from celery import signals

from bentos.core.errors import Unavailable
from bentos.fraud.jobs.celery_app import TURN, Sender, make_app
from bentos.fraud.jobs.celery_requests import CertainRequest
from bentos.fraud.jobs.sweep import Sweep
from bentos.fraud.jobs.worker import Parts, open_parts
from bentos.fraud.settings import ScoringSettings

__all__ = ["Turns", "run"]

#: How long a process may take to open what it needs.
_START_SECONDS: Final = 120.0
_LOGGER = logging.getLogger(__name__)


class Turns:
    """Does jobs' turns. One for a process; opened in it, not in its parent.

    Parameters
    ----------
    parts
        What does steps.
    sender
        To the broker.
    parallel_chunks
        Messages of one job at a time.
    """

    def __init__(self, parts: Parts, sender: Sender, parallel_chunks: int) -> None:
        self._parts = parts
        self._sender = sender
        self._sweep = Sweep(parts.database)
        self._parallel = parallel_chunks

    def turn(self, job_id: str) -> None:
        """Do what comes next of a job, and send for more while there is more.

        Raises
        ------
        Unavailable
            When the database fails. A sweep finds the job again.
        """
        work = self._parts.leases.claim(job_id)
        if work is None:
            return
        self._parts.runner.run([work])
        # A message for each chunk that may be scored at once; from then on each is followed by one.
        chains = self._parallel if work.job.phase == "plan" else 1
        open_steps = self._parts.leases.open_steps(job_id, chains)
        try:
            self._sender.send([job_id] * open_steps)
        except Unavailable as error:
            _LOGGER.warning("%s; job %s waits for a sweep", error, job_id)
            self._sweep.sent([job_id], sent=False)


def run(settings: ScoringSettings, concurrency: int) -> int:
    """Be a worker of Celery until a signal ends it; returns the exit code."""
    app = make_app(settings)
    app.conf.worker_proc_alive_timeout = _START_SECONDS
    stack = contextlib.ExitStack()
    opened: list[Turns] = []

    def open_turns(**_: object) -> None:
        parts = stack.enter_context(open_parts(settings, threading.Event()))
        sender = Sender(make_app(settings))
        stack.callback(sender.close)
        opened.append(Turns(parts, sender, settings.job_parallel_chunks))
        _LOGGER.info("ready for jobs")

    def close(**_: object) -> None:
        stack.close()

    @app.task(name=TURN, Request=CertainRequest)  # type: ignore[untyped-decorator]
    def turn(job_id: str) -> None:
        if not opened:
            open_turns()
        opened[0].turn(job_id)

    signals.worker_process_init.connect(open_turns, weak=False)
    signals.worker_process_shutdown.connect(close, weak=False)
    worker = app.Worker(
        quiet=True,
        pool="prefork",
        concurrency=concurrency,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return int(worker.exitcode or 0)
