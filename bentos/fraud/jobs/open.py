"""Puts the parts of jobs together, for servers and for workers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from anyio.to_thread import run_sync

from bentos.fraud.jobs.desk import Announcer, Desk
from bentos.fraud.jobs.embedded import PipeAnnouncer
from bentos.fraud.jobs.files import JobFiles, LocalFiles
from bentos.fraud.jobs.ledger import Ledger
from bentos.fraud.jobs.sweep import Sweep
from bentos.fraud.jobs.sweeper import Sweeper
from bentos.fraud.records.database import Database
from bentos.fraud.settings import ScoringSettings
from bentos.fraud.store.choice import STORE_FILE

if TYPE_CHECKING:
    from bentos.fraud.jobs.celery_app import Sender

__all__ = ["Places", "open_desk", "open_files", "open_sweeper", "processes", "store_name", "tasks"]

#: A lane follows.
_WORKER_COMMAND: Final = ("jobs", "worker", "--beside-server", "--lane")
#: Between two looks whether a sweep is due.
_SWEEP_SECONDS: Final = 0.5
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Places:
    """Files by which servers and processes of jobs on one machine find each other.

    Parameters
    ----------
    home
        FRAUD_HOME.
    """

    def __init__(self, home: Path) -> None:
        serving = home / "serving"
        self.files: Final = serving / "jobs"
        self.scratch: Final = serving / "jobs.scratch"
        self.pipe: Final = serving / "jobs.pipe"
        self.presence: Final = serving / "jobs.workers.lock"
        self.store: Final = serving / STORE_FILE


def open_files(settings: ScoringSettings) -> JobFiles:
    """The place of the jobs' files.

    Parameters
    ----------
    settings
        Where it is.

    Raises
    ------
    ConfigError
        When it cannot be used.
    """
    places, url = Places(settings.home), settings.jobs_url
    if url is None:
        return LocalFiles(places.files)
    if "://" not in url or url.startswith("file://"):
        return LocalFiles(Path(unquote(urlsplit(url).path) if "://" in url else url))
    from bentos.fraud.jobs.remote_files import RemoteFiles

    return RemoteFiles(url, places.scratch)


def open_desk(settings: ScoringSettings, database: Database) -> Desk:
    """Where jobs are handed in.

    Raises
    ------
    ConfigError
        When broker or files cannot be used.
    """
    ledger, places = Ledger(database), Places(settings.home)
    announcer: Announcer
    if settings.queue_url is None:
        announcer = PipeAnnouncer(places.pipe, places.presence, settings.job_processes)
    else:
        from bentos.fraud.jobs.courier import Courier

        announcer = Courier(_sender(settings), Sweep(database))
    return Desk(ledger, open_files(settings), announcer, settings, store_name(settings))


def open_sweeper(settings: ScoringSettings, database: Database, files: JobFiles) -> Sweeper:
    """What does what is due."""
    sender = None if settings.queue_url is None else _sender(settings)
    return Sweeper(Ledger(database), Sweep(database), files, settings, sender)


def processes(settings: ScoringSettings) -> list[tuple[str, ...]]:
    """Commands of the processes that a server has beside it for jobs: none with a broker, which has its own."""
    lanes = settings.job_processes if settings.queue_url is None else 0
    return [(*_WORKER_COMMAND, str(lane)) for lane in range(lanes)]


def tasks(settings: ScoringSettings, database: Database) -> list[Callable[[], Coroutine[None, None, None]]]:
    """What one worker of a server does for jobs besides: with a broker, what is due.

    Raises
    ------
    ConfigError
        When broker or files cannot be used.
    """
    if settings.queue_url is None:
        return []
    sweeper = open_sweeper(settings, database, open_files(settings))
    return [partial(_sweep, sweeper)]


async def _sweep(sweeper: Sweeper) -> None:
    try:
        while True:
            await run_sync(sweeper.sweep_if_due)
            await asyncio.sleep(_SWEEP_SECONDS)
    finally:
        sweeper.close()


def store_name(settings: ScoringSettings) -> str:
    """Names the embedded feature store's file, for this boot of this machine; empty when the store is shared.

    Without a broker it is empty as well: a process beside the server has the server's files.
    """
    if settings.feature_store != "embedded" or settings.queue_url is None:
        return ""
    found = Places(settings.home).store.stat()
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return hashlib.sha256(f"{boot} {found.st_dev} {found.st_ino}".encode()).hexdigest()


def _sender(settings: ScoringSettings) -> Sender:
    from bentos.fraud.jobs.celery_app import Sender, make_app

    return Sender(make_app(settings))
