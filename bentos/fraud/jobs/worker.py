"""The process that does jobs: beside a server, or alone."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bentos.core.errors import Unavailable
from bentos.core.features.pseudonyms import Pseudonyms
from bentos.fraud.application import load_artifact
from bentos.fraud.bulk.memory import spare_memory
from bentos.fraud.bulk.pipeline import Pipeline
from bentos.fraud.jobs.embedded import hold_presence
from bentos.fraud.jobs.heart import Heart
from bentos.fraud.jobs.leases import Leases
from bentos.fraud.jobs.open import Places, open_files, open_sweeper, store_name
from bentos.fraud.jobs.quick import quick_folder
from bentos.fraud.jobs.runner import Runner
from bentos.fraud.jobs.sweeper import Sweeper
from bentos.fraud.jobs.waker import Waker, wake
from bentos.fraud.processes import stand_back, stop_on_signals, stop_with_server
from bentos.fraud.records.database import Database, open_database
from bentos.fraud.scorer import Scorer
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store import open_store

__all__ = ["Parts", "open_parts", "run", "work"]

#: Between two looks at the database of who is not woken.
_LOOK_SECONDS: Final = 2.0
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a process of jobs holds open, so that a small job takes no longer than its rows."""

    database: Database
    leases: Leases
    runner: Runner
    sweeper: Sweeper


@contextlib.contextmanager
def open_parts(settings: ScoringSettings, stopping: threading.Event) -> Iterator[Parts]:
    """Model, store, database and files, until the block ends.

    Raises
    ------
    FraudError
        When one of them cannot be opened.
    """
    spare_memory()
    with contextlib.ExitStack() as stack:
        database = open_database(settings)
        stack.callback(database.close)
        store = open_store(settings)
        stack.callback(store.close)
        scorer = Scorer(load_artifact(settings), threads=settings.inference_threads)
        pseudonyms = Pseudonyms(settings.pseudonym_key.get_secret_value())
        leases = Leases(database, settings.job_lease_seconds, settings.job_small_bytes)
        files = open_files(settings)
        heart = Heart(leases, settings.job_lease_seconds, stopping)
        pipeline = Pipeline(scorer, store, pseudonyms, settings)
        quick = stack.enter_context(quick_folder())
        runner = Runner(pipeline, leases, files, heart, settings.job_attempts, store_name(settings), quick)
        yield Parts(database, leases, runner, open_sweeper(settings, database, files))


def work(settings: ScoringSettings, lane: int, stopping: threading.Event) -> None:
    """Do jobs until told to stop.

    Parameters
    ----------
    settings
        Of the service.
    lane
        Number of this process among those of its server; the first sweeps and, when it is not alone, leaves large jobs
        to the others.
    stopping
        Set to end it; what runs is left off soon, and goes on elsewhere.
    """
    places = Places(settings.home)
    waker = Waker(places.pipe)
    presence = hold_presence(places.presence)
    small_only = lane == 0 and settings.job_processes > 1
    with open_parts(settings, stopping) as parts:
        _LOGGER.info("ready for jobs")
        while not stopping.is_set():
            if not _turn(parts, sweeps=lane == 0, small_only=small_only):
                waker.wait(_LOOK_SECONDS)
    waker.close()
    del presence


def _turn(parts: Parts, *, sweeps: bool, small_only: bool) -> bool:
    """Do what comes next; whether there was anything, and no trouble."""
    try:
        works = parts.leases.claim_next(small_only=small_only)
        parts.runner.run(works)
    except Unavailable as error:
        _LOGGER.warning("jobs wait: %s", error)
        return False
    if sweeps:
        parts.sweeper.sweep_if_due()
    return bool(works)


def run(settings: ScoringSettings, lane: int, *, beside_server: bool) -> None:
    """Be a process of jobs.

    Parameters
    ----------
    settings
        Of the service.
    lane
        See :func:`work`.
    beside_server
        Whether a server started it, through whose pipe it learns that the server ended.
    """
    stopping, pipe = threading.Event(), Places(settings.home).pipe

    def stop() -> None:
        stopping.set()
        wake(pipe)

    stand_back(settings.job_nice)
    stop_on_signals(stop)
    if beside_server:
        stop_with_server(stop)
    work(settings, lane, stopping)
